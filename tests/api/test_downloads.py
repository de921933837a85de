"""Files are fetched over small routes; who asks from elsewhere cannot reach into this machine's network."""

import time

import pytest
from starlette.testclient import TestClient

from tests.adapters.files import write_lora
from tests.library.file_server import FileServer
from webui.api.application import guarded, make_application
from webui.api.context import Context
from webui.api.door import HostNames


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = FileServer()
    server.serve("/film.safetensors", write_lora(tmp_path / "film.safetensors").read_bytes())
    yield server
    server.close()


@pytest.fixture
def here(house):
    """A client on this very machine."""
    application = guarded(house.app, HostNames())
    return TestClient(application, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 50000))


def over(client, number):
    """The download when it is over."""
    for _ in range(12_000):
        found = next(one for one in client.get("/ui/downloads").json()["downloads"] if one["id"] == number)
        if found["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.01)
    raise AssertionError("it never ended")


def test_a_file_is_fetched_and_listed(house, here, server):
    answer = here.post("/ui/downloads", json={"source": f"{server.url}/film.safetensors", "kind": "lora"})
    found = over(here, answer.json()["id"])
    assert (found["state"], found["name"], found["kind"]) == ("done", "film.safetensors", "loras")
    assert "film" in [file.stem for file in house.catalogue.files("loras")]
    assert here.delete(f"/ui/downloads/{found['id']}").json() == {"done": True}
    assert here.delete(f"/ui/downloads/{found['id']}").status_code == 404


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}])
def test_what_came_through_a_proxy_is_not_from_here(here, server, headers):
    body = {"source": f"{server.url}/film.safetensors", "kind": "lora"}
    found = over(here, here.post("/ui/downloads", json=body, headers=headers).json()["id"])
    assert found["state"] == "failed" and "private network" in found["error"] and server.asked == []


def test_another_machine_cannot_have_this_one_asked(house, server):
    elsewhere = TestClient(
        guarded(house.app, HostNames("0.0.0.0")), base_url="http://192.168.1.5:7860", client=("192.168.1.9", 50000)
    )
    body = {"source": f"{server.url}/film.safetensors", "kind": "lora"}
    found = over(elsewhere, elsewhere.post("/ui/downloads", json=body).json()["id"])
    assert found["state"] == "failed" and server.asked == []


@pytest.mark.parametrize(
    "body", [{}, {"source": ""}, {"source": "a/b", "kind": "../x"}, {"source": "a/b", "sha256": "12"}]
)
def test_a_wrong_wish_is_refused_at_once(client, body):
    assert client.post("/ui/downloads", json=body).status_code == 422


def test_nothing_is_fetched_offline(house):
    context = Context(house.service, house.store, house.catalogue, dict, offline=True)
    client = TestClient(guarded(make_application(context), HostNames()), base_url="http://127.0.0.1:7860")
    answer = client.post("/ui/downloads", json={"source": "a/b"})
    assert answer.status_code == 422 and "--offline" in answer.json()["detail"]
