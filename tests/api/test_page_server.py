"""The whole server with the real page: it starts, stays light, calls nobody, and its door is shut."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from tests.api.started import complaints, server

BODY = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 3}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with server(folder, "nowebui=False") as running:
        yield running
        assert running.stop() == 0
    # The audit hook refuses and reports every address that is not this machine.
    assert "REACHED" not in complaints(folder) and "Traceback" not in complaints(folder)


def test_the_page_is_there_once_its_address_is_told(started):
    assert started.lines[0] == f"Emulsion is at {started.address}"
    answer = httpx.get(started.address)
    assert answer.status_code == 200 and "gradio" in answer.text


def test_the_page_loads_nothing_from_elsewhere(started):
    policy = httpx.get(started.address).headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_the_web_process_holds_no_torch(started):
    httpx.post(f"{started.address}/sdapi/v1/txt2img", json=BODY, timeout=120)
    libraries = Path(f"/proc/{started.process.pid}/maps").read_text()
    assert "python" in libraries and "libtorch" not in libraries


def test_page_and_routes_stand_side_by_side(started):
    answer = httpx.post(f"{started.address}/sdapi/v1/txt2img", json=BODY, timeout=120)
    assert len(answer.json()["images"]) == 1
    assert httpx.get(f"{started.address}/config").status_code == 200
    assert httpx.get(f"{started.address}/ui/jobs/nobody").status_code == 404


@pytest.mark.parametrize("path", ["/", "/config", "/sdapi/v1/options", "/ui/jobs/x", "/gradio_api/info", "/theme.css"])
def test_a_foreign_name_or_site_gets_nothing(started, path):
    assert httpx.get(started.address + path, headers={"host": "evil.com"}).status_code == 403
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert httpx.get(started.address + path, headers=foreign).status_code == 403


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/ui/tokens", "/sdapi/v1/interrupt"])
def test_a_foreign_page_can_send_nothing(started, path):
    for headers in ({"origin": "http://evil.com"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
        assert httpx.post(started.address + path, headers=headers).status_code == 403


def test_the_pages_events_cannot_be_called_past_the_queue_by_name(started):
    names = httpx.get(f"{started.address}/gradio_api/info").json()["named_endpoints"]
    for name in names:
        assert httpx.post(f"{started.address}/gradio_api/run{name}", json={"data": []}).status_code == 404


def test_the_gradio_cache_is_private(started):
    cache = started.folder / "data" / "page-cache"
    assert cache.is_dir()
    if os.name != "nt":
        assert cache.stat().st_mode & 0o077 == 0


def test_it_stops_at_once_while_a_page_is_open(tmp_path):
    with (
        server(tmp_path, "nowebui=False") as running,
        httpx.stream("GET", f"{running.address}/gradio_api/heartbeat/x") as stream,
    ):
        assert stream.status_code == 200  # an event stream that never ends by itself
        assert running.stop(timeout=120) == 0
