"""Pictures as telephones, scanners and editors make them, of one drawing."""

import io
import itertools
import struct
from fractions import Fraction

import numpy as np
from PIL import Image

SIZE = (40, 24)
TURNS = {  # EXIF orientation: what was done to the picture before it was stored
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# Columns of red, green and blue in the profile connection space (D50), from the standards' chromaticities.
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def drawing(low=40, high=215):
    """Ramps of red and green with a mark at the upper left; the range stays within any profile's colours."""
    across, down = np.meshgrid(np.linspace(low, high, SIZE[0]), np.linspace(low, high, SIZE[1]))
    pixels = np.stack([across, down, np.full_like(across, 90)], axis=-1).astype(np.uint8)
    pixels[:6, :10] = (200, 60, 60)
    return Image.fromarray(pixels)


def encoded(picture, format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation, format, **options):
    """The drawing as a camera stores it that was held another way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = drawing()
    stored = picture.transpose(TURNS[orientation]) if orientation in TURNS else picture
    return encoded(stored, format, exif=exif, **options)


def rgb_profile(columns, gamma=2.2):
    """A profile of three columns, all with the same curve (ICC.1:2001, section 6.3.1.1)."""
    places = {key: _place(column) for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns)}
    return _profile(b"RGB ", places | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma)))


def grey_profile(gamma):
    """A profile of greys (ICC.1:2001, section 6.3.1.2)."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def ink_profile():
    """A profile of CMYK with a table of two steps an ink: paper at (0, 0, 0, 0), darker and coloured with ink
    (ICC.1:2001, section 6.5.9; L* in 255 / 100, a* and b* from 128)."""
    table = b""
    for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4):
        light = (0 if black else 100) - (15 * cyan + 20 * magenta + 5 * yellow) * (not black)
        a, b = (60 * (magenta - cyan), 70 * yellow - 30 * cyan) if not black else (0, 0)
        table += bytes((round(light * 2.55), 128 + a, 128 + b))
    straight = bytes(range(256))
    matrix = b"".join(struct.pack(">i", 65536 * value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return _profile(b"CMYK", {b"A2B0": b"mft1" + bytes(4) + b"\4\3\2\0" + matrix + straight * 4 + table + straight * 3})


def _profile(space, tags):
    name = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0x\0\0\0", b"wtpt": _place((0.9642, 1, 0.8249))} | tags
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = struct.pack(">I", start + len(body))
    kind, space = (b"prtr", b"CMYKLab ") if space == b"CMYK" else (b"mntr", space + b"XYZ ")
    head = size + bytes(4) + b"\2\x10\0\0" + kind + space + bytes(12) + b"acsp" + bytes(28)
    white = _place((0.9642, 1, 0.8249))[8:]
    return (head + white).ljust(128, b"\0") + table + body


def _place(values):
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(Fraction(value) * 65536)) for value in values)


def _curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))


def difference(one, other):
    """The mean difference of two pictures in steps of 255."""
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())
