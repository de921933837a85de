"""POST /sdapi/v1/img2img: its fields and oddities, over the fake engine."""

from __future__ import annotations

import base64

import pytest

from tests.api.pictures import info_of, mask, opened, picture
from webui.request import Inpaint

SMALL = {"width": 64, "height": 48, "steps": 2, "sampler_name": "Euler a"}


def img2img(client, **fields):
    return client.post("/sdapi/v1/img2img", json={**SMALL, "init_images": [picture()], **fields})


def last_pass(house):
    return house.service.jobs(1)[0].request.passes[0]


def test_a_picture_comes_back(client):
    answer = img2img(client, prompt="an apple", seed=3)
    assert opened(answer.json()["images"][0]).size == (64, 48)
    assert info_of(answer)["denoising_strength"] == 0.75 and info_of(answer)["all_seeds"] == [3]


def test_the_defaults_are_those_of_a1111(client, house):
    assert img2img(client, mask=mask()).status_code == 200
    step = last_pass(house)
    assert (step.source, step.denoising_strength, step.resize_mode) == ("image", 0.75, "stretch")
    assert step.inpaint == Inpaint(mask_blur=(4, 4), masked_content="fill", area="masked", padding=0)
    assert step.guidance.image_scale is None and step.noise_multiplier == 1.0


def test_without_a_mask_the_fields_of_masks_say_nothing(client, house):
    assert img2img(client, inpainting_fill=2, mask_blur=9).status_code == 200
    assert last_pass(house).inpaint == Inpaint() and last_pass(house).mask is None


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"mask_blur": 7}, "mask_blur", (7, 7)),
        ({"mask_blur": 7, "mask_blur_x": 2}, "mask_blur", (7, 7)),
        ({"mask_blur_x": 2, "mask_blur_y": 3}, "mask_blur", (2, 3)),
        ({"inpainting_fill": 1}, "masked_content", "original"),
        ({"inpainting_fill": 2}, "masked_content", "latent noise"),
        ({"inpainting_fill": 3}, "masked_content", "latent nothing"),
        ({"inpaint_full_res": False}, "area", "whole"),
        ({"inpaint_full_res": 0}, "area", "whole"),
        ({"inpaint_full_res_padding": 32}, "padding", 32),
        ({"inpainting_mask_invert": 1}, "invert", True),
        ({"mask_round": False}, "round_mask", False),
    ],
)
def test_each_field_of_a_mask_reaches_the_request(client, house, fields, name, value):
    assert img2img(client, mask=mask(), **fields).status_code == 200
    assert getattr(last_pass(house).inpaint, name) == value


@pytest.mark.parametrize(("number", "name"), list(enumerate(["stretch", "crop", "fill", "latent"])))
def test_resize_modes_go_by_number(client, house, number, name):
    assert img2img(client, resize_mode=number).status_code == 200
    assert last_pass(house).resize_mode == name


def test_the_other_fields_reach_the_request(client, house):
    assert (
        img2img(client, image_cfg_scale=1.5, initial_noise_multiplier=0.9, denoising_strength="0.3").status_code == 200
    )
    step = last_pass(house)
    assert (step.guidance.image_scale, step.noise_multiplier, step.denoising_strength) == (1.5, 0.9, 0.3)


def test_the_settings_for_pictures_count(client, house):
    overrides = {"img2img_fix_steps": True, "img2img_color_correction": True, "inpainting_mask_weight": 0.5}
    overrides |= {"img2img_background_color": "#00ff00", "img2img_extra_noise": 0.1, "initial_noise_multiplier": 0.8}
    assert img2img(client, override_settings=overrides).status_code == 200
    step = last_pass(house)
    assert step.exact_steps and step.match_colours and step.inpaint.condition_weight == 0.5
    assert (step.background, step.extra_noise, step.noise_multiplier) == ("#00ff00", 0.1, 0.8)


@pytest.mark.parametrize("images", [None, []])
def test_no_picture_is_a_404_as_in_a1111(client, images):
    answer = img2img(client, init_images=images)
    assert answer.status_code == 404 and answer.json()["detail"] == "Init image not found"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"init_images": ["???"]}, "base64"),
        ({"init_images": [base64.b64encode(b"no picture").decode()]}, "picture"),
        ({"init_images": picture()}, "list"),
        ({"init_images": ["/etc/passwd"]}, "base64"),
        ({"init_images": ["http://127.0.0.1/a.png"]}, "fetch_urls"),
        ({"mask": "https://example.com/a.png"}, "fetch_urls"),
        ({"mask": "%%"}, "base64"),
        ({"resize_mode": 4}, "latent"),
        ({"inpainting_fill": 9, "mask": mask()}, "latent nothing"),
        ({"latent_mask": mask()}, "latent_mask"),
        ({"denoising_strength": 2}, "denoising strength"),
        ({"mask": mask(), "mask_blur": 9999}, "blur"),
    ],
)
def test_what_cannot_be_done_is_a_422_that_says_so(client, fields, word):
    answer = img2img(client, **fields)
    assert answer.status_code == 422 and word in answer.json()["errors"]


def test_a_data_address_and_plain_base64_are_one_picture(client, house):
    assert img2img(client, init_images=[f"data:image/png;base64,{picture()}"]).status_code == 200
    with_prefix = last_pass(house).image
    assert img2img(client).status_code == 200
    assert last_pass(house).image == with_prefix


def test_several_pictures_make_one_batch(client, house):
    answer = img2img(client, init_images=[picture(), picture(colour="blue"), picture(colour="lime")], n_iter=2, seed=5)
    request = house.service.jobs(1)[0].request
    assert len(request.passes[0].sources) == 3 and request.batch_size == 3
    assert len(answer.json()["images"]) == 6 and info_of(answer)["all_seeds"] == [5, 6, 7, 8, 9, 10]


def test_pictures_are_not_sent_back_unless_they_are_wanted(client):
    parameters = img2img(client, mask=mask()).json()["parameters"]
    assert parameters["init_images"] is None and parameters["mask"] is None and parameters["resize_mode"] == 0
    parameters = img2img(client, mask=mask(), include_init_images=True).json()["parameters"]
    assert parameters["init_images"] == [picture()] and parameters["mask"] == mask()


def test_pictures_are_fetched_where_the_user_allows_it_but_not_from_private_networks(client, house):
    house.store.change({"fetch_urls": True})
    try:
        answer = img2img(client, init_images=["http://127.0.0.1:9/a.png"])
    finally:
        house.store.change({"fetch_urls": False})
    assert answer.status_code == 422 and "private network" in answer.json()["detail"]


def test_a_picture_is_fetched_from_a_web_address(client, house, file_server):
    address, files = file_server
    files["/a.png"] = base64.b64decode(picture(colour="blue"))
    house.store.change({"fetch_urls": True, "refuse_local_urls": False})
    try:
        answer = img2img(client, init_images=[f"{address}/a.png"])
        missing = img2img(client, init_images=[f"{address}/b.png"])
    finally:
        house.store.change({"fetch_urls": False, "refuse_local_urls": True})
    assert answer.status_code == 200 and last_pass(house).image
    assert missing.status_code == 502 and "404" in missing.json()["detail"]


def test_notes_stand_in_the_info_where_clients_of_a1111_pass_them_over(client):
    (note,) = info_of(img2img(client))["notes"]
    assert note == f"a picture of {len(picture())} characters"
    assert info_of(client.post("/sdapi/v1/txt2img", json=SMALL))["notes"] == []
