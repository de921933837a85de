"""POST /sdapi/v1/extra-…: fields, defaults and answers, over the fake engine."""

from __future__ import annotations

import pytest

from tests.api.pictures import opened, picture


def single(client, **fields):
    return client.post("/sdapi/v1/extra-single-image", json={"image": picture(32, 24), **fields})


def options(house):
    return house.service.jobs(1)[0].values["options"]


def test_one_picture_is_enlarged_and_not_saved(client, house):
    answer = single(client, upscaler_1="Lanczos")
    assert answer.status_code == 200 and set(answer.json()) == {"html_info", "image"}
    assert opened(answer.json()["image"]).size == (64, 48) and not house.paths.outputs.exists()
    job = house.service.jobs(1)[0]
    assert job.task == "extras" and job.values["save"] is False


def test_html_info_says_what_was_done_and_is_safe_to_show(client):
    assert single(client, upscaler_1="Lanczos").json()["html_info"] == (
        "<p>Postprocess upscaler: Lanczos, Postprocess &lt;tag&gt;: 1</p>"
    )


def test_the_defaults_are_those_of_a1111(client, house):
    assert single(client).status_code == 200
    assert options(house) == {
        "upscaler": "None",
        "upscaler_2": "None",
        "visibility_2": 0.0,
        "mode": "by",
        "scale": 2.0,
        "width": 512,
        "height": 512,
        "crop": True,
        "restorers": [],
        "upscale_first": False,
    }


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"resize_mode": 1, "upscaling_resize_w": 80, "upscaling_resize_h": 90}, "mode", "to"),
        ({"upscaling_resize_w": "80"}, "width", 80),
        ({"upscaling_resize": 3}, "scale", 3.0),
        ({"upscaling_crop": False}, "crop", False),
        ({"upscaler_2": "Nearest"}, "upscaler_2", "Nearest"),
        ({"extras_upscaler_2_visibility": 1}, "visibility_2", 1.0),
        ({"upscale_first": True}, "upscale_first", True),
        (
            {"gfpgan_visibility": 0.5, "codeformer_visibility": 1, "codeformer_weight": 0.2},
            "restorers",
            [
                {"name": "GFPGAN", "visibility": 0.5, "weight": 0.2},
                {"name": "CodeFormer", "visibility": 1.0, "weight": 0.2},
            ],
        ),
    ],
)
def test_each_field_reaches_the_job(client, house, fields, name, value):
    assert single(client, **fields).status_code == 200
    assert options(house)[name] == value


def test_a_batch_keeps_its_order_and_names_what_could_not_be_read(client, house):
    images = [{"data": picture(16, 16), "name": "a.png"}, {"data": "bm8=", "name": "b.png"}]
    images.append({"data": f"data:image/png;base64,{picture(20, 10)}", "name": "c.png"})
    answer = client.post("/sdapi/v1/extra-batch-images", json={"imageList": images, "upscaler_1": "Lanczos"})
    assert answer.status_code == 200 and set(answer.json()) == {"html_info", "images"}
    assert [opened(image).size for image in answer.json()["images"]] == [(32, 32), (40, 20)]
    assert "b.png" in answer.json()["html_info"]
    assert house.service.jobs(1)[0].values["names"] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"image": ""}, 422),
        ({"image": "bm8="}, 422),
        ({"image": "http://127.0.0.1/a.png"}, 422),
        ({"upscaling_resize": 99}, 422),
        ({"extras_upscaler_2_visibility": 2}, 422),
        ({"upscaling_resize_w": "wide"}, 422),
    ],
)
def test_errors_have_the_shape_that_clients_know(client, fields, status):
    answer = single(client, **fields)
    assert answer.status_code == status and set(answer.json()) == {"error", "detail", "body", "errors"}


@pytest.mark.parametrize("body", [{}, {"imageList": []}, {"imageList": [{"data": "x"}]}, {"imageList": ["x"]}])
def test_a_batch_without_pictures_is_a_422(client, body):
    assert client.post("/sdapi/v1/extra-batch-images", json=body).status_code == 422
