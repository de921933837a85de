"""What the extras tab does with one picture, and A1111's words for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tests.upscalers.networks import paths_with
from webui.errors import InvalidRequest, NotFound
from webui.infotext_format import read_few_fields
from webui.infotext_keys import take_postprocessing
from webui.registry import Registry
from webui.upscalers import extras, restorers
from webui.upscalers.extras import (
    ExtrasOptions,
    FaceRestoration,
    enhance,
    options_of,
    postprocessing_text,
    read_options,
)


@pytest.fixture
def paths(tmp_path):
    return paths_with(tmp_path)


@pytest.fixture
def darker(monkeypatch):
    """A face restorer that halves every colour, and notes its weights."""
    known, weights = Registry("face restorer"), []
    known.register("GFPGAN")(lambda picture, weight: weights.append(weight) or picture.point(lambda v: v // 2))
    monkeypatch.setattr(restorers, "RESTORERS", known)
    return weights


def picture(width=40, height=30, mode="RGB"):
    array = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(array).convert(mode)


def test_without_an_upscaler_the_picture_stays_as_it_is(paths):
    result, fields = enhance(picture(), ExtrasOptions(), paths=paths)
    assert result == picture() and fields == {}


def test_scale_by(paths):
    result, fields = enhance(picture(), ExtrasOptions("lanczos", scale=2.5), paths=paths)
    assert result == picture().resize((100, 75), Image.LANCZOS)
    assert fields == {"Postprocess upscale by": "2.5", "Postprocess upscaler": "Lanczos"}
    assert postprocessing_text(fields) == "Postprocess upscale by: 2.5, Postprocess upscaler: Lanczos"


def test_the_longer_side_can_be_limited(paths):
    result, fields = enhance(picture(), ExtrasOptions("Nearest", scale=4, max_side=100), paths=paths)
    assert result.size == (100, 75)
    assert list(fields) == ["Postprocess upscale by", "Max side length", "Postprocess upscaler"]
    assert "Max side length" not in enhance(picture(), ExtrasOptions("Nearest", max_side=100), paths=paths)[1]


def test_scale_to_cuts_the_middle_out_of_what_covers_the_size(paths):
    result, fields = enhance(picture(), ExtrasOptions("Nearest", mode="to", width=80, height=80), paths=paths)
    whole = picture().resize((106, 80), Image.NEAREST)
    assert result == whole.crop((13, 0, 93, 80))
    assert fields["Postprocess upscale to"] == fields["Postprocess crop to"] == "80x80"


def test_scale_to_without_cutting_covers_the_size(paths):
    options = ExtrasOptions("Nearest", mode="to", width=80, height=80, crop=False)
    result, fields = enhance(picture(), options, paths=paths)
    assert result.size == (106, 80) and "Postprocess crop to" not in fields


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_two_upscalers_are_blended_by_the_visibility_of_the_second(paths, mode):
    options = ExtrasOptions("Nearest", "Lanczos", visibility_2=0.25)
    source = picture(mode=mode)
    if "A" in mode:
        source.putalpha(Image.linear_gradient("L").resize(source.size))
    result, fields = enhance(source, options, paths=paths)
    one, two = (enhance(source, ExtrasOptions(name), paths=paths)[0] for name in ("Nearest", "Lanczos"))
    assert result.mode == mode and np.array_equal(result, Image.blend(one, two, 0.25))
    assert fields["Postprocess upscaler 2"] == "Lanczos"


def test_a_second_upscaler_that_cannot_be_seen_is_not_used(paths):
    result, fields = enhance(picture(), ExtrasOptions("Nearest", "Lanczos"), paths=paths)
    assert "Postprocess upscaler 2" not in fields and result == picture().resize((80, 60), Image.NEAREST)


def test_progress_of_two_upscalers_is_one(paths):
    seen = []
    options = ExtrasOptions("Lanczos", "Nearest", visibility_2=0.5)
    enhance(picture(), options, paths=paths, on_progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen) and all(0 < share <= 1 for share in seen)


def test_a_face_restorer_that_is_not_installed_is_told_at_once(paths):
    options = ExtrasOptions("Lanczos", restorers=(FaceRestoration("CodeFormer", 0.5),))
    with pytest.raises(NotFound, match=r"CodeFormer is not installed\. Installed: none\. Set its visibility to 0"):
        enhance(picture(), options, paths=paths)
    invisible = ExtrasOptions(restorers=(FaceRestoration("CodeFormer", 0.0),))
    assert enhance(picture(), invisible, paths=paths)[1] == {}


def test_an_installed_face_restorer_counts_by_its_visibility(paths, darker):
    source = picture(mode="RGBA")
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    options = ExtrasOptions(restorers=(FaceRestoration("GFPGAN", 0.5, 0.7),))
    result, fields = enhance(source, options, paths=paths)
    wanted = np.asarray(source)[..., :3] * 0.75
    assert abs(np.asarray(result)[..., :3] - wanted).max() <= 1.5 and darker == [0.7]
    assert result.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    assert fields == {"GFPGAN visibility": "0.5", "GFPGAN weight": "0.7"}


@pytest.mark.parametrize("first", [True, False])
def test_faces_are_restored_before_or_after_enlarging(paths, darker, first):
    options = ExtrasOptions("Nearest", restorers=(FaceRestoration(),), upscale_first=first)
    keys = list(enhance(picture(), options, paths=paths)[1])
    assert keys[0] == ("Postprocess upscale by" if first else "GFPGAN visibility")


def test_a_result_of_too_many_pixels_is_refused(paths):
    with pytest.raises(InvalidRequest, match=r"20000×15000 pixels\. At most 268 megapixels"):
        enhance(picture(2000, 1500), ExtrasOptions("Lanczos", scale=10), paths=paths)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"scale": "2"}, "scale is '2'. A float was wanted"),
        ({"scale": 17}, "scale is 17.0. It must be from 0.05 to 16"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"crop": 1}, "crop is 1. A bool was wanted"),
        ({"mode": "both"}, "mode is 'both'"),
        ({"size": 2}, "no field 'size'"),
        ({"restorers": "GFPGAN"}, "restorers is 'GFPGAN'"),
        ({"restorers": [{"visibility": 2}]}, "visibility is 2.0"),
    ],
)
def test_wrong_options_are_refused_in_words(values, told):
    with pytest.raises(InvalidRequest, match=told):
        read_options(values)


def test_plain_data_becomes_options():
    found = read_options({"upscaler": "x", "scale": 3, "restorers": [{"name": "CodeFormer", "visibility": 1}]})
    assert found == ExtrasOptions("x", scale=3.0, restorers=(FaceRestoration("CodeFormer"),))


@pytest.mark.parametrize("infotext", ["", "a cat\nSteps: 20, Seed: 1, Size: 8x8"])
def test_one_text_holds_both_where_a_format_has_room_for_one(infotext):
    text = extras.with_fields(infotext, {"Postprocess upscaler": 'my, "own"'})
    assert text.removeprefix(infotext).removeprefix(", ") == r'Postprocess upscaler: "my, \"own\""'


@pytest.mark.parametrize(
    "options",
    [
        {"upscaler": "Lanczos", "scale": 2.5},
        {"upscaler": "Lanczos", "scale": 3.0, "max_side": 100},
        {"upscaler": "Lanczos", "mode": "to", "width": 90, "height": 80},
        {"upscaler": "Lanczos", "mode": "to", "width": 90, "height": 80, "crop": False},
        {"upscaler": "Nearest", "upscaler_2": "Lanczos", "visibility_2": 0.25},
    ],
)
def test_the_text_of_a_result_says_all_that_made_it(tmp_path, options):
    _, fields = enhance(Image.new("RGB", (60, 40)), read_options(options), paths=paths_with(tmp_path))
    again = options_of(take_postprocessing(read_few_fields(postprocessing_text(fields))))
    assert dataclasses.replace(read_options(again), crop=read_options(options).crop) == read_options(options)
    assert again.get("crop") == (read_options(options).crop if options.get("mode") == "to" else None)


def test_what_a1111_says_of_faces_is_read_and_nonsense_is_left_out():
    said = "Postprocess upscale by: much, Postprocess upscaler: ESRGAN_4x, CodeFormer visibility: 0.5"
    said += ", CodeFormer weight: 0.2"
    restorers = [{"name": "CodeFormer", "visibility": 0.5, "weight": 0.2}]
    assert options_of(take_postprocessing(read_few_fields(said))) == {"upscaler": "ESRGAN_4x", "restorers": restorers}
