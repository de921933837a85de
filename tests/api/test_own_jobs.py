"""Whose jobs one sees and stops: one's own, or everybody's as an administrator."""

from __future__ import annotations

import json
import time

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import make_house
from tests.api.people import ADDRESS, PASSWORD, make_file
from webui.api.application import guarded
from webui.api.book import AccountBook
from webui.api.door import HostNames
from webui.request import GenerationRequest, Pass
from webui.ui.routes import page_routes
from webui.ui.settings_routes import settings_routes

PEOPLE = (("adam", "administrator"), ("uma", "user"), ("bob", "user"), ("rita", "read-only"))
LONG = GenerationRequest(prompt="held", passes=(Pass(steps=1000),))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    house = make_house(folder)
    house.app.router.routes.extend(page_routes(house.service))
    house.app.router.routes.extend(settings_routes(house.service, house.store, house.context.change_settings))
    house.book = AccountBook(file=make_file(folder, PEOPLE))
    house.guarded = guarded(house.app, HostNames(), house.book)
    house.service.start()
    house.service.names("samplers")
    yield house
    house.service.stop(2)


def door(house, name: str, peer: str = "127.0.0.1") -> TestClient:
    client = TestClient(house.guarded, base_url=ADDRESS, client=(peer, 5))
    client.auth = (name, PASSWORD)
    return client


@pytest.fixture
def job(house):
    """The id of uma's job, which runs and has a preview."""
    job_id = house.service.submit(LONG, "uma")
    end = time.monotonic() + 120
    while house.service.job(job_id).preview is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    yield job_id
    house.service.interrupt(job_id)
    house.service.wait(job_id, 120)


@pytest.mark.parametrize(("name", "sees"), [("uma", True), ("adam", True), ("bob", False), ("rita", False)])
def test_the_picture_of_a_running_job_is_shown_to_its_owner_and_to_administrators(house, job, name, sees):
    client = door(house, name)
    progress = client.get("/sdapi/v1/progress").json()
    assert progress["progress"] > 0 and (progress["current_image"] is not None) == sees
    told = client.post("/internal/progress", json={"id_task": job}).json()
    assert told["active"] == sees and (told["live_preview"] is not None) == sees
    for path in (f"/ui/jobs/{job}", f"/ui/jobs/{job}/preview", f"/api/v1/jobs/{job}"):
        assert client.get(path).status_code == (200 if sees else 404), path


def test_a_foreign_job_looks_exactly_like_one_that_is_not_there(house, job):
    client = door(house, "bob")
    for path in ("/ui/jobs/{}", "/ui/jobs/{}/preview", "/ui/jobs/{}/pictures/0"):
        foreign, absent = client.get(path.format(job)), client.get(path.format("0" * len(job)))
        assert foreign.status_code == absent.status_code == 404
    assert client.post(f"/ui/jobs/{job}/interrupt").status_code == 404


@pytest.mark.parametrize("path", ["/sdapi/v1/interrupt", "/sdapi/v1/skip"])
def test_interrupt_and_skip_of_others_leave_a_job_alone(house, job, path):
    assert door(house, "bob").post(path).status_code == 200
    view = house.service.job(job)
    assert view.state == "running" and not view.interrupted and not view.skipped


@pytest.mark.parametrize("name", ["uma", "adam"])
def test_its_owner_and_administrators_end_a_job(house, job, name):
    assert door(house, name).post("/sdapi/v1/interrupt").status_code == 200
    assert house.service.wait(job, 120).state == "cancelled"


def test_a_waiting_job_of_somebody_else_is_not_taken_out_and_not_listed(house, job):
    waiting = house.service.submit(LONG, "uma")
    assert door(house, "bob").get("/internal/pending-tasks").json() == {"size": 0, "tasks": []}
    assert door(house, "uma").get("/internal/pending-tasks").json()["tasks"] == [waiting]
    assert door(house, "bob").post(f"/ui/jobs/{waiting}/interrupt").status_code == 404
    assert house.service.job(waiting).state == "waiting"
    assert door(house, "adam").post(f"/ui/jobs/{waiting}/interrupt").json() == {"done": True}


def test_an_address_of_openais_is_for_its_owner(house):
    answer = door(house, "uma").post(
        "/v1/images/generations", json={"prompt": "x", "response_format": "url", "size": "64x64"}
    )
    path = answer.json()["data"][0]["url"].removeprefix(ADDRESS)
    statuses = {name: door(house, name).get(path).status_code for name in ("uma", "adam", "bob")}
    assert statuses == {"uma": 200, "adam": 200, "bob": 404}


def test_only_administrators_keep_override_settings(house):
    body = {
        "width": 64,
        "height": 64,
        "steps": 1,
        "override_settings": {"CLIP_stop_at_last_layers": 2},
        "override_settings_restore_afterwards": False,
    }
    refused = door(house, "uma").post("/sdapi/v1/txt2img", json=body)
    assert refused.status_code == 403 and "administrator" in refused.json()["errors"]
    assert house.store.settings["clip_skip"] == 1
    body["override_settings_restore_afterwards"] = True
    assert door(house, "uma").post("/sdapi/v1/txt2img", json=body).status_code == 200
    body["override_settings_restore_afterwards"] = False
    assert door(house, "adam").post("/sdapi/v1/txt2img", json=body).status_code == 200
    assert house.store.settings["clip_skip"] == 2


def test_an_administrators_script_sends_the_whole_dictionary_of_options_back(house):
    client = door(house, "adam")
    options = client.get("/sdapi/v1/options").json()
    options["CLIP_stop_at_last_layers"] = 3
    assert client.post("/sdapi/v1/options", json=options).status_code == 200
    assert house.store.settings["clip_skip"] == 3
    assert door(house, "uma").post("/sdapi/v1/options", json=options).status_code == 403


def test_options_that_tell_of_the_machine_are_for_administrators(house):
    private = {"model_folders", "hub_endpoint"}
    assert private <= set(door(house, "adam").get("/sdapi/v1/options").json())
    assert not private & set(door(house, "uma").get("/sdapi/v1/options").json())


def test_folders_of_the_server_are_named_by_administrators_before_it_alone(house, tmp_path):
    values = {"folder": str(tmp_path), "options": {}}
    for name, peer in (("uma", "127.0.0.1"), ("adam", "192.168.1.9")):
        answer = door(house, name, peer).post("/ui/tasks/extras", content=json.dumps(values))
        assert answer.status_code == 422 and "administrator" in json.dumps(answer.json())
    assert door(house, "adam").get("/ui/extras").json()["folders"] is True
    assert door(house, "uma").get("/ui/extras").json()["folders"] is False
