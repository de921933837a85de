"""The door: which requests a server answers, by Host, Origin, Sec-Fetch headers and size."""

from __future__ import annotations

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from webui.api.door import SECURITY_HEADERS, Door, HostNames


async def echo(request):
    body = await request.body()
    return PlainTextResponse(str(len(body)), headers={"access-control-allow-origin": "http://evil.com"})


async def socket(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def client(bound: str = "127.0.0.1", further: tuple[str, ...] = (), **limits) -> TestClient:
    app = Starlette(
        routes=[
            Route("/", echo, methods=["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]),
            WebSocketRoute("/ws", socket),
        ]
    )
    return TestClient(Door(app, HostNames(bound, further), **limits), base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize(
    ("bound", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:7860", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "LOCALHOST:7860", True),
        ("127.0.0.1", "[::1]:7860", True),
        ("127.0.0.1", "evil.com", False),
        ("127.0.0.1", "evil.com:7860", False),
        ("127.0.0.1", "127.0.0.1.evil.com", False),
        ("127.0.0.1", "localhost.evil.com", False),
        ("127.0.0.1", "localhost.", False),
        ("127.0.0.1", "user@localhost", False),
        ("127.0.0.1", "localhost:7860@evil.com", False),
        ("127.0.0.1", "localhost:port", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
        ("127.0.0.1", "::1", False),
        ("127.0.0.1", "192.168.1.5:7860", False),
        ("127.0.0.1", "pictures.home", False),
        ("192.168.1.5", "192.168.1.5:7860", True),
        ("192.168.1.5", "192.168.1.6:7860", False),
        ("0.0.0.0", "192.168.1.5:7860", True),
        ("0.0.0.0", "[fe80::1]:7860", True),
        ("0.0.0.0", "evil.com", False),
        ("0.0.0.0", "192.168.1.5.evil.com", False),
    ],
)
def test_only_known_names_are_answered(bound, host, allowed):
    assert client(bound).get("/", headers={"host": host}).status_code == (200 if allowed else 403)


def test_further_names_can_be_allowed():
    assert client(further=("Pictures.Home",)).get("/", headers={"host": "pictures.home:7860"}).status_code == 200


SAME, FOREIGN = "http://127.0.0.1:7860", "http://evil.com"
TABLE = [  # method, Origin, Sec-Fetch-Site, Sec-Fetch-Mode, allowed
    ("GET", None, None, None, True),
    ("GET", None, "none", "navigate", True),
    ("GET", None, "same-origin", "cors", True),
    ("GET", None, "cross-site", "navigate", True),  # a link on another page
    ("GET", None, "cross-site", "no-cors", False),  # <img src="http://127.0.0.1:7860/...">
    ("GET", FOREIGN, "cross-site", "cors", False),
    ("GET", None, "same-site", "no-cors", False),  # another port of this computer
    ("HEAD", FOREIGN, "cross-site", "cors", False),
    ("OPTIONS", FOREIGN, "cross-site", "cors", False),
    ("POST", None, None, None, True),  # curl, scripts, bots
    ("POST", SAME, None, None, True),
    ("POST", SAME, "same-origin", "cors", True),
    ("POST", "http://127.0.0.1", None, None, False),
    ("POST", "http://127.0.0.1:3000", "same-site", "cors", False),
    ("POST", "http://127.0.0.1:3000", None, None, False),
    ("POST", "http://localhost:7860", None, None, False),
    ("POST", FOREIGN, None, None, False),
    ("POST", FOREIGN, "cross-site", "no-cors", False),
    ("POST", None, "cross-site", "no-cors", False),
    ("POST", None, "cross-site", "navigate", False),  # a form on another page
    ("POST", None, "same-site", "navigate", False),
    ("POST", None, "none", "navigate", True),  # reload by hand
    ("POST", "null", None, None, False),  # a sandboxed frame, a data: page
    ("POST", "null", "same-origin", None, False),
    ("POST", "", None, None, False),
    ("POST", "http://127.0.0.1:7860.evil.com", None, None, False),
    ("POST", "http://127.0.0.1:7860@evil.com", None, None, False),
    ("POST", "file://", None, None, False),
    ("PUT", FOREIGN, None, None, False),
    ("DELETE", FOREIGN, None, None, False),
]


@pytest.mark.parametrize(("method", "origin", "site", "mode", "allowed"), TABLE)
def test_other_web_sites_are_turned_away(method, origin, site, mode, allowed):
    marks = {"origin": origin, "sec-fetch-site": site, "sec-fetch-mode": mode}
    answer = client().request(method, "/", headers={k: v for k, v in marks.items() if v is not None})
    assert answer.status_code == (200 if allowed else 403)


def test_a_server_behind_an_https_proxy_knows_itself():
    headers = {"host": "pictures.home", "origin": "https://pictures.home"}  # neither names the port 443
    assert client(further=("pictures.home",)).post("/", headers=headers).status_code == 200
    headers["host"] = "pictures.home:443"
    assert client(further=("pictures.home",)).post("/", headers=headers).status_code == 200
    headers["host"] = "pictures.home:80"
    assert client(further=("pictures.home",)).post("/", headers=headers).status_code == 403


def test_web_sockets_are_checked_too():
    with client().websocket_connect("ws://127.0.0.1/ws") as connection:
        assert connection.receive_text() == "hello"
    for headers in ({"origin": FOREIGN}, {"host": "evil.com"}, {"sec-fetch-site": "cross-site"}):
        with (
            pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
            client().websocket_connect("ws://127.0.0.1/ws", headers=headers),
        ):
            pass


def test_answers_carry_the_security_headers_and_no_permission_for_others():
    for answer in (client().get("/"), client().get("/", headers={"host": "evil.com"})):
        assert all(answer.headers[name] == value for name, value in SECURITY_HEADERS.items())
        assert "access-control-allow-origin" not in answer.headers


def test_a_body_within_the_limit_arrives_whole():
    assert client(json_limit=1000).post("/", content=b"x" * 1000).text == "1000"


def test_a_body_that_says_it_is_too_large_is_refused_unread():
    answer = client(json_limit=1000).post("/", content=b"x" * 1001)
    assert answer.status_code == 413 and answer.json()["error"] == "TooLarge"


def test_a_chunked_body_is_counted_while_it_arrives():
    sent = []

    def chunks():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 100

    assert client(json_limit=1000).post("/", content=chunks()).status_code == 413


def test_a_lying_length_does_not_help():
    statuses = []

    async def attack():
        messages = [{"type": "http.request", "body": b"x" * 600, "more_body": True}] * 4

        async def receive():
            return messages.pop()

        async def send(message):
            statuses.append(message.get("status"))

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(b"host", b"localhost"), (b"content-length", b"10")],
        }

        async def read_all(scope, receive, send):
            while (await receive()).get("more_body"):
                pass

        try:
            await Door(read_all, HostNames(), json_limit=1000)(scope, receive, send)
        finally:
            assert len(messages) == 2  # it stopped at the second chunk

    with pytest.raises(Exception, match="larger"):
        anyio.run(attack)
    assert statuses[0] == 413


def test_uploads_have_a_limit_of_their_own():
    small = client(json_limit=100, upload_limit=100_000)
    assert small.post("/", files={"file": b"x" * 5000}).status_code == 200
    assert small.post("/", files={"file": b"x" * 200_000}).status_code == 413
