"""The table between the page's fields and the request."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.request import (
    AestheticGradients,
    GenerationRequest,
    Guidance,
    Inpaint,
    Outpaint,
    Pass,
    Refiner,
    SamplerOptions,
    SoftInpaint,
    Tiles,
)
from webui.ui.fields import NAMES, PLACES, WITHOUT_FIELD, default_values, request_from_values, values_from_request

PARTS = {
    "request": GenerationRequest,
    "pass": Pass,
    "guidance": Guidance,
    "options": SamplerOptions,
    "inpaint": Inpaint,
    "soft": SoftInpaint,
    "outpaint": Outpaint,
    "tiles": Tiles,
}
ALSO = {"pass": {"source", "hires"}}  # parts of the page that hold a pass's attributes too


def filled(**changes: Any) -> list[Any]:
    """Values of untouched fields with some changed, in the page's order."""
    return [(default_values() | changes)[name] for name in NAMES]


@pytest.mark.parametrize("part", PARTS)
def test_everything_a_request_holds_has_a_field_or_a_reason(part: str) -> None:
    parts = {part} | ALSO.get(part, set())
    offered = {attribute for where, attribute in PLACES.values() if where in parts}
    assert offered.isdisjoint(WITHOUT_FIELD[part])
    assert offered | set(WITHOUT_FIELD[part]) == {field.name for field in dataclasses.fields(PARTS[part])}


def test_untouched_fields_make_the_default_request() -> None:
    assert request_from_values(filled()) == GenerationRequest()


requests = st.builds(
    GenerationRequest,
    prompt=st.text(max_size=20),
    negative_prompt=st.text(max_size=20),
    checkpoint=st.sampled_from([None, "starter.safetensors"]),
    clip_skip=st.integers(1, 12),
    seed=st.integers(-1, 2**64 - 1),
    variation_seed=st.integers(-1, 2**64 - 1),
    variation_strength=st.floats(0, 1),
    resize_seed_from=st.none() | st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
    batch_size=st.integers(1, 16),
    tiling=st.booleans(),
    save=st.booleans(),
    passes=st.tuples(
        st.builds(
            Pass,
            width=st.integers(16, 4096),
            steps=st.integers(1, 150),
            guidance=st.builds(Guidance, scale=st.floats(1, 30), rescale=st.floats(0, 1), start=st.floats(0, 1)),
            options=st.builds(
                SamplerOptions,
                eta=st.none() | st.floats(0, 1),
                s_tmax=st.none() | st.floats(0, 99),
                rho=st.none() | st.floats(1, 9),
                discard_penultimate=st.sampled_from([None, True, False]),
                noise_seed_delta=st.integers(0, 99999),
            ),
        )
    ),
)


@given(requests)
def test_a_request_shown_in_the_fields_comes_back_unchanged(request_: GenerationRequest) -> None:
    assert request_from_values(list(values_from_request(request_).values())) == request_


def test_seeds_above_a_browsers_exact_numbers_survive() -> None:
    values = values_from_request(dataclasses.replace(GenerationRequest(), seed=2**63 + 1))
    assert values["seed"] == "9223372036854775809"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": None}, "Steps is empty"),
        ({"width": 512.5}, "Width is 512.5"),
        ({"seed": "apple"}, "Seed is 'apple'"),
        ({"resize_from_width": 512}, "512 × 0"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        request_from_values(filled(**changes))


def test_an_empty_seed_is_a_random_one() -> None:
    assert request_from_values(filled(seed="")).seed == -1


def test_whole_numbers_that_arrive_with_a_point_are_taken() -> None:
    assert request_from_values(filled(steps=12.0)).passes[0].steps == 12


def passes(**changes: Any) -> tuple[Pass, ...]:
    return request_from_values(filled(**changes)).passes


def test_hires_fix_is_a_second_pass_that_is_as_the_first_where_it_says_nothing() -> None:
    second = passes(hires=True, steps=12, sampler="DDIM", guidance_scale=5, eta=0.5, hires_strength=0.4)[1]
    assert (second.source, second.width, second.height) == ("previous", 1024, 1024)
    assert (second.sampler, second.steps, second.guidance.scale, second.options.eta) == ("DDIM", 12, 5, 0.5)
    assert second.denoising_strength == 0.4 and (second.prompt, second.checkpoint) == (None, None)


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        ({"hires_scale": 1.5}, (768, 384)),
        ({"hires_width": 1000}, (1000, 500)),
        ({"hires_height": 512}, (1024, 512)),
        ({"hires_width": 640, "hires_height": 640}, (640, 640)),
    ],
)
def test_the_size_of_the_second_pass(wish: dict[str, Any], size: tuple[int, int]) -> None:
    second = passes(hires=True, width=512, height=256, **wish)[1]
    assert (second.width, second.height) == size


