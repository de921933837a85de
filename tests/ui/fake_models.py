"""Model files for the page before the fake service: headers of every kind that the library's cards show, no weights."""

from __future__ import annotations

import json
from pathlib import Path

from tests.library.made import KOHYA, SD1_LAYER, SDXL_LAYER, picture, save, write_key_list
from webui.library.index import Library
from webui.paths import Paths

MANY = 130  # LoRAs in one folder: more than two pages of cards


def make_library(folder: Path) -> Library:
    """A library over a few files of each kind, all of them read."""
    models = folder / "models"
    notes = {"activation text": "film grain", "preferred weight": 0.7, "negative text": "digital"}
    write_lora(models / "loras" / "film.safetensors", KOHYA, layers=SD1_LAYER)
    (models / "loras" / "film.json").write_text(json.dumps(notes), "utf-8")
    (models / "loras" / "film.preview.png").write_bytes(picture())
    write_lora(models / "loras" / "wash.safetensors", layers=SDXL_LAYER, rank=16)
    write_lora(models / "loras" / "lcm-lora-sdv1-5.safetensors", layers=SD1_LAYER, rank=8)
    first = write_lora(models / "loras" / "many" / "style 000.safetensors", layers=SD1_LAYER)
    for number in range(1, MANY):
        first.with_name(f"style {number:03}.safetensors").write_bytes(first.read_bytes())
    save(models / "embeddings" / "grainy.safetensors", {"emb_params": (2, 768)})
    save(models / "embeddings" / "worst.safetensors", {"emb_params": (2, 768)})
    write_key_list("vae-kl-f8", models / "vae" / "soft.safetensors")
    write_key_list("sd15", models / "checkpoints" / "portrait.safetensors")
    write_key_list("sdxl-base", models / "checkpoints" / "painter-xl.safetensors")
    library = Library(Paths(folder / "data", models, folder / "outputs", {}, folder / "program"))
    library.read_pending()
    return library


def write_lora(
    path: Path, metadata: dict[str, str] | None = None, layers: dict[str, tuple[int, int]] | None = None, rank: int = 4
) -> Path:
    """A LoRA of zeros; written without torch, which would make the page's tests wait for its import."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (rows, columns) in (layers or SD1_LAYER).items():
        shapes |= {f"{name}.lora_up.weight": (rows, rank), f"{name}.lora_down.weight": (rank, columns)}
        shapes[f"{name}.alpha"] = ()
    return save(path, shapes, metadata)
