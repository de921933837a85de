"""Pictures of every program are read over HTTP, in A1111's form and in full."""

from __future__ import annotations

import base64
import json

import pytest

from tests.exchange import samples
from tests.exchange.graphs import DEFAULT, changed
from tests.exchange.writers import png
from webui.request import from_dict, from_json

A1111 = png({"parameters": samples.A1111, "Author": "me"})


def encoded(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("before", ["", "data:image/png;base64,"])
def test_a1111s_route_gives_text_items_and_fields(client, before):
    answer = client.post("/sdapi/v1/png-info", json={"image": before + encoded(A1111)})
    assert answer.status_code == 200 and set(answer.json()) == {"info", "items", "parameters"}
    assert answer.json()["info"] == samples.A1111 and answer.json()["items"] == {"Author": "me"}
    fields = answer.json()["parameters"]
    assert (
        fields["Prompt"] == "a lighthouse, (storm:1.2), <lora:film:0.6>" and fields["Negative prompt"] == "blurry, text"
    )
    assert (fields["Steps"], fields["Size-1"], fields["Size-2"]) == ("27", "640", "768")
    assert (fields["Mask mode"], fields["RNG"], fields["Schedule type"]) == ("Inpaint masked", "GPU", "Karras")


def test_a_workflow_reaches_a1111s_clients_as_an_infotext(client):
    answer = client.post("/sdapi/v1/png-info", json={"image": encoded(png({"prompt": json.dumps(DEFAULT)}))}).json()
    assert "Steps: 23, Sampler: DPM++ 2M, Schedule type: Karras" in answer["info"] and "prompt" in answer["items"]
    assert answer["parameters"]["Negative prompt"] == "text, watermark"


def test_a_picture_without_a_word_is_no_error(client):
    answer = client.post("/sdapi/v1/png-info", json={"image": encoded(png({}))})
    assert answer.json() == {"info": "", "items": {}, "parameters": {}}
    assert client.post("/sdapi/v1/png-info", json={"image": ""}).json()["info"] == ""


@pytest.mark.parametrize("image", ["not base64!", encoded(b"no picture")])
def test_what_is_no_picture_is_refused(client, image):
    answer = client.post("/sdapi/v1/png-info", json={"image": image})
    assert answer.status_code == 422 and answer.json()["error"] in ("InvalidRequest", "DamagedFile")


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"file": ("a.png", A1111, "image/png")}},
        {"json": {"image": encoded(A1111)}},
        {"content": A1111, "headers": {"content-type": "image/png"}},
    ],
    ids=["form", "json", "body"],
)
def test_the_pages_route_takes_files_in_three_ways(client, sent):
    answer = client.post("/ui/picture-info", **sent).json()
    assert (answer["program"], answer["width"], answer["format"]) == ("AUTOMATIC1111", 64, "PNG")
    assert from_dict(answer["request"]).seed == 4242 and answer["items"]["Author"] == "me"


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
def test_a_workflow_file_is_read_too(client, kind):
    content = json.dumps(DEFAULT).encode()
    answer = client.post("/ui/picture-info", content=content, headers={"content-type": kind}).json()
    assert (answer["program"], answer["format"]) == ("ComfyUI", "JSON")
    assert from_dict(answer["request"]).passes[0].steps == 23
    assert answer["left_out"][0]["name"] == "noise" and set(answer["left_out"][0]) == {"name", "value", "reason"}


def test_a_text_file_is_read_too(client):
    answer = client.post("/ui/picture-info", content=samples.A1111.encode()).json()
    assert (answer["program"], answer["format"]) == ("AUTOMATIC1111", "TEXT") and answer["request"]["seed"] == 4242


@pytest.mark.parametrize("content", [b"{", b"[1]", b"{}", b"nothing at all", b""])
def test_what_is_none_of_these_is_refused(client, content):
    answer = client.post("/ui/picture-info", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and answer.json()["error"] == "DamagedFile"


def test_characters_that_no_file_can_hold_do_not_break_the_answer(client):
    text = 'a\nSteps: 1, Sampler: Euler, CFG scale: 1, Exact prompt: "\\ud800"'
    answer = client.post("/ui/picture-info", json={"image": encoded(png({"parameters": text}))})
    assert answer.status_code == 200 and "request" in answer.json()


def test_seeds_longer_than_a_browsers_numbers_come_as_text_too(client):
    seed = 2**64 - 3
    workflow = json.dumps(changed(DEFAULT, n3={"seed": seed})).encode()
    said = client.post("/ui/picture-info", content=workflow).json()
    assert from_json(said["request_json"]).seed == seed and f"Seed: {seed}" in said["settings"]
    empty = client.post("/ui/picture-info", content=png({})).json()
    assert (empty["request_json"], empty["settings"]) == (None, "")
