"""Pictures by address: off by default, and where it is on, nobody makes the server ask its own machine (R7)."""

from __future__ import annotations

import base64
import contextlib
import socket

import pytest

from tests.api.pictures import picture
from webui.api import pictures
from webui.library import connection

SMALL = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}
PUBLIC = "93.184.216.34"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Proxies of this machine would be asked instead."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def canary():
    """A port of this machine, and whether anybody ever knocked at it."""
    knocks = []
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.05)

        def knocked() -> list:
            with contextlib.suppress(TimeoutError):
                while True:
                    connection_, address = server.accept()
                    connection_.close()
                    knocks.append(address)
            return knocks

        yield server.getsockname()[1], knocked


@pytest.fixture
def fetching(house):
    """The house with addresses switched on, those of this machine refused as by default."""
    house.context.change_settings({"fetch_urls": True})
    yield house.client
    house.context.change_settings({"fetch_urls": False})


def ask(client, url: str):
    return client.post("/sdapi/v1/img2img", json={**SMALL, "init_images": [url]})


HOSTS = [
    *("127.0.0.1", "127.1", "127.0.1", "127.8.8.8", "localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::1]"),
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "[::ffff:127.0.0.1]", "[::]"),
    *("[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]"),
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255"),
    *("user@127.0.0.1", "public.example@127.0.0.1", "127.0.0.1#public.example", "127.0.0.1?public.example"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_this_machine_and_private_networks_are_not_asked_however_they_are_written(fetching, canary, host):
    port, knocked = canary
    address = f"http://{host}:{port}/a.png"
    for mark in "#?":
        if mark in host:
            address = f"http://{host.split(mark)[0]}:{port}/{mark}{host.split(mark)[1]}"
    answer = ask(fetching, address)
    assert answer.status_code in (422, 502), answer.text
    assert knocked() == []


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/a"),
        *("dict://127.0.0.1:{port}/", "//127.0.0.1:{port}/a.png", "http:/127.0.0.1:{port}/", "http:127.0.0.1:{port}"),
        *("jar:http://127.0.0.1:{port}/!/", "http://", "http://[", "https://127.0.0.1:{port}/a.png", "\thttp://[::1/"),
        *("http://127.0.0.1:99999/", "http://127.0.0.1\r\nX: y/", "http://127.0.0.1:{port}\\@public.example/"),
    ],
)
def test_other_forms_of_addresses_lead_nowhere(fetching, canary, url):
    port, knocked = canary
    answer = ask(fetching, url.replace("{port}", str(port)))
    assert 400 <= answer.status_code < 500 or answer.status_code == 502, answer.text
    assert "root:" not in answer.text and knocked() == []


def outside(monkeypatch, answer: bytes, names: dict[str, list[str]] | None = None) -> list:
    """A server of the open internet, public.example, with one answer. Returns the addresses that were dialled."""
    asked, real = [], socket.getaddrinfo
    queue = {"public.example": [PUBLIC] * 20, **(names or {})}

    def find(host, *rest, **more):
        return real(queue[host].pop(0) if queue.get(host) else host, *rest, **more)

    def dial(addresses, port, timeout):
        asked.append(addresses)
        if addresses != [PUBLIC]:
            return socket.create_connection((addresses[0], port), 5)
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs = server.accept()[0]
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        kept.append(theirs)
        return ours

    kept: list[socket.socket] = []
    monkeypatch.setattr(connection.socket, "getaddrinfo", find)
    monkeypatch.setattr(connection, "_dial", dial)
    return asked


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost", "rebinding.example"])
def test_a_server_outside_cannot_lead_inside(fetching, canary, monkeypatch, host):
    port, knocked = canary
    names = {"rebinding.example": ["127.0.0.1", PUBLIC]}
    asked = outside(monkeypatch, redirect(f"http://{host}:{port}/a.png"), names)
    answer = ask(fetching, "http://public.example/a.png")
    assert answer.status_code in (422, 502) and asked == [[PUBLIC]] and knocked() == []


def test_a_name_that_changes_its_meaning_is_dialled_where_it_was_looked_at(fetching, canary, monkeypatch):
    names = {"rebinding.example": [PUBLIC, "127.0.0.1", "127.0.0.1"]}
    asked = outside(monkeypatch, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", names)
    assert ask(fetching, f"http://rebinding.example:{canary[0]}/").status_code == 502
    assert asked == [[PUBLIC]] and canary[1]() == []


def test_a_picture_that_is_too_large_is_given_up(fetching, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 1000)
    outside(monkeypatch, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
    answer = ask(fetching, "http://public.example/a.png")
    assert answer.status_code == 502 and "too large" in answer.json()["errors"]


def test_a_server_that_never_ends_is_given_up(fetching, monkeypatch):
    monkeypatch.setattr(pictures, "SECONDS", -1.0)
    outside(monkeypatch, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
    monkeypatch.setattr(pictures, "open_url", lambda url, timeout, **more: connection.open_url(url, **more))
    answer = ask(fetching, "http://public.example/a.png")
    assert answer.status_code == 502 and "too long" in answer.json()["errors"]


def test_a_page_instead_of_a_picture_is_told(fetching, monkeypatch):
    outside(monkeypatch, b"HTTP/1.1 200 OK\r\n\r\n<html>")
    answer = ask(fetching, "http://public.example/a.png")
    assert answer.status_code == 422 and "picture" in answer.json()["errors"]


def test_a_public_picture_is_taken(fetching, monkeypatch):
    outside(monkeypatch, b"HTTP/1.1 200 OK\r\n\r\n" + base64.b64decode(picture()))
    assert ask(fetching, "http://public.example/a.png").status_code == 200


def test_without_the_setting_nothing_is_resolved(client, monkeypatch):
    def never(*arguments, **named):
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(connection.socket, "getaddrinfo", never)
    answer = ask(client, "http://public.example/a.png")
    assert answer.status_code == 422 and "fetch_urls" in answer.json()["errors"]
