"""Numbers to pictures and back."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from webui.errors import EmulsionError
from webui.imaging.convert import encode_preview, to_arrays, to_pictures, to_tensor


def test_every_byte_survives_the_way_there_and_back():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([array, array.T, 255 - array], axis=2))
    (back,) = to_pictures(to_tensor(picture))
    assert back.tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("value", "byte"),
    [(0, 0), (1, 255), (0.5, 128), (1.49 / 255, 1), (1.51 / 255, 2), (-3, 0), (7, 255), (np.inf, 255)],
)
def test_values_round_to_the_nearest_byte_and_are_clipped(value, byte):
    assert to_arrays(torch.full((1, 3, 1, 1), float(value))).ravel().tolist() == [byte] * 3


def test_the_shape_is_that_of_pictures():
    pixels = torch.zeros(2, 3, 4, 6)
    pixels[1, 0] = 1  # the second one is red
    pictures = to_pictures(pixels)
    assert [picture.size for picture in pictures] == [(6, 4), (6, 4)]
    assert pictures[1].getpixel((5, 3)) == (255, 0, 0)
    assert to_tensor(pictures[1]).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_of_number_is_taken(dtype):
    values = torch.tensor([0.0, 0.25, 1.0])
    assert to_arrays(values.to(dtype).view(3, 1, 1)).ravel().tolist() == [0, 64, 255]


def test_values_that_are_no_numbers_are_an_error_and_no_black_picture():
    with pytest.raises(EmulsionError, match="not numbers"):
        to_pictures(torch.full((1, 3, 2, 2), float("nan")))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_any_mode_become_rgb(mode):
    assert to_tensor(Image.new(mode, (5, 3))).shape == (1, 3, 3, 5)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_preview_is_small_and_keeps_its_proportions(format):
    preview = Image.open(io.BytesIO(encode_preview(Image.new("RGB", (2048, 1024), "red"), format, 256)))
    assert (preview.format, preview.size) == (format, (256, 128))


def test_a_preview_is_never_enlarged_and_leaves_the_picture_alone():
    picture = Image.new("RGB", (600, 300))
    assert Image.open(io.BytesIO(encode_preview(picture, longest_side=1000))).size == (600, 300)
    encode_preview(picture, longest_side=100)
    assert picture.size == (600, 300)
