"""Colours come into the program as those that networks know, whatever profile a file has."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.imaging.pictures import DISPLAY_P3, difference, drawing, encoded, ink_profile, rgb_profile
from webui.imaging.files import load_picture
from webui.imaging.profiles import in_srgb

P3 = rgb_profile(DISPLAY_P3)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_profile(profile, format="PNG", **options):
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    stored = ImageCms.profileToProfile(drawing(), ImageCms.createProfile("sRGB"), own)
    return encoded(stored, format, icc_profile=profile, **options)


@pytest.mark.parametrize("format, options", [("PNG", {}), ("JPEG", {"quality": 97, "subsampling": 0}), ("TIFF", {})])
def test_a_telephones_colours_look_as_they_did(format, options):
    loaded = load_picture(with_profile(P3, format, **options))
    assert difference(loaded, drawing()) > 3
    assert difference(in_srgb(loaded), drawing()) < 1.5


def test_the_change_is_that_of_the_standards_matrices():
    # Display P3 to linear sRGB, from the chromaticities of both (SMPTE EG 432-1, IEC 61966-2-1), white D65.
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    given = np.array([180, 120, 60])
    light = matrix @ (given / 255) ** 2.2
    wanted = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    picture = Image.new("RGB", (1, 1), tuple(int(value) for value in given))
    picture.info["icc_profile"] = P3
    assert np.abs(np.array(in_srgb(picture).getpixel((0, 0))) - wanted).max() <= 2


def test_transparency_and_the_rest_of_what_a_picture_says_stay():
    picture = drawing()
    picture.putalpha(77)
    picture.info |= {"icc_profile": P3, "dpi": (300, 300)}
    changed = in_srgb(picture)
    assert changed.mode == "RGBA" and changed.getchannel("A").getextrema() == (77, 77)
    assert changed.info == {"dpi": (300, 300)}


@pytest.mark.parametrize("profile", [b"", SRGB, b"nonsense" * 40, P3[:200], P3.replace(b"RGB ", b"CMYK", 1)])
def test_no_number_changes_without_a_readable_profile_of_other_colours(profile):
    picture = drawing()
    picture.info["icc_profile"] = profile
    assert in_srgb(picture) is picture


def test_greys_stay_greys():
    picture = drawing().convert("L")
    picture.info["icc_profile"] = P3
    assert in_srgb(picture) is picture  # a profile of three colours says nothing about greys


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_inks_become_the_colours_that_they_print(format):
    inks = Image.new("CMYK", (48, 16))
    for place, ink in ((0, (0, 0, 0, 0)), (16, (255, 0, 0, 0)), (32, (0, 0, 0, 255))):
        inks.paste(ink, (place, 0, place + 16, 16))
    changed = in_srgb(load_picture(encoded(inks, format, icc_profile=ink_profile())))
    paper, cyan, black = (changed.getpixel((place, 8)) for place in (8, 24, 40))
    assert changed.mode == "RGB" and min(paper) > 245 and max(black) < 20
    assert cyan[0] < 100 < cyan[1] < cyan[2]  # Lab 85, -60, -30
