"""POST /sdapi/v1/interrogate, as A1111's clients call it."""

from __future__ import annotations

import base64
import json

import pytest
from PIL import Image

from webui.imaging.metadata import encode_picture

PICTURE = base64.b64encode(encode_picture(Image.new("RGB", (32, 24), "teal"), "")).decode()
ROUTE = "/sdapi/v1/interrogate"


@pytest.fixture
def blip(house):
    """A captioner's folder; the fake engine does not look into it."""
    folder = house.paths.models / "captioners" / "my-blip"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "blip"}))
    yield
    (folder / "config.json").unlink()
    folder.rmdir()


def test_without_a_captioner_the_answer_says_how_to_get_one(client):
    answer = client.post(ROUTE, json={"image": PICTURE, "model": "clip"})
    assert answer.status_code == 404
    assert "hf download Salesforce/blip-image-captioning-base" in answer.json()["errors"]


def test_a_picture_gets_a_caption(client, blip):
    answer = client.post(ROUTE, json={"image": PICTURE, "model": "clip"})
    assert (answer.status_code, answer.json()) == (200, {"caption": f"clip: {len(PICTURE)} characters"})


def test_clip_is_asked_where_no_model_is_named(client, blip):
    assert client.post(ROUTE, json={"image": PICTURE}).json()["caption"].startswith("clip: ")


def test_tags_that_nobody_can_give_are_said_to_be_missing(client, blip):
    answer = client.post(ROUTE, json={"image": PICTURE, "model": "deepdanbooru"})
    assert answer.status_code == 404
    assert "wd-vit-tagger-v3" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"image": None}, {"image": ""}])
def test_a_request_without_a_picture_is_not_found_as_with_a1111(client, blip, body):
    answer = client.post(ROUTE, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Image not found")


def test_an_unknown_model_is_not_found_as_with_a1111(client, blip):
    answer = client.post(ROUTE, json={"image": PICTURE, "model": "llava"})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Model not found")
