"""Behind a reverse proxy: whose word is taken, and that everything works below a path."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.api.people import HTML
from tests.api.started import HOOK, complaints, server
from webui.api.door import HostNames
from webui.api.proxy import ROOT, Proxy, networks
from webui.errors import InvalidRequest

PUBLIC = "pictures.home"
PASSWORD = "a secret that is long"


async def told(request):
    return JSONResponse([request.client.host, request.url.scheme, request.headers["host"], request.scope[ROOT]])


def seen(headers: dict[str, str], peer: str = "10.0.0.2", trusted=("10.0.0.0/8",), path: str = "/x", root: str = ""):
    app = Proxy(Starlette(routes=[Route("/x", told)]), HostNames(), networks(trusted), root)
    client = TestClient(app, base_url="http://internal:7860", client=(peer, 5), follow_redirects=False)
    return client.get(path, headers=headers)


# Whose word is taken ---------------------------------------------------------------------------------------------

FORWARDED = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "x-forwarded-host": PUBLIC}


def test_a_trusted_proxy_is_believed():
    assert seen(FORWARDED).json() == ["203.0.113.9", "https", PUBLIC, ""]


@pytest.mark.parametrize(
    ("peer", "trusted"), [("192.168.1.5", ("10.0.0.0/8",)), ("127.0.0.1", ()), ("::1", ("127.0.0.1",))]
)
def test_nobody_else_is(peer, trusted):
    assert seen(FORWARDED, peer, trusted).json() == [peer, "http", "internal:7860", ""]


@pytest.mark.parametrize(
    ("chain", "visitor"),
    [
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),  # the first one is what the visitor wrote
        ("203.0.113.9, 10.0.0.7", "203.0.113.9"),  # a proxy behind a proxy
        ("10.0.0.7", "10.0.0.2"),
        ("", "10.0.0.2"),
        ("nonsense", "nonsense"),
    ],
)
def test_the_visitor_is_the_last_one_who_is_no_proxy(chain, visitor):
    assert seen({"x-forwarded-for": chain}).json()[0] == visitor


@pytest.mark.parametrize("proto", ["ftp", "", "javascript", "https,http", "HTTPS"])
def test_only_http_and_https_are_schemes(proto):
    assert seen({"x-forwarded-proto": proto}).json()[1] == ("https" if proto.lower().startswith("https") else "http")


@pytest.mark.parametrize("text", ["proxy.home", "10.0.0.0/99", "", "*"])
def test_a_proxy_is_named_by_its_address(text):
    with pytest.raises(InvalidRequest, match="address of a proxy"):
        networks([text])


@pytest.mark.parametrize("path", ["/x", "/studio/x"])
def test_the_prefix_is_taken_off_whether_the_proxy_left_it_or_not(path):
    assert seen({}, path=path, root="/studio").json()[3] == "/studio"


def test_without_its_slash_the_prefix_is_sent_to_the_one_with_it():
    answer = seen({}, path="/studio", root="/studio")
    assert (answer.status_code, answer.headers["location"]) == (308, "/studio/")
    assert seen({}, path="/studiox", root="/studio").status_code == 404


# A started server behind a small proxy ---------------------------------------------------------------------------


def make_proxy(target: str, strip: bool) -> ThreadingHTTPServer:
    """A proxy that serves `target` below /studio, as the recipes in docs/security.md do, over "https"."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            length = int(self.headers.get("content-length") or 0)
            skipped = ("host", "content-length", "connection", "accept-encoding")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
            headers |= {"x-forwarded-for": VISITORS[strip], "x-forwarded-proto": "https", "x-forwarded-host": PUBLIC}
            path = self.path.removeprefix("/studio") if strip else self.path
            body = self.rfile.read(length)
            answer = httpx.request(self.command, target + path, headers=headers, content=body, timeout=120)
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = forward

        def log_message(self, *words):
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    return proxy


# Who has to wait because of wrong passwords has to wait for ever, however slow the machine is.
CLOCK = "from webui.api import throttle\nthrottle.Throttle.__init__.__defaults__ = (lambda: 1000.0, throttle.MOST)\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    entry = f"auth=(('ann', '{PASSWORD}'),), allow_hosts=('{PUBLIC}',)"
    folder = tmp_path_factory.mktemp("proxy")
    with server(
        folder, f"nowebui=False, subpath='studio', trusted_proxies=('127.0.0.1',), {entry}", HOOK + CLOCK
    ) as running:
        yield running
    assert "Traceback" not in complaints(folder)


VISITORS = {True: "203.0.113.9", False: "198.51.100.7"}  # by whether the proxy takes the prefix off


@pytest.fixture(params=[True, False], ids=["stripped", "kept"])
def outside(started, request):
    """A visitor's client at the proxy, and the proxy's address."""
    proxy = make_proxy(started.address, request.param)
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.server_port}", timeout=120) as client:
        yield client
    proxy.shutdown()
    proxy.server_close()


def test_page_login_routes_and_redirects_work_below_a_path(outside):
    answer = outside.get("/studio/?a=1", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio/login?next=%2F%3Fa%3D1")
    page = outside.get(answer.headers["location"])
    for address in re.findall(r'(?:src|href)="(login/[^"]+)"', page.text):
        assert outside.get(f"/studio/{address}").status_code == 200
    own = {"origin": f"https://{PUBLIC}", "sec-fetch-site": "same-origin"}
    form = {"name": "ann", "password": PASSWORD, "next": "/?a=1"}
    answer = outside.post("/studio/login", data=form, headers=own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio/?a=1")
    cookie = answer.headers["set-cookie"]
    assert "Path=/studio;" in cookie and "Secure" in cookie
    inside = {"cookie": cookie.split(";")[0]}
    page = outside.get("/studio/?a=1", headers=inside)
    assert page.status_code == 200 and f"https://{PUBLIC}/studio" in page.text.replace("\\/", "/")
    assert outside.get("/studio/config", headers=inside).json()["root"] == f"https://{PUBLIC}/studio"
    assert outside.get("/studio/ui/me", headers=inside).json() == {"name": "ann", "role": "administrator"}
    body = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}
    assert outside.post("/studio/sdapi/v1/txt2img", json=body, headers={**inside, **own}).status_code == 200
    answer = outside.post("/studio/logout", headers={**inside, **own})
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio/login")
    assert "Path=/studio;" in answer.headers["set-cookie"]


def test_another_site_is_another_site_behind_a_proxy_too(outside):
    for origin in ("http://evil.com", "http://127.0.0.1", f"https://{PUBLIC}.evil.com", "null"):
        assert outside.post("/studio/login", data={}, headers={"origin": origin}).status_code == 403


def test_guesses_are_counted_for_the_visitor_and_not_for_the_proxy(started, outside):
    statuses = [outside.get("/studio/ui/me", auth=(f"eve{number}", "x")).status_code for number in range(6)]
    assert statuses[-1] == 429
    assert outside.get("/studio/ui/me", auth=("ann", PASSWORD)).status_code == 429
    assert httpx.get(f"{started.address}/ui/me", auth=("ann", PASSWORD)).status_code == 200
