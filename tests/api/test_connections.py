"""Connections that send their request slowly or never, on a really started server: others are served meanwhile."""

from __future__ import annotations

import contextlib
import socket
import time

import httpx
import pytest

from tests.api.started import complaints, server

SLOW = 50
HEAD = (
    "POST /sdapi/v1/png-info HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with server(folder, "nowebui=True, header_timeout=2.0, idle_timeout=2.0, max_connections=70") as running:
        yield running
        assert "Traceback" not in complaints(folder)


@contextlib.contextmanager
def connections(address: str, count: int, first: bytes = b""):
    """So many open connections."""
    host, port = address.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=120)))
            opened[-1].sendall(first)
        yield opened


def last_words(connection: socket.socket) -> bytes:
    """What the server says before it hangs up."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1000):
            said += piece
    return said


def test_slow_headers_hold_nobody_up_and_come_to_an_end(started):
    with connections(started.address, SLOW, b"GET /healthz HTTP/1.1\r\nHost: x\r\n") as slow:
        for number in range(4):  # a byte now and then does not buy more time
            assert httpx.get(f"{started.address}/healthz", timeout=120).status_code == 200
            for connection in slow:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(f"X-{number}: y\r\n".encode())
            time.sleep(0.2)
        assert all(last_words(connection).startswith(b"HTTP/1.1 408 ") for connection in slow)


def test_a_connection_that_says_nothing_is_closed(started):
    with connections(started.address, 1) as (silent,):
        assert last_words(silent).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_stops_half_way_is_given_up(started):
    head = HEAD.format(host=started.address.removeprefix("http://")).encode()
    with connections(started.address, 3, head + b'{"image": "') as slow:
        assert httpx.get(f"{started.address}/healthz", timeout=120).status_code == 200
        for connection in slow:
            last_words(connection)  # returns: the server hung up


def test_a_job_that_takes_longer_than_the_timeouts_is_answered(started):
    body = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 150}  # 3 s
    assert httpx.post(f"{started.address}/sdapi/v1/txt2img", json=body, timeout=120).status_code == 200


def test_a_connection_can_be_used_again_and_again(started):
    with httpx.Client(limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(3):
            assert client.get(f"{started.address}/healthz").status_code == 200
            assert client.post(f"{started.address}/sdapi/v1/png-info", json={"image": ""}).status_code == 200


def test_with_too_many_connections_those_go_first_that_ask_nothing(started):
    with connections(started.address, 100):
        for _ in range(5):
            assert httpx.get(f"{started.address}/healthz", timeout=120).status_code == 200


def test_headers_that_are_too_large_are_refused(started):
    answer = httpx.get(f"{started.address}/healthz", headers={"x-large": "y" * 100_000}, timeout=120)
    assert answer.status_code in (400, 431)
