"""Infotexts inside picture files: PNG text chunks, EXIF comments in JPEG, WebP and AVIF, comments in GIF.

The places are those of AUTOMATIC1111's web UI, so that its tools find our texts and we find theirs.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from webui.errors import FileError, InvalidRequest
from webui.imaging.files import DAMAGE, LARGEST, open_picture, place_file, read_bytes, read_exif, upright_size
from webui.imaging.png_text import SIGNATURE, is_ambiguous, read_png_texts

PARAMETERS = "parameters"  # the PNG keyword, and the name under which every format's infotext is reported
_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF"}
_LONGEST = {"WEBP": 16383, "JPEG": 65500, "AVIF": 65536}  # pixels of a side that a format can hold
_USER_COMMENT = 0x9286
_UNICODE, _ASCII, _UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8
_EXIF_LIMIT = 65_000  # bytes of a JPEG segment, less what EXIF itself needs
_COMMENT_LIMIT = 65_000
_TEXT_LIMIT = 16 << 20  # characters of one text item; longer ones are no infotexts


@dataclass(frozen=True)
class PictureMetadata:
    """What a picture file says about itself. `items` holds every text in it by name; `infotext` is the best of them."""

    format: str  # one of files.FORMATS
    width: int  # as shown, once it is turned as its EXIF says
    height: int
    infotext: str | None = None
    items: dict[str, str] = field(default_factory=dict)


def save_picture(
    image: Image.Image,
    path: Path,
    infotext: str = "",
    format: str | None = None,
    quality: int = 90,
    lossless: bool = False,
    items: Mapping[str, str] | None = None,
    profile: bytes = b"",
) -> Path:
    """Save a picture with its infotext: whole or not at all, and never over another file.

    `format` is "png", "jpg", "webp" or "avif"; without it the path's suffix decides. `quality` 1 to 100, `lossless`
    (WebP only), `items` and `profile` are as for `encode_picture`. Returns the path, which has "-1" … appended where
    the name was taken. A picture too large for a `format` that is given becomes a PNG, with that suffix: the setting
    was made for others. Raises FileError when the folder cannot take it.
    """
    if format and max(image.size) > _LONGEST.get(_FORMATS.get(format, ""), max(image.size)):
        path, format = path.with_suffix(".png"), "png"
    return place_file(encode_picture(image, infotext, format or path.suffix, quality, lossless, items, profile), path)


def encode_picture(
    image: Image.Image,
    infotext: str = "",
    format: str = "png",
    quality: int = 90,
    lossless: bool = False,
    items: Mapping[str, str] | None = None,
    profile: bytes = b"",
) -> bytes:
    """The bytes of a picture file; the same picture and text always give the same bytes.

    `items` are further texts by keyword, for PNG alone; `profile` is the ICC profile of the colours. An infotext that
    is too long for a JPEG's EXIF (64 KB) is written as JPEG comments. Characters that files cannot hold (NUL, halves
    of surrogate pairs) become U+FFFD.
    Raises InvalidRequest on an unknown format, FileError on a picture that the format cannot hold.
    """
    name = _FORMATS.get(format.lower().lstrip("."))
    if name is None:
        raise InvalidRequest(f"Pictures cannot be saved as {format!r}.", f"Known: {', '.join(_FORMATS)}.")
    text = _writable(infotext)
    options: dict[str, Any] = {} if name == "PNG" else {"quality": quality}
    if profile:
        options["icc_profile"] = profile
    comments = b""
    if name == "PNG":
        options["pnginfo"] = PngInfo()
        for keyword, value in {**({PARAMETERS: text} if text else {}), **(items or {})}.items():
            value = _writable(value)
            add = options["pnginfo"].add_itxt if is_ambiguous(value) else options["pnginfo"].add_text
            add(_keyword(keyword), value)  # tEXt, or iTXt beyond latin-1
    elif text:
        exif = _exif(text)
        if name == "JPEG" and len(exif) > _EXIF_LIMIT:
            comments = _jpeg_comments(text)
        else:
            options["exif"] = exif
    if name == "WEBP":
        options["lossless"] = lossless
    if name == "JPEG" and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    try:
        image.save(buffer, name, **options)
    except (OSError, ValueError) as error:
        raise FileError(
            f"A picture of {image.width}×{image.height} cannot be saved as {name}: {error}.", remedy="Choose PNG."
        ) from None
    data = buffer.getvalue()
    return data[:2] + comments + data[2:] if comments else data  # right after the JPEG's start marker


def read_metadata(source: Path | bytes) -> PictureMetadata:
    """Format, size and all texts of a picture, without decoding its pixels.

    Texts are bounded; those beyond 16 million characters are left out. Raises as `files.open_picture` does, but takes
    pictures as large as Extras makes.
    """
    data = read_bytes(source)
    image = open_picture(data, LARGEST)
    items = read_png_texts(data) if data.startswith(SIGNATURE) else {}
    width, height = image.size
    try:
        exif = read_exif(image, data)
        width, height = upright_size(image, exif)
        items |= _exif_texts(exif)
        if image.format == "JPEG":
            segments = [part for name, part in getattr(image, "applist", []) if name == "COM"]
            if segments:
                items["comment"] = _decoded(b"".join(segments))
        elif isinstance(image.info.get("comment"), bytes):
            items["comment"] = _decoded(image.info["comment"])
    except DAMAGE:
        items["damaged"] = "Some of the metadata cannot be read."
    items = {name: text for name, text in items.items() if text and len(text) <= _TEXT_LIMIT}
    # As in A1111: what EXIF says counts before the PNG text, and a comment is the last resort.
    infotext = next((items[name] for name in ("UserComment", PARAMETERS, "comment") if name in items), None)
    return PictureMetadata(image.format or "", width, height, infotext, items)


def _writable(text: str) -> str:
    """A text without the characters that files cannot hold."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _keyword(name: str) -> str:
    """A PNG keyword: 1 to 79 characters of latin-1."""
    return name.encode("latin-1", "replace").decode("latin-1").replace("\0", "?").strip()[:79] or "text"


