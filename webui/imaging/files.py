"""Picture files: opening what others made without trusting it, and putting finished files in place in one step."""

from __future__ import annotations

import errno
import io
import itertools
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from webui.atomic import publish, sync_folder
from webui.errors import DamagedFile, FileError, UnsafeFile

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")  # of Pillow's forty, those that people use and that were hardened
MAX_PIXELS = 64_000_000
MAX_BYTES = 512 << 20

# What Pillow's decoders raise on damaged bytes; the AVIF one raises RuntimeError for nearly everything.
DAMAGE = (
    RuntimeError,
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def open_picture(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture's header, size checked, pixels not read yet: `load_picture` reads them.

    Raises DamagedFile for what is no picture of the known formats, UnsafeFile for one of too many pixels, FileError
    when the file cannot be opened.
    """
    name = source.name if isinstance(source, Path) else "The picture"
    try:
        image = Image.open(io.BytesIO(read_bytes(source)), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(name, max_pixels) from None
    except DAMAGE:
        raise DamagedFile(f"{name} cannot be read as a picture.", f"Wanted: {', '.join(FORMATS)}.") from None
    if image.width * image.height > max_pixels:
        raise _too_large(name, max_pixels)
    return image


def read_bytes(source: Path | bytes) -> bytes:
    """A file's bytes. Raises FileError where it cannot be read, UnsafeFile where it is over 512 MB."""
    if isinstance(source, bytes):
        return source
    try:
        if source.stat().st_size > MAX_BYTES:
            raise UnsafeFile(f"{source.name} is too large.", f"Pictures of up to {MAX_BYTES >> 20} MB are read.")
        return source.read_bytes()
    except OSError as error:
        raise FileError(f"{source.name} cannot be read: {error.strerror or error}.") from None


def load_picture(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A whole picture (the first of an animation), turned as its EXIF says. Raises as `open_picture`."""
    image = open_picture(source, max_pixels)
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except DAMAGE as error:
        name = source.name if isinstance(source, Path) else "The picture"
        raise DamagedFile(f"{name} is damaged: {error}.", "A complete picture was wanted.") from None


def is_animated(source: Path | bytes) -> bool:
    """Whether a file holds several pictures, of which `load_picture` gives the first. Raises as `open_picture`."""
    try:
        return bool(getattr(open_picture(source), "is_animated", False))
    except DAMAGE:
        return False


def _too_large(name: str, max_pixels: int) -> UnsafeFile:
    return UnsafeFile(f"{name} has too many pixels.", f"At most {max_pixels / 1e6:g} megapixels are read.")


def place_file(data: bytes, path: Path) -> Path:
    """Write a file so that it appears whole or not at all, even if the machine stops, and never over another one.

    Where the name is taken, "-1", "-2" … is appended; returns the path that it got. Raises FileError naming what is
    wrong with the folder, such as a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return next(place for place in _names(path) if publish(temporary, place))
        finally:
            temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
    except OSError as error:
        remedy = "Free some space or choose another folder." if error.errno == errno.ENOSPC else ""
        raise FileError(f"{path} cannot be written: {error.strerror or error}.", remedy=remedy) from None


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
