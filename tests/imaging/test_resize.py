"""Pictures of any kind in the size that is wanted."""

import io

import numpy as np
import pytest
from PIL import Image

from webui.errors import InvalidRequest
from webui.imaging.colour import matched_histogram, with_colours_of
from webui.imaging.files import load_picture
from webui.imaging.resize import covering, extended, flattened, resized, within


def gradient(width, height):
    ys, xs = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([xs * 255 // width, ys * 255 // height, xs * 0 + 40], 2).astype(np.uint8))


@pytest.mark.parametrize("mode", ["stretch", "crop", "fill"])
@pytest.mark.parametrize("size", [(64, 64), (100, 30), (31, 77), (128, 96)])
def test_every_mode_gives_exactly_the_size(mode, size):
    assert resized(gradient(128, 96), size, mode).size == size


def test_crop_keeps_the_middle_in_its_proportions():
    picture = Image.new("RGB", (300, 100), "black")
    picture.paste("white", (70, 0, 230, 100))
    assert resized(picture, (50, 50), "crop").getcolors() == [(2500, (255, 255, 255))]


def test_fill_repeats_the_outermost_pixels_beside_the_whole_picture():
    made = np.asarray(resized(gradient(100, 100), (200, 100), "fill"))
    assert (made[:, :50] == made[:, 50:51]).all()
    assert (made[:, 150:] == made[:, 149:150]).all()
    assert (made[:, 50:150] == np.asarray(gradient(100, 100))).all()


def test_only_what_grows_is_given_to_the_upscaler():
    asked = []

    def enlarge(picture, size):
        asked.append(size)
        return picture.resize(size)

    resized(gradient(40, 20), (80, 80), "crop", enlarge)
    resized(gradient(200, 200), (80, 80), "stretch", enlarge)
    assert asked == [(160, 80)]


def test_covering_and_within_keep_proportions():
    assert covering((512, 768), (1024, 1024)) == (1024, 1536)
    assert within((512, 768), (1024, 1024)) == (682, 1024)
    assert covering((512, 512), (768, 768)) == (768, 768)


def test_a_border_of_nothing_changes_nothing():
    assert extended(gradient(9, 7), 0, 0, 0, 0).tobytes() == gradient(9, 7).tobytes()


def test_an_unknown_mode_is_refused():
    with pytest.raises(InvalidRequest):
        resized(gradient(8, 8), (4, 4), "bend")


def as_file(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_every_mode_become_rgb(mode):
    if mode == "I;16":
        picture = Image.fromarray(np.full((5, 4), 40_000, np.uint16))
    else:
        picture = Image.new("RGB", (4, 5), (156, 156, 156)).convert(mode)
    made = flattened(load_picture(as_file(picture, format="JPEG" if mode in ("CMYK", "YCbCr") else "PNG")))
    assert (made.mode, made.size) == ("RGB", (4, 5))
    if mode not in ("1", "P"):
        assert abs(made.getpixel((0, 0))[0] - 156) <= 1


def test_sixteen_bits_are_scaled_and_not_clipped():
    made = flattened(Image.fromarray(np.array([[0, 257, 32_896, 65_535]], np.uint16)))
    assert [made.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_transparency_shows_the_background_in_rgba_grey_and_palettes():
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))
    for mode in ("RGBA", "LA", "PA"):
        made = flattened(load_picture(as_file(rgba.convert(mode) if mode != "PA" else rgba.quantize())), "#00ff00")
        assert made.getpixel((1, 0)) == (0, 255, 0)
    with pytest.raises(InvalidRequest, match="background"):
        flattened(rgba, "no colour")


def test_a_picture_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = as_file(gradient(20, 10), format="JPEG", exif=exif)
    assert flattened(load_picture(data)).size == (10, 20)


def test_matching_a_picture_to_itself_changes_nothing_and_ranks_decide_otherwise():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (matched_histogram(values, values) == values).all()
    assert set(np.unique(matched_histogram(values, np.array([10, 10, 200, 200], np.uint8)))) <= set(range(10, 201))
    assert matched_histogram(values, np.full(9, 77, np.uint8)).tolist() == np.full((16, 16), 77).tolist()


def test_matched_colours_take_the_references_hue_and_keep_the_brightness():
    grey = Image.fromarray(np.repeat(np.asarray(gradient(64, 64))[..., :1], 3, axis=2))
    made = np.asarray(with_colours_of(grey, Image.new("RGB", (8, 8), (200, 60, 60))), np.float64)
    weights = np.array([0.3, 0.59, 0.11])
    assert np.abs(made @ weights - np.asarray(grey, np.float64) @ weights).max() < 2
    middle = made[:, 16:48]
    assert (middle[..., 0] > middle[..., 1]).all()
