"""A really started server without the page: disconnects, signals, ports, logins, crashes."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.api.started import begin, complaints, free_port, server, until
from webui import app
from webui.app import serve
from webui.errors import InvalidRequest
from webui.paths import Paths, StartOptions

BODY = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 3}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with server(folder) as running:
        yield running
        assert "REACHED" not in complaints(folder) and "Traceback" not in complaints(folder)


def jobs(folder: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / "data" / "queue.sqlite") as database:
        return database.execute("SELECT state, request FROM jobs ORDER BY number").fetchall()


def progress(address: str) -> dict:
    return httpx.get(f"{address}/sdapi/v1/progress").json()


def test_it_starts_quickly_and_says_where_it_is(started):
    assert httpx.get(f"{started.address}/sdapi/v1/options").status_code == 200
    assert started.lines[0] == f"The HTTP routes are at {started.address}"


def test_a_call_that_is_hung_up_ends_its_job(started):
    connection = begin(started.address, {**BODY, "steps": 1000, "prompt": "hang up"})
    until(lambda: progress(started.address)["state"]["sampling_step"] > 3)
    connection.close()
    assert until(lambda: jobs(started.folder)[-1][0] == "cancelled")


def test_a_waiting_call_that_is_hung_up_leaves_the_queue(started):
    first = begin(started.address, {**BODY, "steps": 100, "prompt": "first"})
    until(lambda: progress(started.address)["state"]["sampling_step"] > 1)
    second = begin(started.address, {**BODY, "steps": 100, "prompt": "second"})
    until(lambda: "second" in jobs(started.folder)[-1][1])
    second.close()
    until(lambda: jobs(started.folder)[-1][0] == "cancelled")
    assert jobs(started.folder)[-2][0] == "running"
    first.close()


def test_sixty_calls_at_once_are_all_answered_and_none_is_mixed_up(started):
    def call(number: int) -> tuple[int, list[int]]:
        body = {**BODY, "steps": 1, "seed": number, "prompt": f"number {number}"}
        answer = httpx.post(f"{started.address}/sdapi/v1/txt2img", json=body, timeout=120).json()
        info = json.loads(answer["info"])
        return info["all_prompts"], info["all_seeds"]

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(call, range(60)))
    assert answers == [([f"number {number}"], [number]) for number in range(60)]


def test_a_dead_worker_is_a_503_and_the_next_call_works(started):
    answer = httpx.post(f"{started.address}/sdapi/v1/txt2img", json={**BODY, "prompt": "die"}, timeout=120)
    assert answer.status_code == 503 and answer.json()["error"] == "WorkerLost"
    assert httpx.post(f"{started.address}/sdapi/v1/txt2img", json=BODY, timeout=120).status_code == 200


def test_the_door_is_there(started):
    assert httpx.get(f"{started.address}/sdapi/v1/options", headers={"host": "evil.com"}).status_code == 403
    origin = {"origin": "http://evil.com"}
    assert httpx.post(f"{started.address}/sdapi/v1/interrupt", headers=origin).status_code == 403
    for path in ("/redoc", "/"):
        assert httpx.get(started.address + path).status_code == 404


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_ends_it_with_code_0_and_keeps_the_waiting_jobs(tmp_path, how):
    with server(tmp_path) as running:
        connection = begin(running.address, {**BODY, "steps": 900})
        until(lambda: progress(running.address)["state"]["sampling_step"] > 1)
        with sqlite3.connect(tmp_path / "data" / "queue.sqlite") as database:
            database.execute(
                "INSERT INTO jobs (id, client, tab, attached, priority, request, options, state, created)"
                " SELECT 'page', 'me', 'txt2img', 0, 0, request, '{}', 'waiting', 1 FROM jobs"
            )
        assert running.stop(how) == 0
        assert b" 503 " in connection.recv(100)
        connection.close()
    with sqlite3.connect(tmp_path / "data" / "queue.sqlite") as database:
        states = dict(database.execute("SELECT id, state FROM jobs").fetchall())
    assert states.pop("page") == "waiting"
    assert set(states.values()) <= {"failed", "cancelled"}
    assert "Traceback" not in complaints(tmp_path)


def test_a_taken_port_is_told_plainly_and_passed_over_when_none_was_asked_for(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match="taken by another program"):
            serve(StartOptions(paths=Paths(tmp_path), nowebui=True, port=port))
    with held(7861), server(tmp_path, "nowebui=True, port=None") as running:
        assert running.address != "http://127.0.0.1:7861"


def test_a_second_start_is_told_at_once_while_the_first_is_still_getting_ready(tmp_path):
    with app._bind(StartOptions(nowebui=True, port=None)) as first:
        with pytest.raises(InvalidRequest, match="taken by another program"):
            serve(StartOptions(paths=Paths(tmp_path), nowebui=True, port=first.getsockname()[1]))


def held(port: int) -> socket.socket:
    """Hold a port, or find it held by someone else."""
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
        holder.listen()
    except OSError:
        pass
    return holder


def test_listening_for_others_makes_up_a_login_and_says_it_once(tmp_path):
    with server(tmp_path, "nowebui=True, host='0.0.0.0'") as running:
        user = until(lambda: next_line(running, "User: "))
        password = until(lambda: next_line(running, "Password: "))
        url = f"{running.address}/sdapi/v1/options"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, auth=(user, "wrong")).status_code == 401
        assert httpx.get(url, auth=(user, password)).status_code == 200
        assert running.stop() == 0


def test_going_without_a_login_has_to_be_typed_and_is_warned_of(tmp_path):
    with server(tmp_path, "nowebui=True, host='0.0.0.0', insecure_no_login=True") as running:
        assert httpx.get(f"{running.address}/sdapi/v1/options").status_code == 200
        until(lambda: "WARNING: --insecure-no-login" in complaints(tmp_path))


def next_line(running, beginning: str) -> str | None:
    line = running.process.stdout.readline().strip()
    running.lines.append(line)
    return line.removeprefix(beginning) if line.startswith(beginning) else None


def test_two_servers_can_share_a_data_folder(tmp_path):
    with server(tmp_path) as first, server(tmp_path) as second:
        for running in (first, second):
            assert httpx.post(f"{running.address}/sdapi/v1/txt2img", json=BODY, timeout=120).status_code == 200


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a folder nobody can write")
def test_a_data_folder_that_cannot_be_written_is_told_plainly():
    options = StartOptions(paths=Paths(Path("/proc/self/nowhere")), nowebui=True, port=free_port())
    with pytest.raises(Exception, match="--data-dir"):
        serve(options)
