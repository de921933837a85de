"""ControlNet's routes and units before there is a ControlNet: lists are empty, and nothing is left out in silence."""

from __future__ import annotations

import pytest

from tests.api.pictures import picture

SMALL = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}
OFF = {"enabled": False, "module": "canny", "model": "control_canny [abcd1234]", "image": "AAAA"}
ON = {**OFF, "enabled": True}


def post(client, units):
    return client.post("/sdapi/v1/txt2img", json={**SMALL, "alwayson_scripts": {"ControlNet": {"args": units}}})


def test_the_lists_hold_what_there_is(client):
    assert client.get("/controlnet/version").json() == {"version": 3}
    assert client.get("/controlnet/model_list?update=true").json() == {"model_list": []}
    modules = client.get("/controlnet/module_list?alias_names=1").json()
    assert modules["module_list"] == ["none"] == list(modules["module_detail"])
    every = client.get("/controlnet/control_types").json()["control_types"]["All"]
    assert every["default_option"] == "none" and every["default_model"] == "None"
    assert client.get("/controlnet/settings").json() == {"control_net_unit_count": 0}


def test_detecting_with_nothing_gives_the_picture_back(client):
    body = {"controlnet_module": "None", "controlnet_input_images": [picture()]}
    assert client.post("/controlnet/detect", json=body).json() == {
        "images": [picture()],
        "poses": [],
        "tensor": [],
        "info": "Success",
    }


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"controlnet_module": "canny"}, 422, "Module not available: canny"),
        ({"controlnet_input_images": []}, 422, "No image selected"),
        ({"controlnet_input_images": ["/etc/passwd"]}, 422, ""),
        ({"controlnet_input_images": ["http://127.0.0.1:1/a.png"]}, 422, "fetch_urls"),
    ],
)
def test_what_cannot_be_detected_is_told(client, fields, status, words):
    answer = client.post("/controlnet/detect", json={"controlnet_input_images": [picture()], **fields})
    assert answer.status_code == status and words in answer.json()["errors"]


def test_poses_are_not_drawn_and_that_is_said(client):
    answer = client.post("/controlnet/render_openpose_json", json=[{"people": []}])
    assert answer.status_code == 501 and "Poses" in answer.json()["errors"]


@pytest.mark.parametrize(
    "units",
    [
        [],
        None,
        [OFF],
        [{**OFF, "enabled": 0}, OFF, OFF],
        [{}],
        [None, False],
        [{"enabled": True, "module": "none", "model": "None", "image": None}],
        [{"enabled": True, "module": "None", "model": ""}],
    ],
)
def test_units_that_are_off_or_empty_pass(client, units):
    assert post(client, units).status_code == 200


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([ON], "control_canny"),
        ([OFF, ON], "unit 1"),
        ([{"model": "depth"}], "depth"),  # clients that leave `enabled` out mean that it is on
        ([{"enabled": True, "image": "AAAA"}], "a picture"),
        ([{"enabled": True, "module": "canny"}], "canny"),
        ([True, "canny", "model"], "switched on"),
        (ON, "control_canny"),
    ],
)
def test_a_unit_that_would_change_the_picture_is_refused_by_name(client, units, words):
    answer = post(client, units)
    text = answer.json()["errors"]
    assert answer.status_code == 422 and words in text and "does not run ControlNet" in text