def test_a_tab_uses_its_own_fields_only() -> None:
    others = {"source_image": "blob:1", "source_mask": "blob:2", "tiled": True, "soft_inpaint": True, "image_scale": 2}
    assert passes(mode="txt2img", **others) == (Pass(),)
    (img2img,) = passes(mode="img2img", hires=True, outpaint_left=64, **others)
    assert (img2img.source, img2img.image, img2img.mask) == ("image", "blob:1", None)
    assert img2img.tiles == Tiles() and img2img.guidance.image_scale == 2 and not img2img.masked
    (inpaint,) = passes(mode="inpaint", mask_blur=9, **others)
    assert (inpaint.mask, inpaint.inpaint.mask_blur) == ("blob:2", (9, 9)) and inpaint.inpaint.soft == SoftInpaint()


def test_an_empty_image_cfg_is_the_usual_one_where_there_is_a_picture() -> None:
    assert passes(mode="txt2img")[0].guidance.image_scale is None
    for mode in ("img2img", "inpaint"):
        assert passes(mode=mode, source_image="blob:1", source_mask="blob:2")[0].guidance.image_scale == 1.5


def test_a_finished_picture_is_enlarged_by_a_first_pass_that_only_reads_it() -> None:
    first, second = passes(mode="hires", source_image="blob:1", width=640, height=512, hires=False)
    assert (first.source, first.image, first.denoising_strength) == ("image", "blob:1", 0)
    assert (second.source, second.width, second.height) == ("previous", 1280, 1024)


def test_the_settings_of_such_a_picture_leave_img2img_a_strength_that_does_something() -> None:
    request = request_from_values(filled(mode="hires", source_image="blob:1", hires_strength=0.4))
    shown = values_from_request(request)
    assert (shown["denoising_strength"], shown["hires_strength"], shown["hires"]) == (0.75, 0.4, True)


def test_the_refiner_takes_over_where_one_is_chosen() -> None:
    assert passes(refiner_checkpoint="fine.safetensors", refiner_at=0.6)[0].refiner == Refiner("fine.safetensors", 0.6)
    assert passes(refiner_checkpoint="")[0].refiner is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "img2img"}, "no picture to start from"),
        ({"mode": "inpaint", "source_image": "blob:1"}, "Nothing of the picture is marked"),
        ({"mode": "inpaint", "source_image": "blob:1", "invert_mask": True}, "paint over what is to stay"),
    ],
)
def test_what_a_tab_lacks_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        request_from_values(filled(**changes))


def test_growing_a_picture_needs_no_mask() -> None:
    (step,) = passes(mode="inpaint", source_image="blob:1", outpaint_left=64)
    assert step.outpaint == Outpaint(left=64) and step.masked


hires_passes = st.builds(
    Pass,
    source=st.just("previous"),
    width=st.integers(16, 4096),
    height=st.integers(16, 4096),
    steps=st.integers(1, 99),
    sampler=st.sampled_from(["Euler a", "DDIM"]),
    upscaler=st.sampled_from(["Latent", "Lanczos"]),
    denoising_strength=st.floats(0, 1),
    prompt=st.none() | st.just("finer"),
    checkpoint=st.none() | st.just("fine.safetensors"),
)


@given(hires_passes)
def test_a_second_pass_shown_in_the_fields_comes_back_unchanged(second: Pass) -> None:
    request = GenerationRequest(passes=(Pass(), second))
    assert request_from_values(list(values_from_request(request).values())) == request


def test_aesthetic_gradients_are_asked_for_by_choosing_an_embedding() -> None:
    values = {**default_values(), "aesthetic_weight": 0.4, "aesthetic_text": "fog", "aesthetic_steps": 7.0}
    assert request_from_values([values[name] for name in NAMES]).aesthetic is None
    values["aesthetic_embedding"] = "laion"
    request = request_from_values([values[name] for name in NAMES])
    assert request.aesthetic == AestheticGradients("laion", weight=0.4, steps=7, text="fog")
    shown = values_from_request(request)
    assert {name: shown[name] for name in NAMES} == {**values, "aesthetic_steps": 7}
