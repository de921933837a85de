"""The captioning job: pictures in, words out."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from tests.captioning.models import blip_folder
from tests.upscalers.networks import paths_with
from webui.captioning import loading
from webui.errors import Cancelled, InvalidRequest, NotFound
from webui.imaging.metadata import encode_picture
from webui.settings import Settings
from webui.workers.tasks import TaskJob, caption
from webui.workers.worker import Control

PICTURE = base64.b64encode(encode_picture(Image.new("RGB", (40, 30), "teal"), "")).decode()


@pytest.fixture
def job(tmp_path):
    reports = []
    session = SimpleNamespace(settings=Settings(paths_with(tmp_path)), device=torch.device("cpu"))
    report = lambda kind, blob=b"", **values: reports.append({"kind": kind, **values})  # noqa: E731
    yield TaskJob(session, report, Control(), tmp_path), reports
    loading.release()


def test_each_picture_gets_its_caption(job):
    task, reports = job
    blip_folder(task.session.settings.paths.models / "captioners" / "small")
    caption.run(caption.check({"images": [PICTURE, f"data:image/png;base64,{PICTURE}"], "captioner": "clip"}), task)
    outcome = reports[-1]["values"]
    assert outcome["captioner"] == "small"
    assert len(outcome["captions"]) == 2 and outcome["captions"][0] == outcome["captions"][1] != ""


def test_without_a_captioner_the_job_says_how_to_get_one(job):
    task, _ = job
    with pytest.raises(NotFound, match="hf download"):
        caption.run(caption.check({"images": [PICTURE]}), task)


def test_an_interrupted_job_ends(job):
    task, _ = job
    blip_folder(task.session.settings.paths.models / "captioners" / "small")
    task.control.interrupted.set()
    with pytest.raises(Cancelled):
        caption.run(caption.check({"images": [PICTURE]}), task)


@pytest.mark.parametrize("values", [{}, {"images": []}, {"images": [1]}, {"images": "x"}, {"pictures": []}])
def test_values_that_cannot_be_used_are_refused_at_the_door(values):
    with pytest.raises(InvalidRequest):
        caption.check(values)
