"""Pictures as other programs write them: their metadata in the places and shapes that those programs document."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

USER_COMMENT, MAKE, MODEL, SOFTWARE, MAKER_NOTE = 0x9286, 0x010F, 0x0110, 0x0131, 0x927C


def png(texts: dict[str, str], size: tuple[int, int] = (64, 48), international: bool = False) -> bytes:
    """A PNG with text chunks."""
    info = PngInfo()
    for name, text in texts.items():
        (info.add_itxt if international else info.add_text)(name, text)
    return _saved(Image.new("RGB", size, (90, 120, 60)), "PNG", pnginfo=info)


def with_comment(text: str, format: str = "JPEG") -> bytes:
    """A JPEG or WebP with the text as A1111 writes it: EXIF UserComment, UNICODE, UTF-16 big-endian."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    return _saved(Image.new("RGB", (64, 48)), format, exif=exif)


def comfy_webp(prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> bytes:
    """ComfyUI's WebP: `prompt:{…}` as the camera's model, further items as its make."""
    exif = Image.Exif()
    exif[MODEL] = "prompt:" + json.dumps(prompt)
    if workflow is not None:
        exif[MAKE] = "workflow:" + json.dumps(workflow)
    return _saved(Image.new("RGB", (64, 48)), "WEBP", exif=exif)


def fooocus_jpeg(data: str, scheme: str) -> bytes:
    """Fooocus' JPEG: plain texts in the main directory, the scheme as the maker's note."""
    exif = Image.Exif()
    exif[USER_COMMENT], exif[SOFTWARE], exif[MAKER_NOTE] = data, "Fooocus v2.5.5", scheme
    return _saved(Image.new("RGB", (64, 48)), "JPEG", exif=exif)


def stealth(text: str, channels: str = "alpha", packed: bool = True, size: tuple[int, int] = (96, 96)) -> bytes:
    """A PNG with the text in the lowest bits, written bit by bit down the columns as the format's description says."""
    kind = {"alpha": "png", "rgb": "rgb"}[channels] + ("comp" if packed else "info")
    body = gzip.compress(text.encode(), mtime=0) if packed else text.encode()
    data = f"stealth_{kind}".encode() + (len(body) * 8).to_bytes(4, "big") + body
    bits = [(byte >> (7 - place)) & 1 for byte in data for place in range(8)]
    image = Image.new(
        "RGBA" if channels == "alpha" else "RGB", size, (200, 100, 50, 255)[: 4 if channels == "alpha" else 3]
    )
    pixels = image.load()
    places = [
        (x, y, band)
        for x in range(size[0])
        for y in range(size[1])
        for band in ((3,) if channels == "alpha" else (0, 1, 2))
    ]
    assert len(bits) <= len(places)
    for bit, (x, y, band) in zip(bits, places):
        pixel = list(pixels[x, y])
        pixel[band] = pixel[band] & ~1 | bit
        pixels[x, y] = tuple(pixel)
    return _saved(image, "PNG")


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
