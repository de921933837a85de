"""Masks: what is repainted, and that nothing else is touched."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from webui.errors import InvalidRequest
from webui.imaging.masks import (
    blurred,
    filled,
    inverted,
    mask_of,
    masked_region,
    outpainted,
    pasted,
    strengthened,
    transparency_of,
)
from webui.imaging.soft_mask import difference_mask
from webui.request import SoftInpaint


def mask(size=(100, 80), box=(40, 30, 60, 50)):
    made = Image.new("L", size, 0)
    made.paste(255, box)
    return made


def noise(size, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_a_drawn_layer_masks_where_it_is_opaque_and_a_grey_picture_by_its_greys():
    layer = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    layer.putpixel((1, 0), (9, 9, 9, 255))
    assert list(mask_of(layer).get_flattened_data()) == [0, 255]
    assert list(mask_of(Image.fromarray(np.array([[0, 100, 255]], np.uint8))).get_flattened_data()) == [0, 100, 255]
    assert list(mask_of(Image.new("RGBA", (1, 1), (255, 255, 255, 255))).get_flattened_data()) == [255]


def test_the_mask_of_a_pictures_transparency_is_white_where_nothing_is_seen():
    picture = Image.new("RGBA", (2, 1), (1, 2, 3, 255))
    picture.putpixel((0, 0), (1, 2, 3, 0))
    assert list(transparency_of(picture).get_flattened_data()) == [255, 0]
    assert transparency_of(Image.new("RGB", (2, 1))).getextrema() == (0, 0)


def test_the_blur_is_gaussian_along_each_axis_alone():
    wide = np.asarray(blurred(mask(), (4, 0)), np.float64)
    assert wide[:30].max() == 0
    assert wide[40, 40] == pytest.approx(255 * 0.55, abs=8)  # at an edge about one half
    assert np.asarray(blurred(mask(), (0, 4)))[:, :40].max() == 0
    both = np.asarray(blurred(mask(), (4, 4)), np.float64)
    assert np.abs(both - np.asarray(mask().filter(ImageFilter.GaussianBlur(4)), np.float64)).max() < 12
    assert blurred(mask(), (0, 0)).tobytes() == mask().tobytes()


def test_inverting_twice_and_strengthening():
    assert inverted(inverted(mask())).tobytes() == mask().tobytes()
    assert strengthened(Image.new("L", (1, 1), 100)).getpixel((0, 0)) == 200
    assert strengthened(Image.new("L", (1, 1), 200)).getpixel((0, 0)) == 255


@pytest.mark.parametrize(
    ("box", "padding", "size", "wanted"),
    [
        ((40, 30, 60, 50), 0, (64, 64), (40, 30, 60, 50)),
        ((40, 30, 60, 50), 8, (64, 64), (32, 22, 68, 58)),
        ((40, 30, 60, 50), 0, (128, 64), (30, 30, 70, 50)),  # twice as wide as high
        ((40, 30, 60, 50), 0, (64, 128), (40, 20, 60, 60)),
        ((0, 0, 20, 20), 0, (128, 64), (0, 0, 40, 20)),  # moved back into the picture
        ((80, 60, 100, 80), 0, (128, 64), (60, 60, 100, 80)),
        ((0, 0, 100, 10), 0, (64, 64), (0, 0, 100, 80)),  # cut where the picture ends
    ],
)
def test_the_masked_region_has_padding_and_the_proportions_of_the_pass(box, padding, size, wanted):
    assert masked_region(mask(box=box), padding, size) == wanted


def test_an_empty_mask_is_refused():
    with pytest.raises(InvalidRequest, match="empty"):
        masked_region(Image.new("L", (8, 8), 0), 4, (64, 64))


def test_filling_takes_the_surrounding_colours_and_leaves_the_rest():
    picture = noise((100, 80))
    picture.paste((200, 30, 30), (0, 0, 50, 80))
    picture.paste((30, 30, 200), (50, 0, 100, 80))
    picture.paste((0, 255, 0), (40, 30, 60, 50))
    made = np.asarray(filled(picture, mask())).astype(int)
    before = np.asarray(picture).astype(int)
    outside = np.asarray(mask()) == 0
    assert np.abs(made - before)[outside].max() <= 1
    inside = made[30:50, 40:60]
    assert inside[..., 1].max() < 60, "nothing of the hidden green comes through"
    assert inside[10, 0, 0] > inside[10, -1, 0]
    assert inside[10, 0, 2] < inside[10, -1, 2]


def test_filling_a_wholly_masked_picture_gives_plain_grey():
    assert filled(noise((32, 32)), Image.new("L", (32, 32), 255)).getcolors() == [(1024, (128, 128, 128))]


def test_outpainting_masks_what_is_new_and_repeats_the_edge():
    picture = noise((10, 8))
    made, new = outpainted(picture, left=4, down=3)
    assert made.size == new.size == (14, 11)
    assert made.crop((4, 0, 14, 8)).tobytes() == picture.tobytes()
    array = np.asarray(new)
    assert (array[:8, 4:] == 0).all()
    assert (array[:, :4] == 255).all()
    assert (array[8:] == 255).all()
    assert made.getpixel((0, 5)) == picture.getpixel((0, 5))
    _, both = outpainted(picture, right=2, mask=Image.new("L", (10, 8), 255))
    assert both.getextrema() == (255, 255)


@pytest.mark.parametrize("box", [None, (20, 10, 80, 70)])
def test_pasting_back_leaves_every_unmasked_pixel_as_it_was(box):
    original, made = noise((100, 80)), noise((64, 64), 1)
    soft = blurred(mask(box=(30, 20, 70, 60)), (4, 4))
    result = np.asarray(pasted(original, made, soft, box))
    untouched = np.asarray(soft) == 0
    assert untouched.any()
    assert (result[untouched] == np.asarray(original)[untouched]).all()
    full = np.asarray(soft) == 255
    assert (result[full] != np.asarray(original)[full]).any()


def test_a_softly_painted_picture_is_taken_where_it_has_changed():
    distance, wanted = np.zeros((24, 24)), np.zeros((24, 24))
    distance[8:16, 8:16], wanted[8:16, 8:16] = 3.0, 1.0
    made = np.asarray(difference_mask(distance, wanted, SoftInpaint(), (192, 192)))
    assert made[96, 96] > 240
    assert made[:16].max() == made[:, :16].max() == 0
    assert np.asarray(difference_mask(distance * 0, wanted, SoftInpaint(), (192, 192))).max() == 0


def test_a_higher_threshold_takes_less():
    distance, wanted = np.full((8, 8), 0.6), np.ones((8, 8))
    takes = [
        np.asarray(difference_mask(distance, wanted, SoftInpaint(difference_threshold=t), (64, 64))).mean()
        for t in (0.25, 0.5, 1.0, 2.0)
    ]
    assert takes == sorted(takes, reverse=True)
    assert takes[0] > takes[-1] + 50
