"""Embeddings inside pictures, so that they can be shared like pictures: the two ways of AUTOMATIC1111's web UI.

Either a PNG's text `sd-ti-embedding` holds base64 of JSON, or the JSON, deflated, lies in the low half of every colour
value of two blocks at the left and right edge, apart from the picture by columns whose low halves are zero. In the JSON
a tensor is `{"TORCHTENSOR": nested lists}`. Sizes are bounded before anything is unpacked.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import DamagedFile, FileError, NotFound, UnknownModel, UnsafeFile
from webui.imaging.files import DAMAGE, open_picture
from webui.imaging.png_text import SIGNATURE, read_png_texts
from webui.weights.tensors import Header, TensorInfo

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

CONTAINER = "picture"
KEYWORD = "sd-ti-embedding"
TENSOR = "TORCHTENSOR"
MAXIMUM_BYTES = 32 << 20  # of the file
MAXIMUM_PIXELS = 4_000_000
MAXIMUM_JSON = 8 << 20  # 75 vectors for both encoders of XL take three and a half
MAXIMUM_DEPTH = 4
MULTIPLIER, INCREMENT, MODULUS = 1664525, 1013904223, 1 << 32  # of the generator that hides the bytes (Press et al.)
DESPITE = "Both forms are lost when a picture is resized or saved again; fetch the original file."


@dataclass(frozen=True)
class PictureEmbedding:
    """What a picture holds: tensors [n, D] or [D] in float32 by dotted name, and plain facts such as "name"."""

    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]


def is_picture(path: Path) -> bool:
    """Whether the bytes are those of a PNG or WebP file."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(SIGNATURE) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def read_picture(path: Path) -> PictureEmbedding:
    """The embedding in a picture.

    Raises UnknownModel for a picture without one, DamagedFile for one that cannot be read, UnsafeFile for one that is
    larger than any embedding.
    """
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise UnsafeFile(
                f"{path.name} is larger than any embedding.", f"At most {MAXIMUM_BYTES >> 20} MB are read."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "", "It may have been moved or deleted.") from None
    except OSError as error:
        raise DamagedFile(f"{path.name} cannot be read: {error.strerror or error}.") from None
    image = _opened(path, data)
    text = read_png_texts(data).get(KEYWORD) if data.startswith(SIGNATURE) else None
    found = _from_text(path, text) if text is not None else _from_pixels(path, image)
    if found is None:
        raise UnknownModel(f"{path.name} is a picture without an embedding in it.", "", DESPITE)
    return _parsed(path, found)


def picture_header(path: Path) -> Header:
    """Names and shapes of the tensors in a picture, and its facts. Raises as `read_picture`."""
    found = read_picture(path)
    tensors = {name: TensorInfo(tuple(array.shape), "F32") for name, array in found.tensors.items()}
    return Header(path, CONTAINER, tensors, found.metadata)


def _opened(path: Path, data: bytes) -> Image.Image:
    try:
        return open_picture(data, MAXIMUM_PIXELS)
    except UnsafeFile:
        raise UnsafeFile(
            f"{path.name} has too many pixels for an embedding.",
            f"At most {MAXIMUM_PIXELS / 1e6:g} megapixels are read.",
        ) from None
    except FileError as error:
        raise DamagedFile(f"{path.name} cannot be read as a picture.", error.wanted, DESPITE) from None


def _from_text(path: Path, text: str) -> bytes:
    if len(text) > MAXIMUM_JSON // 3 * 4:
        raise UnsafeFile(
            f"{path.name} has an embedding of {len(text)} characters.", f"At most {MAXIMUM_JSON} are read."
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DamagedFile(f"{path.name} is damaged: its embedding is no base64 text.", "", DESPITE) from None


def _from_pixels(path: Path, image: Image.Image) -> bytes | None:
    """The JSON hidden in the pixels, or None where there are no two blocks with deflated data."""
    import numpy as np

    try:
        pixels = np.asarray(image.convert("RGB"))  # [H, W, 3]
    except DAMAGE as error:
        raise DamagedFile(f"{path.name} is damaged: {error}.", "A complete picture was wanted.") from None
    low = _without_border(pixels) & 15
    empty = np.flatnonzero(~low.any(axis=(0, 2)))
    if len(empty) < 2:
        return None
    first, second = low[:, : empty[0]], low[:, empty[-1] + 1 :]
    if first.shape != second.shape or first.size < 2:
        return None
    mask = _mask(first.size)
    deflated = ((second.reshape(-1) ^ mask) << 4 | (first.reshape(-1) ^ mask)).tobytes()
    if deflated[0] & 15 != zlib.DEFLATED or int.from_bytes(deflated[:2], "big") % 31:
        return None
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(deflated, MAXIMUM_JSON + 1)
    except zlib.error as error:
        raise DamagedFile(
            f"{path.name} is damaged: what its pixels hold cannot be unpacked ({error}).", "", DESPITE
        ) from None
    if len(found) > MAXIMUM_JSON:
        raise UnsafeFile(f"The pixels of {path.name} unpack to over {MAXIMUM_JSON >> 20} MB: a decompression bomb.")
    if not inflater.eof:
        raise DamagedFile(f"{path.name} is damaged: what its pixels hold breaks off.", "", DESPITE)
    return found


def _without_border(pixels: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3] without black edges; a pixel counts when none of its colours is zero."""
    import numpy as np

    inside: np.ndarray = np.all(pixels > 0, axis=2)
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    if not len(columns):
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _mask(count: int) -> np.ndarray:
    """What the halves of bytes were combined with: a linear congruential generator from 0, modulo 255, low half.

    Each round doubles the states that are known: as many steps further is one step of the generator composed with
    itself.
    """
    import numpy as np

    states = np.array([INCREMENT], np.uint32)
    factor, offset = MULTIPLIER, INCREMENT  # of len(states) steps
    while len(states) < count:
        more = states[: count - len(states)] * np.uint32(factor) + np.uint32(offset)
        states = np.concatenate([states, more])
        factor, offset = factor * factor % MODULUS, (factor + 1) * offset % MODULUS
    return (states % 255 & 15).astype(np.uint8)


def _parsed(path: Path, text: bytes) -> PictureEmbedding:
    import numpy as np

    try:
        top = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedFile(f"{path.name} is damaged: its embedding is no JSON.", "", DESPITE) from None
    if not isinstance(top, dict):
        raise DamagedFile(f"{path.name} holds a {type(top).__name__}.", "A dictionary of tensors was wanted.")
    tensors = {}
    for name, lists in _walk(top):
        try:
            array = np.asarray(lists)
        except (ValueError, OverflowError):
            array = np.empty(0, object)
        if array.ndim not in (1, 2) or array.dtype.kind not in "fi" or not array.size:
            raise DamagedFile(f"{path.name} is damaged: {name!r:.60} is no matrix of numbers.", "", DESPITE)
        tensors[name] = array.astype(np.float32)
    facts = {k: str(v)[:4096] for k, v in top.items() if isinstance(v, str | int | float) and len(k) < 64}
    return PictureEmbedding(tensors, dict(list(facts.items())[:64]))


def _walk(value: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Nested lists of tensors by dotted name."""
    for key, entry in value.items():
        name = f"{prefix}{key}"
        if not isinstance(entry, dict):
            continue
        if TENSOR in entry:
            yield name, entry[TENSOR]
        elif depth < MAXIMUM_DEPTH:
            yield from _walk(entry, f"{name}.", depth + 1)
