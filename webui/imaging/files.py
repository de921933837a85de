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

from PIL import ExifTags, Image, ImageOps

from webui.atomic import publish, sync_folder
from webui.errors import DamagedFile, FileError, UnsafeFile
from webui.imaging.kinds import FORMATS, TIFF_COMPRESSIONS, foreign_kind, own_kind
from webui.imaging.png_text import png_is_whole, read_png_exif

MAX_PIXELS = 64_000_000
LARGEST = 16384 * 16384  # pixels of a picture whose header is read, and of the largest that Extras makes
Image.MAX_IMAGE_PIXELS = LARGEST  # Pillow's own limit, which would stop at 179 megapixels; ours stands in open_picture
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
    data = read_bytes(source)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(name, max_pixels) from None
    except DAMAGE:
        raise _unreadable(name, data) from None
    if image.width * image.height > max_pixels:
        raise _too_large(name, max_pixels)
    if image.format == "MPO":
        image.format = "JPEG"  # a telephone's JPEG with a depth map or a second view behind it
    if image.format == "TIFF":
        _check_tiff(image, name, max_pixels)
    return image


def _unreadable(name: str, data: bytes) -> DamagedFile:
    wanted = f"Wanted: {', '.join(FORMATS)}."
    if not data:
        return DamagedFile(f"{name} is empty.", wanted)
    begins = own_kind(data)
    if begins:
        return DamagedFile(f"{name} begins as {begins}, and is cut off or damaged.", "A complete picture was wanted.")
    kind, remedy = foreign_kind(data)
    if kind:
        return DamagedFile(f"{name} is a file of the kind {kind}, which is not read here.", wanted, remedy)
    return DamagedFile(f"{name} cannot be read as a picture.", wanted)


def _check_tiff(image: Image.Image, name: str, max_pixels: int) -> None:
    """Refuse what this kind of file may hold besides pictures as other formats have them."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_DNG_VERSION) or tags.get(_NEW_SUBFILE) == _THUMBNAIL:
        raise DamagedFile(
            f"{name} is a camera's raw file.", f"Wanted: {', '.join(FORMATS)}.", "Develop it, and save it as PNG."
        )
    compression = image.info.get("compression", "raw")
    if compression not in TIFF_COMPRESSIONS:
        raise DamagedFile(f"{name} is packed by {compression}, which is not read here.", "", "Save it with LZW.")
    if image.mode in ("F", "I", "LAB"):
        kind = "L*a*b* colours" if image.mode == "LAB" else "numbers of 32 bits"
        raise DamagedFile(f"{name} holds {kind}.", "RGB or greys of 8 or 16 bits were wanted.", "Save it as such.")
    sides = [tags.get(tag, 1) for tag in _TILE_SIDES]
    if any(not isinstance(side, int) for side in sides) or sides[0] * sides[1] > max_pixels:
        raise _too_large(name, max_pixels)


_DNG_VERSION, _NEW_SUBFILE, _TILE_SIDES = 50706, 254, (322, 323)  # tags of TIFF
_THUMBNAIL = 1  # a new subfile of this kind comes first in raw files only


def picture_size(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """The (width, height) that `load_picture` gives, from the header alone. Raises as `open_picture`."""
    data = read_bytes(source)
    image = open_picture(source, max_pixels)
    try:
        return upright_size(image, read_exif(image, data))
    except DAMAGE:
        return image.size


def upright_size(image: Image.Image, exif: Image.Exif) -> tuple[int, int]:
    """An opened picture's (width, height) once it is turned as its EXIF says."""
    lies = exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8) and image.format != "TIFF"  # which Pillow turns
    return (image.height, image.width) if lies else image.size


def read_exif(image: Image.Image, data: bytes) -> Image.Exif:
    """The EXIF of an opened picture whose bytes are `data`; no pixels are decoded. Raises one of DAMAGE."""
    if image.format != "PNG":
        return image.getexif()
    exif = Image.Exif()  # Pillow would decode all pixels of a PNG in search of EXIF behind them
    block = read_png_exif(data)
    if block:
        exif.load(b"Exif\0\0" + block)
    return exif


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
        ImageOps.exif_transpose(image, in_place=True)  # else it is copied, turned or not
        return image
    except DAMAGE as error:
        raise _damaged(source, error) from None


def check_whole(data: bytes, max_pixels: int = MAX_PIXELS) -> None:
    """Raise DamagedFile for a picture that is cut off in its pixels, which are decoded only where nothing else tells.

    Of a PNG the checksums do, of a JPEG its last mark; WebP is not even opened when it ends too soon.
    Raises as `open_picture` too.
    """
    image = open_picture(data, max_pixels)
    told = {"WEBP": lambda: True, "PNG": lambda: png_is_whole(data), "JPEG": lambda: data.endswith(_END_OF_JPEG)}
    if image.format in told and told[image.format]():
        return
    try:
        image.draft(None, (1, 1))  # of a JPEG an eighth of each side, for which all of it is read
        image.load()
    except DAMAGE as error:
        raise _damaged(data, error) from None


_END_OF_JPEG = b"\xff\xd9"


def _damaged(source: Path | bytes, error: Exception) -> DamagedFile:
    name = source.name if isinstance(source, Path) else "The picture"
    wanted = "A complete picture was wanted."
    if "truncated" in str(error).casefold():  # as all of Pillow's decoders say it
        return DamagedFile(f"{name} is damaged: it ends too soon.", wanted)
    return DamagedFile(f"{name} is damaged: {error}.", wanted)


def is_animated(source: Path | bytes) -> bool:
    """Whether a file holds several pictures, of which `load_picture` gives the first. Raises as `open_picture`."""
    try:
        image = open_picture(source)
        return image.format != "JPEG" and bool(getattr(image, "is_animated", False))
    except DAMAGE:
        return False


def _too_large(name: str, max_pixels: int) -> UnsafeFile:
    return UnsafeFile(f"{name} has too many pixels.", f"At most {max_pixels / 1e6:.3g} megapixels are read.")


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
