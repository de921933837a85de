"""Pictures of every kind that people have: read alike, or refused by name."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.imaging.pictures import SIZE, difference, drawing, encoded, turned
from webui.errors import DamagedFile, UnsafeFile
from webui.imaging.files import is_animated, load_picture, open_picture, picture_size
from webui.imaging.metadata import read_metadata
from webui.imaging.resize import flattened

FORMATS = {"PNG": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "TIFF": {}}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", FORMATS)
def test_every_orientation_of_every_format_is_turned_upright(format, orientation):
    data = turned(orientation, format, **FORMATS[format])
    assert difference(flattened(load_picture(data)), drawing()) < 4
    found = read_metadata(data)
    assert picture_size(data) == (found.width, found.height) == SIZE


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_what_scanners_and_editors_save_as_tiff_is_read(compression):
    data = encoded(drawing(), "TIFF", compression=compression)
    assert difference(load_picture(data), drawing()) < 3


def test_bitmaps_are_read():
    assert difference(load_picture(encoded(drawing(), "BMP")), drawing()) == 0


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight_by_their_upper_half(suffix):
    pixels = np.asarray(drawing())
    for stored, wanted in ((pixels[..., ::-1], drawing()), (pixels[..., 0], Image.fromarray(pixels[..., 0]))):
        data = cv2.imencode(suffix, stored.astype(np.uint16) * 257)[1].tobytes()
        assert difference(flattened(load_picture(data)), wanted.convert("RGB")) == 0


def test_a_telephones_picture_with_another_behind_it_is_a_jpeg():
    data = encoded(drawing(), "MPO", save_all=True, append_images=[drawing().resize((20, 12))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert open_picture(data).format == read_metadata(data).format == "JPEG"
    assert not is_animated(data)


def test_several_pages_are_told():
    assert is_animated(encoded(drawing(), "TIFF", save_all=True, append_images=[drawing()]))
    assert not is_animated(encoded(drawing(), "TIFF"))


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_files_of_other_kinds_are_named_and_say_what_to_do(data, kind):
    with pytest.raises(DamagedFile, match=kind) as refused:
        open_picture(data + bytes(100))
    assert refused.value.remedy


def test_an_empty_file_is_called_empty():
    with pytest.raises(DamagedFile, match="is empty"):
        open_picture(b"")


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_that_are_no_colours_are_refused(mode):
    with pytest.raises(DamagedFile, match="32 bits"):
        open_picture(encoded(drawing().convert(mode), "TIFF"))


def test_rare_codecs_of_tiff_are_not_asked():
    with pytest.raises(DamagedFile, match="packed by lzma"):
        open_picture(encoded(drawing(), "TIFF", compression="lzma"))


@pytest.mark.parametrize("tag, value", [(50706, bytes([1, 4, 0, 0])), (254, 1)])
def test_the_small_picture_in_a_raw_file_is_not_taken_for_the_picture(tag, value):
    with pytest.raises(DamagedFile, match="raw file"):
        open_picture(encoded(drawing(), "TIFF", tiffinfo={tag: value}))


def test_a_tile_beyond_the_limit_is_refused_before_memory_is_taken_for_it():
    entries = [
        (256, 10),
        (257, 10),
        (258, 8),
        (259, 8),
        (262, 1),
        (277, 1),
        (322, 65520),
        (323, 65520),
        (324, 8),
        (325, 9),
    ]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    data = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + body + bytes(4)
    with pytest.raises(UnsafeFile, match="megapixels"):
        open_picture(data)
