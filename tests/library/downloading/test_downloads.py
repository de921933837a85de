"""Several downloads wait for each other, can be watched and stopped."""

from __future__ import annotations

import threading

import pytest

from tests.library.file_server import send
from webui.errors import NotFound
from webui.library import downloads as module
from webui.library.download import Place, read_wish
from webui.library.downloads import Downloads
from webui.paths import Paths
from webui.weights.save import save_safetensors


@pytest.fixture
def data(tmp_path):
    import torch

    from tests.adapters.files import lora_tensors

    save_safetensors(tmp_path / "x.safetensors", {**lora_tensors(), "more": torch.zeros(10000)})
    return (tmp_path / "x.safetensors").read_bytes()


@pytest.fixture
def queue(tmp_path, server):
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path / "outputs", {}, tmp_path / "program")
    arrived = []
    queue = Downloads(lambda private: Place(paths, server.url, private, pause=0.0), arrived.append)
    queue.arrived, queue.models = arrived, paths.models
    yield queue
    queue.stop()


def slow(data, gate):
    """Send half, wait for the gate, send the rest."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        gate.wait(120)
        handler.wfile.write(data[len(data) // 2 :])

    return answer


def test_a_finished_download_is_on_the_list_and_announced(queue, server, data):
    server.serve("/film.safetensors", data)
    number = queue.add(read_wish(f"{server.url}/film.safetensors?token=secret", "lora"), True)
    view = queue.wait(number, 120)
    assert (view.state, view.name, view.kind, view.done) == ("done", "film.safetensors", "loras", len(data))
    assert queue.list() == [view] and "secret" not in str(view.plain())
    assert [done.path.name for done in queue.arrived] == ["film.safetensors"]
    queue.remove(number)
    assert queue.list() == []
    with pytest.raises(NotFound):
        queue.view(number)


def test_a_failure_is_told_on_the_list(queue, server):
    view = queue.wait(queue.add(read_wish(f"{server.url}/none.safetensors", "lora"), True), 120)
    assert view.state == "failed" and "404" in view.error


def test_private_addresses_are_refused_for_who_asks_from_elsewhere(queue, server, data):
    server.serve("/film.safetensors", data)
    view = queue.wait(queue.add(read_wish(f"{server.url}/film.safetensors", "lora"), False), 120)
    assert view.state == "failed" and "private network" in view.error and server.asked == []


def test_a_stopped_download_leaves_nothing_behind(queue, server, data, monkeypatch):
    gate = threading.Event()
    server.answers["/film.safetensors"] = slow(data, gate)
    number = queue.add(read_wish(f"{server.url}/film.safetensors", "lora"), True)
    while not queue.view(number).done:
        threading.Event().wait(0.01)
    assert queue.view(number).whole == len(data)
    queue.remove(number)
    gate.set()
    assert queue.wait(number, 120).state == "cancelled"
    assert not [path for path in queue.models.rglob("*") if path.is_file()]


def test_no_more_than_a_few_run_at_once_and_the_same_is_not_begun_twice(queue, server, data):
    gate, running = threading.Event(), []

    def answer(handler):
        running.append(handler.path)
        gate.wait(120)
        send(handler, data)

    wishes = [read_wish(f"{server.url}/{name}.safetensors", "lora") for name in "abcd"]
    for name in "abcd":
        server.answers[f"/{name}.safetensors"] = answer
    numbers = [queue.add(wish, True) for wish in wishes]
    assert queue.add(wishes[0], True) == numbers[0]
    while len(running) < module.AT_ONCE:
        threading.Event().wait(0.01)
    assert sorted(view.state for view in queue.list()) == ["running"] * module.AT_ONCE + ["waiting"] * 2
    queue.remove(numbers[3])  # it waits still
    gate.set()
    assert [queue.wait(number, 120).state for number in numbers[:3]] == ["done"] * 3
    assert "/d.safetensors" not in running
