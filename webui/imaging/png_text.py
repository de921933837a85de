"""The text and EXIF chunks of PNG files, before or after the pixels, read without decoding any.

Source: PNG (third edition), section 11.3.3. Damaged chunks are left out; nothing is unpacked beyond a limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UNPACKED_LIMIT = 16 << 20  # bytes of all compressed texts together
_ITEMS = 256


class _Unpacker:
    """Inflates until all texts of a file together, refused ones included, have reached the limit."""

    def __init__(self) -> None:
        self.left = _UNPACKED_LIMIT

    def unpack(self, data: bytes) -> bytes | None:
        """Inflated bytes, or None where they are damaged or too many."""
        if not self.left:
            return None
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(data, self.left)
        except zlib.error:
            return None
        self.left -= len(text)
        return text if inflater.eof else None


def read_png_texts(data: bytes) -> dict[str, str]:
    """Texts by keyword; of equal keywords the first counts. Never raises: what cannot be read is left out."""
    texts: dict[str, str] = {}
    unpacker = _Unpacker()
    for kind, body in _chunks(data):
        found = _READERS[kind](body, unpacker) if kind in _READERS else None
        if found:
            texts.setdefault(*found)
        if len(texts) == _ITEMS:
            break
    return texts


def read_png_exif(data: bytes) -> bytes:
    """The first EXIF block, empty where there is none."""
    return next((body for kind, body in _chunks(data) if kind == b"eXIf"), b"")


def png_is_whole(data: bytes) -> bool:
    """Whether all chunks are there to the last one, and have the checksums that they say."""
    position, view = len(SIGNATURE), memoryview(data)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data) or zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return False
        if kind == b"IEND":
            return True
        position = end + 4
    return False


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the chunks that are read here; the others are skipped."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start, position = position + 8, position + length + 12  # length, kind, body, checksum
        if position <= len(data) and (kind in _READERS or kind == b"eXIf"):
            yield kind, data[start : start + length]


def _plain(body: bytes, unpacker: _Unpacker) -> tuple[str, str] | None:
    """tEXt: keyword, NUL, latin-1."""
    keyword, separator, text = body.partition(b"\0")
    return (keyword.decode("latin-1"), _latin(text)) if separator else None


def _compressed(body: bytes, unpacker: _Unpacker) -> tuple[str, str] | None:
    """zTXt: keyword, NUL, method 0, deflated latin-1."""
    keyword, separator, rest = body.partition(b"\0")
    text = unpacker.unpack(rest[1:]) if separator and rest[:1] == b"\0" else None
    return None if text is None else (keyword.decode("latin-1"), _latin(text))


def _latin(text: bytes) -> str:
    """Latin-1 by the standard, though some programs write UTF-8: what reads as that is that."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def is_ambiguous(text: str) -> bool:
    """Whether a text in latin-1 would be read as UTF-8, and so as another text."""
    try:
        return text.encode("latin-1").decode("utf-8") != text
    except UnicodeError:
        return False


def _international(body: bytes, unpacker: _Unpacker) -> tuple[str, str] | None:
    """iTXt: keyword, NUL, flag, method, language, NUL, translated keyword, NUL, UTF-8."""
    keyword, separator, rest = body.partition(b"\0")
    parts = rest[2:].split(b"\0", 2)
    if not separator or len(parts) < 3 or rest[:2] not in (b"\0\0", b"\1\0"):
        return None
    text = unpacker.unpack(parts[2]) if rest[:1] == b"\1" else parts[2]
    return None if text is None else (keyword.decode("latin-1"), text.decode("utf-8", "replace"))


_READERS = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}
