"""What one request may ask for: the same limits for every way in, and JSON that is built to hurt."""

from __future__ import annotations

import json

import pytest

from webui.api.json_guard import DEPTH, VALUES, JsonShape
from webui.errors import InvalidRequest
from webui.limits import Limits, hold, limits_of
from webui.request import GenerationRequest, Pass
from webui.settings import Settings

BODY = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}
SMALL = Limits(megapixels=1.0, steps=20, pictures=8, prompt=100, passes=2, networks=2, files=3)


@pytest.fixture
def limited(house):
    """The house with small limits."""
    house.context.change_settings({f"limit_{name}": value for name, value in vars(SMALL).items()})
    yield house
    house.context.change_settings({f"limit_{name}": value for name, value in vars(Limits()).items()})


def request(**changes) -> GenerationRequest:
    return GenerationRequest(passes=(Pass(width=64, height=64, steps=1),), **changes)


def test_the_limits_of_the_settings_are_those_of_the_class():
    assert limits_of(Settings()) == Limits()


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"width": 1024, "height": 1024}, "megapixels"),
        ({"width": 512, "height": 512, "batch_size": 4}, "megapixels"),
        ({"width": 512, "height": 512, "enable_hr": True, "hr_scale": 2.1}, "megapixels"),
        ({"steps": 21}, "steps"),
        ({"enable_hr": True, "hr_second_pass_steps": 21}, "steps"),
        ({"batch_size": 3, "n_iter": 3}, "pictures"),
        ({"prompt": "x" * 101}, "prompt"),
        ({"negative_prompt": "x" * 101}, "prompt"),
        ({"enable_hr": True, "hr_prompt": "x" * 101}, "prompt"),
        ({"prompt": "<lora:a:1><LORA:b:1> <lyco:c:1>"}, "networks"),
    ],
)
def test_a_request_over_a_limit_is_refused_by_its_name(limited, fields, limit):
    answer = limited.client.post("/sdapi/v1/txt2img", json={**BODY, **fields})
    text = answer.json()["errors"]
    assert answer.status_code == 422 and f"limit_{limit}" in text and "At most" in text and "Ask for less" in text


def test_a_request_at_the_limits_is_taken(limited):
    fields = {"width": 512, "height": 488, "batch_size": 4, "n_iter": 2, "steps": 20, "prompt": "x" * 100}
    assert hold(request(prompt="<lora:a:1><lora:b:1>"), SMALL)
    assert limited.client.post("/sdapi/v1/txt2img", json={**BODY, **fields, "send_images": False}).status_code == 200


def test_passes_are_counted():
    with pytest.raises(InvalidRequest, match="limit_passes"):
        hold(GenerationRequest(passes=(Pass(),) * 3), SMALL)


def test_no_job_can_move_the_limits_or_the_doors_of_the_server(limited):
    """A1111 lets a request override any option; here only those that are about pictures."""
    moved = {"limit_steps": 1000, "LIMIT_STEPS": 1000, "api_enable_requests": True, "queue_limit": 5}
    for restore in (True, False):
        fields = {"override_settings": moved, "override_settings_restore_afterwards": restore}
        answer = limited.client.post("/sdapi/v1/txt2img", json={**BODY, "steps": 21, **fields})
        assert answer.status_code == 422 and "limit_steps" in answer.json()["errors"]
        picture = {**BODY, "init_images": ["http://127.0.0.1:9/a.png"], **fields}
        answer = limited.client.post("/sdapi/v1/img2img", json=picture)
        assert answer.status_code == 422 and "fetch_urls" in answer.json()["errors"]
    assert limited.store.settings["queue_limit"] != 5 and not limited.store.settings["fetch_urls"]


def test_a_task_with_too_many_pictures_is_refused(limited):
    with pytest.raises(InvalidRequest, match="limit_files"):
        limited.service.submit_task("caption", {"images": ["AA=="] * 4})
    pictures = [{"data": "AA==", "name": "a.png"}] * 4
    answer = limited.client.post("/sdapi/v1/extra-batch-images", json={"upscaler_1": "None", "imageList": pictures})
    assert answer.status_code == 422 and "limit_files" in answer.json()["errors"]


def test_a_script_cannot_go_round_the_limits(limited):
    values = {"script": "X/Y/Z plot", "arguments": {"x_values": "1, 2"}, "request": {"passes": [{"steps": 21}]}}
    with pytest.raises(InvalidRequest, match="limit_steps"):
        limited.service.submit_task("script", values)


# JSON ------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    return b'{"prompt":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize("path", ["/sdapi/v1/txt2img", "/sdapi/v1/options", "/internal/progress", "/sdapi/v1/png-info"])
@pytest.mark.parametrize("depth", [DEPTH, 500, 990, 100_000])
def test_deep_json_is_refused_at_the_door(house, path, depth):
    answer = house.client.post(path, content=nested(depth), headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "nests deeper" in answer.text


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_deep_json_that_never_closes_is_refused_too(house, opening):
    headers = {"content-type": "application/json"}
    assert house.client.post("/sdapi/v1/txt2img", content=opening * 100_000, headers=headers).status_code == 400


def test_a_body_of_too_many_values_is_refused(house):
    body = b'{"script_args":[' + b"1," * VALUES + b"1]}"
    answer = house.client.post("/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "values" in answer.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "1" * 400, "-0.0", "1e-400"])
@pytest.mark.parametrize("field", ["steps", "cfg_scale", "seed", "width", "s_noise", "eta", "script_args", "hr_scale"])
def test_numbers_that_are_none_end_in_no_server_error(house, field, number):
    value = f"[{number}]" if field == "script_args" else number
    body = json.dumps({**BODY, "enable_hr": field == "hr_scale"})[:-1] + f', "{field}": {value}}}'
    answer = house.client.post("/sdapi/v1/txt2img", content=body.encode(), headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"a": "]]][[[[[[[[[["}', True),  # brackets in a text are no brackets
        (r'{"a": "\"[[[[[[[[[[", "b": "\\"}', True),  # nor behind an escaped quote
        (r'{"a": "\\\"[[[[[[[[["}', True),
        (r'{"a": "\\", "b": [[[[[[[[[[[[', False),  # the text ended at the quote behind an escaped backslash
        ("[[[[[]]]]]" * 3, True),
        ("[[[[[[", False),
    ],
)
def test_the_depth_is_right_however_the_bytes_arrive(text, fits, size):
    shape, data = JsonShape(depth=5), text.encode()
    problems = [shape.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert (not any(problems)) == fits


def test_an_upload_is_not_taken_for_json(house):
    """The bytes of a file may look like anything."""
    answer = house.client.post("/ui/picture-info", content=b"[" * 500, headers={"content-type": "image/png"})
    assert "nests deeper" not in answer.text
