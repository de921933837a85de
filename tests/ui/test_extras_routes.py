"""What the extras panel is offered, and which folders may be named."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from webui.ui import routes


@pytest.fixture
def at(service, monkeypatch):
    """A client at an address, by a name of the server."""

    def submit(name, values, client="", priority=0):
        return f"{name} for {client}"

    monkeypatch.setattr(service, "submit_task", submit, raising=False)
    app = Starlette(routes=list(routes.page_routes(service)))

    def client(address, host="127.0.0.1"):
        return TestClient(app, base_url=f"http://{host}:7860", client=(address, 50000))

    return client


def test_upscalers_are_offered_and_face_restorers_where_there_are_any(at, service):
    assert at("127.0.0.1").get("/ui/extras").json() == {
        "upscalers": ["None", "Lanczos", "Nearest"],
        "restorers": [],
        "captioners": ["blip", "tagger"],
        "folders": True,
    }
    service.restorers = ("GFPGAN",)
    assert at("127.0.0.1").get("/ui/extras").json()["restorers"] == ["GFPGAN"]


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.168.1.7", "192.168.1.2", {}),
        ("127.0.0.1", "pictures.example", {}),  # through a tunnel
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": "192.168.1.7"}),  # behind a proxy
    ],
)
@pytest.mark.parametrize("values", [{"folder": "/pictures"}, {"images": ["x"], "out": "/pictures"}])
def test_only_who_sits_before_the_machine_may_name_its_folders(at, address, host, headers, values):
    client = at(address, host)
    assert client.get("/ui/extras", headers=headers).json()["folders"] is False
    answer = client.post("/ui/tasks/extras", json=values, headers=headers)
    assert answer.status_code == 422
    assert "folder" in answer.json()["error"]["found"]


def test_at_the_machine_itself_folders_may_be_named(at):
    answer = at("127.0.0.1").post("/ui/tasks/extras", json={"folder": "/pictures"})
    assert answer.json() == {"job": "extras for 127.0.0.1"}


def test_from_elsewhere_pictures_may_be_sent(at):
    answer = at("192.168.1.7", "192.168.1.2").post("/ui/tasks/extras", json={"images": ["x"], "folder": ""})
    assert answer.status_code == 200


def test_an_unknown_task_is_refused(at):
    assert at("127.0.0.1").post("/ui/tasks/baking", json={}).status_code == 422
