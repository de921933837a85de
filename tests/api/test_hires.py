"""Hires fix and the refiner in txt2img: sizes, names and defaults as A1111 has them, over the fake engine."""

from __future__ import annotations

import pytest

from tests.api.pictures import info_of, picture
from webui.request import Refiner

SMALL = {"width": 64, "height": 48, "steps": 2, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}


def passes(client, house, **fields):
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, "enable_hr": True, **fields})
    assert answer.status_code == 200, answer.text
    return house.service.jobs(1)[0].request.passes


def test_the_defaults_of_the_second_pass(client, house):
    first, second = passes(client, house)
    assert (first.source, second.source) == ("noise", "previous")
    assert (second.width, second.height, second.steps, second.upscaler) == (128, 96, 2, "Latent")
    assert (second.sampler, second.schedule, second.denoising_strength) == ("DPM++ 2M", "Karras", 0.75)
    assert second.prompt is None and second.checkpoint is None and second.guidance == first.guidance


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        ({"hr_scale": 1.5}, (64, 48), (96, 72)),
        ({"hr_resize_x": 160}, (64, 48), (160, 120)),
        ({"hr_resize_y": 96}, (64, 48), (128, 96)),
        ({"hr_resize_x": 160, "hr_resize_y": 160}, (64, 48), (160, 160)),
        ({"hr_scale": 3, "hr_resize_x": 80}, (64, 48), (80, 60)),
        ({"firstphase_width": 32, "firstphase_height": 24}, (32, 24), (64, 48)),
        ({"firstphase_width": 32}, (32, 24), (64, 48)),
        ({"firstphase_height": 24}, (32, 24), (64, 48)),
    ],
)
def test_sizes_of_both_passes(client, house, fields, first, second):
    one, two = passes(client, house, **fields)
    assert ((one.width, one.height), (two.width, two.height)) == (first, second)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"hr_second_pass_steps": 9}, "steps", 9),
        ({"denoising_strength": 0.4}, "denoising_strength", 0.4),
        ({"hr_upscaler": "Latent (nearest)"}, "upscaler", "Latent (nearest)"),
        ({"hr_upscaler": "R-ESRGAN 4x+"}, "upscaler", "R-ESRGAN 4x+"),
        ({"hr_sampler_name": "k_euler_a"}, "sampler", "Euler a"),
        ({"hr_sampler_name": "Euler Karras"}, "schedule", "Karras"),
        ({"hr_sampler_name": "Use same sampler"}, "sampler", "DPM++ 2M"),
        ({"hr_scheduler": "Automatic"}, "schedule", "Automatic"),
        ({"hr_scheduler": "Use same scheduler"}, "schedule", "Karras"),
        ({"hr_scheduler": "no such"}, "schedule", "Automatic"),
        ({"hr_checkpoint_name": "second"}, "checkpoint", "second"),
        ({"hr_checkpoint_name": "Use same checkpoint"}, "checkpoint", None),
        ({"hr_prompt": "a pear"}, "prompt", "a pear"),
        ({"hr_negative_prompt": "blur"}, "negative_prompt", "blur"),
    ],
)
def test_each_field_reaches_the_second_pass(client, house, fields, name, value):
    assert getattr(passes(client, house, **fields)[1], name) == value


@pytest.mark.parametrize(("fields", "scale"), [({"hr_cfg": 3.5}, 3.5), ({"hr_cfg": 0}, 6), ({}, 6)])
def test_the_second_pass_has_a_guidance_scale_of_its_own(client, house, fields, scale):
    first, second = passes(client, house, cfg_scale=6, **fields)
    assert (first.guidance.scale, second.guidance.scale) == (6, scale)


def test_an_unknown_sampler_of_the_second_pass_is_a_400(client):
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, "enable_hr": True, "hr_sampler_name": "no such"})
    assert answer.status_code == 400


def test_without_enable_hr_its_fields_say_nothing(client, house):
    assert len(passes(client, house, enable_hr=False, hr_scale=4, firstphase_width=8, hr_sampler_name="x")) == 1


def test_a_finished_picture_can_take_the_place_of_the_first_pass(client, house):
    first, second = passes(client, house, firstpass_image=picture())
    assert first.source == "image" and first.denoising_strength == 0 and first.image
    assert second.source == "previous" and second.image is None


def test_info_tells_the_strength_and_the_size_of_the_first_pass(client):
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, "enable_hr": True})
    assert info_of(answer)["denoising_strength"] == 0.75
    assert (info_of(answer)["width"], info_of(answer)["height"]) == (64, 48)


def test_the_refiner_belongs_to_the_last_pass(client, house):
    first, second = passes(client, house, refiner_checkpoint="second", refiner_switch_at=0.6)
    assert first.refiner is None and second.refiner == Refiner("second", 0.6)
    (only,) = passes(client, house, enable_hr=False, refiner_checkpoint="second")
    assert only.refiner == Refiner("second", 0.8)


@pytest.mark.parametrize("name", [None, "", "None"])
def test_no_refiner_is_none(client, house, name):
    assert passes(client, house, enable_hr=False, refiner_checkpoint=name, refiner_switch_at=0.5)[0].refiner is None


def test_a_switch_beyond_the_end_never_happens(client, house):
    step = passes(client, house, enable_hr=False, refiner_checkpoint="second", refiner_switch_at=20)[0]
    assert step.refiner == Refiner("second", 1.0)