def _exif(text: str) -> bytes:
    """EXIF with the text as the user's comment, in UTF-16 of the same byte order as the block (big-endian)."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[_USER_COMMENT] = _UNICODE + text.encode("utf-16-be")
    return exif.tobytes()


def _exif_texts(exif: Image.Exif) -> dict[str, str]:
    """All texts in EXIF by the name of their tag, ComfyUI's "prompt:{…}" among them."""
    texts: dict[str, str] = {}
    for tags in (exif, exif.get_ifd(ExifTags.IFD.Exif)):
        for tag, value in tags.items():
            name = ExifTags.TAGS.get(tag, f"0x{tag:04x}")
            if tag == _USER_COMMENT and isinstance(value, bytes):
                texts[name] = _user_comment(value)
            elif isinstance(value, str):
                texts[name] = value.rstrip("\0")
    return texts


def _user_comment(value: bytes) -> str:
    prefix, body = value[:8], value[8:]
    if prefix == _UNICODE:
        # The standard means the byte order of the block, A1111 always writes big-endian, others do not agree either:
        # the right order is the one in which more characters are Latin, as every parameter line is.
        candidates = [body.decode(order, "replace") for order in ("utf-16-be", "utf-16-le")]
        return max(candidates, key=lambda text: sum(" " <= character <= "~" for character in text)).removeprefix(
            "\ufeff"
        )
    return _decoded(body if prefix in (_ASCII, _UNDEFINED) else value).rstrip("\0")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _jpeg_comments(text: str) -> bytes:
    """The text as JPEG comment segments, one after the other."""
    data = text.encode("utf-8")
    parts = [data[start : start + _COMMENT_LIMIT] for start in range(0, len(data), _COMMENT_LIMIT)]
    return b"".join(b"\xff\xfe" + (len(part) + 2).to_bytes(2, "big") + part for part in parts)
