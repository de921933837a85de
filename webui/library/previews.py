"""The pictures on cards: small copies of what lies beside a file, and setting another one."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import json
import sqlite3
from pathlib import Path

from PIL import Image

from webui.errors import DamagedFile, FileError, NotFound
from webui.imaging.files import DAMAGE, load_picture
from webui.imaging.metadata import encode_picture, read_metadata
from webui.imaging.profiles import in_srgb
from webui.imaging.resize import eight_bits, flattened
from webui.library.cards import make_card
from webui.library.files import is_picture
from webui.library.index import Library, stem_path
from webui.library.recognise import EMBEDDED_PICTURE
from webui.settings import write_atomically
from webui.weights.header import read_header

CARD_SIDE = 400  # pixels of the longest side: twice what a card shows, for dense screens
KEPT_SIDE = 1024  # of a preview that we put beside a file
QUALITY = 82
MEDIA_TYPE = "image/webp"


def thumbnail(library: Library, file_id: str) -> bytes:
    """A small WebP of a file's preview, made once and kept in the data folder until the preview changes.

    Raises NotFound for a file without one, FileError for one that cannot be read.
    """
    row = library.row(file_id)
    version = make_card(row).preview
    if not version:
        raise NotFound("This file has no preview.", "", "Set one from a finished picture.")
    kept = library.paths.data / "library-previews" / f"{row['id']}-{version}.webp"
    try:
        return kept.read_bytes()
    except OSError:
        data = _small(_preview(row))
    try:
        for former in kept.parent.glob(f"{row['id']}-*.webp"):
            former.unlink(missing_ok=True)
        write_atomically(kept, data)
    except OSError:
        return data  # a full disk: it is made again next time
    return data


def set_preview(library: Library, file_id: str, picture: bytes) -> None:
    """Put a picture beside a file as `name.preview.png`, where other programs look for it, with its infotext.

    The bytes may be anybody's: they are read as a picture, made smaller if need be, and written anew. Raises NotFound,
    DamagedFile, UnsafeFile, FileError.
    """
    row = library.row(file_id)
    image = eight_bits(in_srgb(load_picture(picture)))
    infotext = read_metadata(picture).infotext or ""
    image = image if image.mode in ("RGB", "RGBA", "L") else flattened(image)
    image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    stem = stem_path(row)
    path = stem.with_name(f"{stem.name}.preview.png")
    try:
        write_atomically(path, encode_picture(image, infotext))
    except OSError as error:
        raise FileError(
            f"{path.name} cannot be written: {error.strerror or error}.", "", "Make the folder writable."
        ) from None
    library.read_again(row)


def _preview(row: sqlite3.Row) -> Image.Image:
    path, name = Path(row["path"]), json.loads(row["notes"]).get("preview")
    if name:
        return load_picture(path.with_name(name))
    if is_picture(path.name):  # an embedding in a picture shows itself
        return load_picture(path)
    said = read_header(path).metadata.get(EMBEDDED_PICTURE, "")
    kind, comma, text = said.partition("base64,")
    if comma and kind.startswith("data:image/"):
        with contextlib.suppress(binascii.Error, ValueError):
            return load_picture(base64.b64decode(text, validate=True))
    raise DamagedFile(f"The picture in the metadata of {path.name} is damaged.")


def _small(image: Image.Image) -> bytes:
    try:
        small = flattened(in_srgb(image))
        small.thumbnail((CARD_SIDE, CARD_SIDE), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        small.save(stream, "WEBP", quality=QUALITY)
    except DAMAGE as error:
        raise FileError(f"The preview cannot be made smaller: {error}.") from None
    return stream.getvalue()
