"""Small files that would become large or long ones, made here so that nothing of the kind lies in the repository."""

from __future__ import annotations

import functools
import io
import struct
import zlib

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE = 13_000  # of pictures: 169 megapixels
FRAMES = 10_000


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Signature and IHDR."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def zeros(count: int) -> bytes:
    """So many zeros, compressed piece by piece."""
    packer, whole = zlib.compressobj(9), []
    for _ in range(count >> 20):
        whole.append(packer.compress(bytes(1 << 20)))
    return b"".join([*whole, packer.compress(bytes(count & ((1 << 20) - 1))), packer.flush()])


def small_picture(*chunks: bytes) -> bytes:
    """A good picture of 8 × 8 pixels with further chunks behind its header."""
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + bytes(24)) * 8))
    return b"".join([header(8, 8), *chunks, pixels, chunk(b"IEND", b"")])


def large_picture() -> bytes:
    """13,000 × 13,000 pixels of one bit in some kilobytes."""
    row = (SIDE + 7) // 8 + 1
    return header(SIDE, SIDE, 1, 0) + chunk(b"IDAT", zeros(row * SIDE)) + chunk(b"IEND", b"")


def many_frames() -> bytes:
    """An APNG of ten thousand frames."""
    pixels, frames = zlib.compress((b"\0" + bytes(24)) * 8), []
    for number in range(FRAMES):
        control = struct.pack(">IIIIIHHBB", 2 * number, 8, 8, 0, 0, 1, 100, 0, 0)
        frames += [chunk(b"fcTL", control), chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + pixels)]
    body = [chunk(b"acTL", struct.pack(">II", FRAMES, 0)), chunk(b"IDAT", pixels), *frames, chunk(b"IEND", b"")]
    return header(8, 8) + b"".join(body)


def long_animation() -> bytes:
    """A GIF of a thousand frames."""
    stream = io.BytesIO()
    frames = [Image.new("L", (8, 8), number % 255) for number in range(1000)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def tiff(more: dict[int, int]) -> bytes:
    """A deflated grey picture; `more` are its tags for size and place."""
    tags = sorted(({258: 8, 259: 8, 262: 1, 277: 1} | more).items())
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries).ljust(400, b"\0") + zeros(1 << 20)


@functools.cache
def bombs() -> dict[str, bytes]:
    """All of them by name."""
    keyword, text = b"parameters\0\0", zeros(200 << 20)
    many = b"".join(chunk(b"tEXt", b"k%d\0v" % number) for number in range(5_000))
    return {
        "large picture": large_picture(),
        "claimed size": header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b""),
        "many frames": many_frames(),
        "long animation": long_animation(),
        "zTXt": small_picture(chunk(b"zTXt", keyword + text)),
        "iTXt": small_picture(chunk(b"iTXt", b"parameters\0\1\0\0\0" + text)),
        "ICC profile": small_picture(chunk(b"iCCP", b"x\0\0" + text)),
        "many texts": small_picture(many),
        "pixels behind the end": header(8, 8) + chunk(b"IDAT", text) + chunk(b"IEND", b""),
        "claimed length": SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR",
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%stdin) run\n",
        "TIFF of large tiles": tiff({256: 10, 257: 10, 322: 65_520, 323: 65_520, 324: 400, 325: 9}),
        "TIFF of many pixels": tiff({256: 65_535, 257: 65_535, 273: 400, 278: 65_535, 279: 9}),
        "BMP of 65 thousand": b"BM"
        + bytes(12)
        + struct.pack("<IiiHHIIiiII", 40, 65_535, 65_535, 1, 8, 1, 0, 0, 0, 0, 0),
        "TIFF": b"II*\0\x08\0\0\0\xff\xff" + bytes(4000),
        "PSD": b"8BPS\0\1" + bytes(6) + b"\0\3" + struct.pack(">II", 30_000, 30_000) + b"\0\x08\0\3",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"></svg>',
        "JPEG of 65 thousand": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9",
        "WebP": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        "empty": b"",
    }
