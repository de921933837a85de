"""Model files with real headers and no weights: what a header says is all that the library reads."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

from PIL import Image

from tests.keys import header_of
from webui.library.cards import Card, Question, find_cards
from webui.library.index import Library
from webui.weights.tensors import DTYPE_BYTES

SD1_LAYER = {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (32, 768)}
SDXL_LAYER = {"lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k": (32, 2048)}
KOHYA = {
    "ss_base_model_version": "sd_v1",
    "ss_output_name": "film-v1",
    "ss_tag_frequency": json.dumps({"5_a": {"film grain": 9, "street": 4}}),
    "modelspec.author": "A. Person",
    "modelspec.license": "CC0",
    "modelspec.title": "Film look",
    "sshs_model_hash": "ab" * 32,
}


def save(path: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None, dtype: str = "F16"):
    """A safetensors file with tensors of zeros; large ones take no room on the disk."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, shape in shapes.items():
        count = DTYPE_BYTES[dtype]
        for side in shape:
            count *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + count]}
        position += count
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)
    return path


def write_key_list(name: str, path: Path, **metadata: str) -> Path:
    """A sparse file with the tensors of a published key list."""
    return save(path, {key: info.shape for key, info in header_of(name).tensors.items()}, metadata)


def picture(side: int = 600, colour: str = "#a04010") -> bytes:
    """A PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side // 2), colour).save(stream, "PNG")
    return stream.getvalue()


def cards(library: Library, kind: str = "loras", **wanted: object) -> dict[str, Card]:
    """Cards by name, in order."""
    return {card.name: card for card in find_cards(library, Question(kind, **wanted)).cards}  # type: ignore[arg-type]


def row_of(library: Library, kind: str, name: str):
    """The stored row of a file by its name."""
    return library.row(next(card.id for card in cards(library, kind).values() if card.name == name))
