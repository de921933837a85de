"""Pictures of requests lie beside the queue."""

from __future__ import annotations

import base64
import os
import time

import pytest

from webui.errors import NotFound
from webui.request import GenerationRequest, Pass
from webui.workers import blobs
from webui.workers.blobs import Blobs
from webui.workers.service import JobService

PICTURE = bytes(range(256)) * 40
TEXT = base64.b64encode(PICTURE).decode()


def test_pictures_go_and_come_back_and_other_texts_stay(tmp_path):
    kept = Blobs(tmp_path / "pictures")
    values = {"prompt": TEXT, "passes": [{"image": TEXT, "mask": None}], "images": [f"data:image/png;base64,{TEXT}"]}
    stored = kept.stored(values)
    assert stored["prompt"] == TEXT and stored["passes"][0]["mask"] is None
    assert stored["passes"][0]["image"] == stored["images"][0] and len(stored["images"][0]) == 69
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    assert kept.restored(stored) == {"prompt": TEXT, "passes": [{"image": TEXT, "mask": None}], "images": [TEXT]}
    assert kept.stored(stored) == stored


def test_what_is_no_base64_is_left_for_who_reads_it(tmp_path):
    assert Blobs(tmp_path).stored({"image": "not a picture!"}) == {"image": "not a picture!"}


def test_a_picture_that_is_gone_is_said_in_words_and_no_path_is_followed(tmp_path):
    kept = Blobs(tmp_path)
    with pytest.raises(NotFound, match="no longer kept"):
        kept.restored({"image": "blob:" + "0" * 64})
    (tmp_path / "secret").write_bytes(b"x")
    assert kept.restored({"image": "blob:../secret"}) == {"image": "blob:../secret"}


def test_old_pictures_go_first(tmp_path, monkeypatch):
    kept = Blobs(tmp_path)
    names = [kept.put(bytes([number]) * 100) for number in range(4)]
    for age, name in enumerate(reversed(names)):
        moment = time.time() - age * 60 - (8 * 86400 if age == 3 else 0)
        os.utime(tmp_path / name.removeprefix("blob:"), (moment, moment))
    monkeypatch.setattr(blobs, "KEEP_BYTES", 250)
    kept.prune()
    assert sorted(f"blob:{path.name}" for path in tmp_path.iterdir()) == sorted(names[2:])


def test_the_queue_keeps_names_and_the_worker_sees_pictures(tmp_path):
    service = JobService({}, tmp_path, engine="tests.workers.fake_engine:engine")
    service.start()
    request = GenerationRequest(save=False, passes=(Pass(source="image", image=TEXT, width=64, height=64, steps=1),))
    view = service.wait(service.submit(request), 300)
    assert view.request.passes[0].image == service.blobs.put(PICTURE)
    assert TEXT not in service._queue.get(view.id).request
    assert view.notes == (f"a picture of {len(TEXT)} characters",)
    service.stop(2)
