"""Finished pictures come into the history by themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from webui.library.history import History
from webui.request import GenerationRequest, Pass
from webui.workers import recorder
from webui.workers.recorder import Recorder
from webui.workers.service import JobService
from webui.workers.views import JobView


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "PATIENCE", 0.0)
    return History(tmp_path / "data" / "history.sqlite", [tmp_path / "outputs"])


@pytest.fixture
def service(tmp_path, history):
    outputs = {"outputs": str(tmp_path / "outputs")}
    service = JobService(outputs, tmp_path / "data", "tests.workers.fake_engine:engine", history=history)
    service.start()
    keeper = Recorder(service, history)
    keeper.start()
    yield service
    keeper.close()
    service.stop(2)


def make(service: JobService, prompt: str = "an apple", **changes) -> JobView:
    passes = (Pass(width=64, height=64, steps=1),)
    return service.wait(service.submit(GenerationRequest(prompt=prompt, passes=passes, seed=3, **changes)), 120)


def recorded(history: History, count: int) -> list[str]:
    end = time.monotonic() + 120
    while history.count() < count and time.monotonic() < end:
        time.sleep(0.01)
    return [picture["seed"] for picture in history.page().pictures]


def test_saved_pictures_are_recorded_and_others_not(service, history):
    make(service, save=False)
    make(service, batch_size=2)
    assert sorted(recorded(history, 2)) == ["3", "4"]
    assert {picture["infotext"].split("\n")[0] for picture in history.page().pictures} == {"an apple"}


def test_copies_beside_a_picture_are_recorded_with_it_and_are_no_results(service, history):
    view = make(service, "with a copy")
    recorded(history, 2)
    assert {picture["name"] for picture in history.page().pictures} == {"3.png", "3-mask.png"}
    assert len(view.results) == 1 and view.outcome == {} and [Path(one).name for one in view.copies] == ["3-mask.png"]


def test_pictures_that_lay_there_before_are_found_at_the_start(service, history, tmp_path):
    make(service)
    recorded(history, 1)
    again = History(None, [tmp_path / "outputs"])
    keeper = Recorder(service, again)
    keeper.start()
    assert recorded(again, 1) == ["3"]
    keeper.close()
