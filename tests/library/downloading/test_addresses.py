"""Nobody makes this machine ask for what only this machine can reach."""

import socket

import pytest

from tests.library.file_server import FileServer, send
from webui.errors import InvalidRequest
from webui.library import connection
from webui.library.connection import is_public, open_url, shown


@pytest.fixture
def canary(monkeypatch):
    """A server on this machine that must not be asked."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = FileServer()
    server.answers["/"] = lambda handler: send(handler, b"reached")
    yield server
    server.close()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *(
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fd12::1",
            "ff02::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_addresses_that_are_not_of_the_open_internet_are_known_in_any_wrapping(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_open_internet_are_known(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]"])
def test_this_machine_is_not_asked_however_it_is_written(canary, host):
    port = canary.url.rpartition(":")[2]
    with pytest.raises(InvalidRequest, match=r"private network|no machine|no address"):
        open_url(f"http://{host}:{port}/")
    assert canary.asked == []


def test_a_public_name_that_leads_inside_is_not_followed(canary, monkeypatch):
    """The first server is the canary under a public name; it redirects to itself under its own."""
    port = int(canary.url.rpartition(":")[2])
    canary.redirect("/out", f"{canary.url}/")
    found = {"public.example": "93.184.216.34"}
    real = socket.getaddrinfo
    monkeypatch.setattr(
        connection.socket, "getaddrinfo", lambda host, *rest, **more: real(found.get(host, host), *rest, **more)
    )
    dialled = []

    def dial(addresses, number, *rest):
        dialled.append(addresses)
        return socket.create_connection(("127.0.0.1", port))

    monkeypatch.setattr(connection, "_dial", dial)
    for private in (False, True):  # who sits here may ask for private addresses, but a public one may not lead there
        with pytest.raises(InvalidRequest, match="private network"):
            open_url(f"http://public.example:{port}/out", private=private)
    assert dialled == [["93.184.216.34"]] * 2 and [path for path, _ in canary.asked] == ["/out", "/out"]


def test_a_name_is_resolved_once_and_the_connection_goes_there(canary, monkeypatch):
    """A name that means another machine the second time (DNS rebinding) gains nothing."""
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    real = socket.getaddrinfo
    monkeypatch.setattr(
        connection.socket, "getaddrinfo", lambda host, *rest, **more: real(next(answers), *rest, **more)
    )
    asked = []

    def refuse(address, *rest):
        asked.append(address[0])
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(connection.socket, "create_connection", refuse)
    with pytest.raises(ConnectionRefusedError):
        open_url("http://rebinding.example/")
    assert asked == ["93.184.216.34"] and canary.asked == []


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(connection.socket, "getaddrinfo", lambda *rest, **more: both)
    with pytest.raises(InvalidRequest, match="private network"):
        open_url("http://mixed.example/")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/x", "gopher://x/", "http:///x", "http://a b/", "x"]
)
def test_only_http_and_https_exist(url):
    with pytest.raises(InvalidRequest, match="no address"):
        open_url(url, private=True)


def test_line_breaks_in_an_address_do_not_become_headers(canary):
    with pytest.raises(InvalidRequest, match="no address"):
        open_url(f"{canary.url}/x\r\nX-Evil: 1", private=True)
    assert canary.asked == []


def test_addresses_are_shown_without_what_may_be_secret():
    assert shown("https://ann:pw@example.org/a/b?token=secret#x") == "https://example.org/a/b"


def test_a_proxy_is_used_where_the_system_names_one(canary, monkeypatch):
    monkeypatch.setenv("http_proxy", canary.url)
    monkeypatch.setattr(connection, "_resolve", lambda parts, private: ([], False))
    canary.answers["http://files.example/x"] = lambda handler: send(handler, b"through the proxy")
    with open_url("http://files.example/x") as answer:
        assert answer.read(100) == b"through the proxy"
