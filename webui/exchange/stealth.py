"""Text hidden in the lowest bits of a picture's pixels ("stealth pnginfo"), as NovelAI and SwarmUI write it.

The bits of the alpha channel, or of red, green and blue in turn, column by column: a signature of 15 letters, the
number of bits that follow as 32 bits, and the text, as it is or gzipped.
"""

from __future__ import annotations

import zlib

from PIL import Image

TEXT_LIMIT = 4 << 20  # bytes of the text
_SIGNATURES = {
    b"stealth_pnginfo": ("A", False),
    b"stealth_pngcomp": ("A", True),
    b"stealth_rgbinfo": ("RGB", False),
    b"stealth_rgbcomp": ("RGB", True),
}
_HEAD = 15 * 8 + 32
_LOWEST_BIT = bytes(ord("0") + (value & 1) for value in range(256))


def read_hidden_text(image: Image.Image) -> str | None:
    """The hidden text of a loaded picture, or None. Reads no further than the signature where there is none."""
    for channels in ("A", "RGB"):
        if channels == "A" and "A" not in image.getbands():
            continue
        if image.mode not in ("RGB", "RGBA"):
            continue
        head = _bits(image, channels, 0, _HEAD)
        signature = _SIGNATURES.get(_bytes(head[: 15 * 8]))
        if signature is None or signature[0] != channels or len(head) < _HEAD:
            continue
        length = int(head[15 * 8 :], 2)
        if length // 8 > TEXT_LIMIT:
            return None
        data = _bytes(_bits(image, channels, _HEAD, length // 8 * 8))
        return _text(data, packed=signature[1])
    return None


def _bits(image: Image.Image, channels: str, start: int, count: int) -> str:
    """That many lowest bits, as a text of 0 and 1, counted down the columns."""
    per_pixel, height = len(channels), image.height
    first, last = start // (per_pixel * height), -(-(start + count) // (per_pixel * height))
    if first >= image.width:
        return ""
    strip = image.crop((first, 0, min(last, image.width), height))
    part = strip.getchannel("A") if channels == "A" else strip.convert("RGB")
    data = part.transpose(Image.Transpose.TRANSPOSE).tobytes().translate(_LOWEST_BIT)
    offset = start - first * per_pixel * height
    return data[offset : offset + count].decode("ascii")


def _bytes(bits: str) -> bytes:
    whole = bits[: len(bits) // 8 * 8]
    return int(whole, 2).to_bytes(len(whole) // 8, "big") if whole else b""


def _text(data: bytes, packed: bool) -> str | None:
    if packed:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip
        try:
            data = inflater.decompress(data, TEXT_LIMIT)
        except zlib.error:
            return None
    return data.decode("utf-8", "replace")
