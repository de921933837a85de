"""Bombs at every entrance of a really started server (R3): no server error, and its memory stays in bounds."""

from __future__ import annotations

import base64
import json

import httpx
import psutil
import pytest

from tests.api.bombs import bombs, small_picture
from tests.api.started import complaints, server

SMALL = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1, "send_images": False}
ROOM = 200 << 20  # bytes by which the web process may be larger afterwards
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with server(folder) as running:
        yield running
        assert "Traceback" not in complaints(folder)


@pytest.fixture(scope="module")
def corpus():
    return bombs()


def memory(started) -> int:
    """Of the web process."""
    return psutil.Process(started.process.pid).memory_info().rss


def entrances(data: bytes):
    """Every way for a picture into the server: path and what to send."""
    text = base64.b64encode(data).decode()
    yield "/sdapi/v1/png-info", {"json": {"image": text}}
    yield "/sdapi/v1/img2img", {"json": {**SMALL, "init_images": [text]}}
    yield "/sdapi/v1/img2img", {"json": {**SMALL, "init_images": [ONE], "mask": f"data:image/png;base64,{text}"}}
    yield "/sdapi/v1/txt2img", {"json": {**SMALL, "enable_hr": True, "firstpass_image": text}}
    yield "/sdapi/v1/extra-single-image", {"json": {"upscaler_1": "None", "image": text}}
    yield "/sdapi/v1/interrogate", {"json": {"image": text, "model": "clip"}}
    yield "/controlnet/detect", {"json": {"controlnet_input_images": [text]}}
    yield "/ui/picture-info", {"content": data, "headers": {"content-type": "image/png"}}
    yield "/ui/picture-info", {"files": {"file": ("a.png", data)}}
    form = {"prompt": "x", "size": "64x64", "n": "1"}
    yield "/v1/images/edits", {"files": {"image": ("a.png", data)}, "data": form}
    yield "/v1/images/variations", {"files": {"image": ("a.png", data)}, "data": form}


ONE = base64.b64encode(small_picture()).decode()


@pytest.mark.parametrize("name", sorted(bombs()))
def test_a_picture_that_is_a_bomb_does_no_harm(started, corpus, name):
    before = memory(started)
    for path, body in entrances(corpus[name]):
        answer = httpx.post(started.address + path, timeout=120, **body)
        assert answer.status_code < 500, (path, answer.status_code, answer.text[:300])
    assert memory(started) - before < ROOM


BODIES = {
    "deep list": b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "many values": b'{"script_args":[' + b"1.5," * 1_200_000 + b"1]}",
    "huge number": b'{"steps":' + b"9" * 100_000 + b"}",
    "long number": b'{"width":1' + b"0" * 400 + b"}",
    "huge exponent": b'{"cfg_scale":1e999999999}',
    "NaN": b'{"cfg_scale":NaN,"eta":Infinity,"steps":-Infinity}',
    "half a character": b'{"prompt":"\\ud800","styles":["\\udfff"]}',
    "no UTF-8": b'{"prompt":"\xff\xfe"}',
    "zero byte": b'{"prompt":"a\\u0000b"}',
    "long key": b'{"' + b"k" * (8 << 20) + b'":1}',
    "same keys": b"{" + b",".join([b'"prompt":"x"'] * 20_000) + b"}",
    "long prompt": json.dumps({"prompt": "x" * (8 << 20)}).encode(),
    "not closed": b'{"prompt":"',
    "a list": b"[]",
    "nothing": b"",
}
PATHS = (
    *("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/options", "/sdapi/v1/png-info", "/internal/progress"),
    *("/sdapi/v1/extra-single-image", "/sdapi/v1/extra-batch-images", "/sdapi/v1/interrogate", "/controlnet/detect"),
    *("/ui/picture-info", "/v1/images/generations", "/api/v1/jobs"),
)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_a_bomb_does_no_harm(started, name):
    before = memory(started)
    for path in PATHS:
        body = BODIES[name]
        if path.endswith("2img") and body.startswith(b'{"') and name not in ("not closed", "long key"):
            body = b'{"sampler_name":"Euler a","send_images":false,' + body[1:]
        answer = httpx.post(started.address + path, content=body, headers=JSON, timeout=120)
        assert answer.status_code < 500, (path, answer.status_code, answer.text[:300])
    assert memory(started) - before < ROOM


def test_the_server_is_well_afterwards(started):
    answer = httpx.post(f"{started.address}/sdapi/v1/txt2img", json={**SMALL, "prompt": "x"}, timeout=120)
    assert answer.status_code == 200
