"""Kinds of picture files: those that are read here, and what others are by their first bytes. Data only, no Pillow."""

from __future__ import annotations

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")  # of Pillow's forty, those that people use
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")  # of files in a folder
SHOWN = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")  # by every browser
# How scanners and editors pack TIFF; what else libtiff could unpack is not asked of it.
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "group4")

_AS_PNG = "Save it as PNG or JPEG."
_REMEDIES = {  # kind of a file that is not read: what to do with it
    "HEIC": "Save it as JPEG; an iPhone takes JPEG with Settings > Camera > Formats > Most Compatible.",
    "video": "Save one of its pictures as PNG.",
    "JPEG XL": _AS_PNG,
    "JPEG 2000": _AS_PNG,
    "Photoshop": _AS_PNG,
    "GIMP": "Export it as PNG or JPEG.",
    "PDF": "Export its page as PNG.",
    "SVG or XML": "Export it as PNG.",
    "OpenEXR": _AS_PNG,
    "ZIP": "Unpack it first.",
}

# (first byte of the mark, marks, kind)
_MARKS = (
    (4, (b"ftyphei", b"ftyphev", b"ftyphem", b"ftyphes", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    (4, (b"ftyp",), "video"),
    (0, (b"\x1aE\xdf\xa3",), "video"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "JPEG XL"),
    (0, (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "), "JPEG 2000"),
    (0, (b"8BPS",), "Photoshop"),
    (0, (b"gimp xcf",), "GIMP"),
    (0, (b"%PDF",), "PDF"),
    (0, (b"<svg", b"<?xml"), "SVG or XML"),
    (0, (b"v/1\x01",), "OpenEXR"),
    (0, (b"PK\x03\x04",), "ZIP"),
)

_OWN_MARKS = (
    (0, (b"\x89PNG\r\n\x1a\n",), "PNG"),
    (0, (b"\xff\xd8\xff",), "JPEG"),
    (8, (b"WEBP",), "WEBP"),
    (4, (b"ftypavif", b"ftypavis"), "AVIF"),
    (0, (b"GIF8",), "GIF"),
    (0, (b"II*\0", b"MM\0*"), "TIFF"),
)


def own_kind(data: bytes) -> str:
    """Which of FORMATS a file begins as, damaged ones too; empty where none of these."""
    return next((kind for start, marks, kind in _OWN_MARKS if data[start : start + 12].startswith(marks)), "")


def foreign_kind(data: bytes) -> tuple[str, str]:
    """The kind of a file and what to do with it; both empty where its first bytes say nothing."""
    for start, marks, kind in _MARKS:
        if data[start : start + 12].startswith(marks):
            return kind, _REMEDIES[kind]
    return "", ""
