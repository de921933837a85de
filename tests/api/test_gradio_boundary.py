"""Gradio behind our doors: which of a mounted page's own routes do what, asked from outside as an attacker would.

Gradio 6 checks file paths that a visitor names only when an app was launched, which a mounted one is not. These tests
ask every way in, with a page that has the inputs in question, whatever our own page has at the moment.
"""

from __future__ import annotations

import json
import os
import uuid

import pytest

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import fastapi
import gradio as gr
from starlette.routing import Mount
from starlette.testclient import TestClient

from webui.api.application import guarded
from webui.api.book import AccountBook
from webui.api.door import SHUT, HostNames
from webui.ui.mount import Place, mount, prepare

SECRET = "the-canary-sings"
ADDRESS = "http://127.0.0.1:7860"


def make_app(folder, launched: bool = True):
    """A page with an image, a file and a plain text event, mounted as the real one is."""
    prepare(folder / "cache")
    with gr.Blocks(analytics_enabled=False) as page:
        image, file, text = gr.Image(type="filepath"), gr.File(), gr.Textbox()
        out_image, out_file = gr.Image(), gr.File()
        gr.Button().click(lambda value: value, image, out_image, api_name="image")
        gr.Button().click(lambda value: value, file, out_file, api_name="file")
        gr.Button().click(lambda value: value, text, text, api_name="text")
    app = fastapi.FastAPI()
    mount(app, page, Place(folder / "cache"), {})
    page.has_launched = launched
    return app


@pytest.fixture(scope="module", autouse=True)
def environment():
    """What `prepare` sets is for one process, and this one has other tests to run."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def app(folder):
    return make_app(folder)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(guarded(app, HostNames()), base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def secret(folder):
    path = folder / "secret.txt"
    path.write_text(SECRET)
    return path


def by_call(client, name: str, data: object) -> str:
    """POST /call and read the event's answer."""
    answer = client.post(f"/gradio_api/call/{name}", json={"data": [data]})
    if answer.status_code != 200:
        return answer.text
    return client.get(f"/gradio_api/call/{name}/{answer.json()['event_id']}").text


def by_queue(client, name: str, data: object) -> str:
    """POST /queue/join as the page does, and read the stream."""
    session, number = uuid.uuid4().hex, ["image", "file", "text"].index(name)
    body = {"data": [data], "fn_index": number, "session_hash": session}
    if (answer := client.post("/gradio_api/queue/join", json=body)).status_code != 200:
        return answer.text
    return client.get("/gradio_api/queue/data", params={"session_hash": session}).text


def by_run(client, name: str, data: object) -> str:
    """POST /run, which goes past the queue."""
    return client.post(f"/gradio_api/run/{name}", json={"data": [data]}).text


WAYS = [by_call, by_queue, by_run]


def leaked(client, answer: str, folder) -> bool:
    """Whether the secret is in the answer, in Gradio's cache, or in a file that the answer names."""
    if SECRET in answer or any(SECRET in p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file()):
        return True
    for line in answer.splitlines():
        for part in line.replace("\\", "/").split('"'):
            if "file=" in part and SECRET in client.get(part[part.index("/gradio_api") :]).text:
                return True
    return False


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["image", "file"])
def test_a_visitor_cannot_name_a_file_of_the_server(client, secret, folder, way, name):
    data = {"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    assert not leaked(client, way(client, name, data), folder / "cache")


def test_the_test_above_sees_the_leak_where_there_is_one(tmp_path, secret):
    app = guarded(make_app(tmp_path, launched=False), HostNames())
    data = {"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    with TestClient(app, base_url=ADDRESS) as client:
        assert leaked(client, by_call(client, "file", data), tmp_path / "cache")


@pytest.mark.parametrize("path", ["{}", "/{}", "..{}", "%2e%2e{}", "./{}", "\\{}", "{}%00.png"])
def test_files_of_the_server_are_not_served(client, secret, path):
    for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/"):
        answer = client.get(route + path.format(secret))
        assert SECRET not in answer.text and answer.status_code >= 400


def test_nothing_goes_past_the_queue(client):
    for name in ("text", "image"):
        for prefix in ("/gradio_api/run/", "/gradio_api/api/", "/run/", "/api/"):
            assert client.post(f"{prefix}{name}", json={"data": ["x"]}).status_code in (404, 405)


def test_the_queue_itself_works(client):
    assert '"hello"' in by_call(client, "text", "hello") or "hello" in by_queue(client, "text", "hello")


@pytest.mark.parametrize(
    "path",
    [
        "file=http://127.0.0.1:1/x",
        "file=https://example.com/x.png",
        "file=HTTPS://example.com/x.png",
        "file=https:%2F%2Fexample.com/x.png",
        "file=https%3A//example.com/x.png",
        "file=%20https://example.com/x.png",
        "file=https:/example.com",
        "proxy=https://example.hf.space/x",
        "vibe-edit/",
        "dev/reload",
    ],
)
def test_the_server_fetches_no_address_that_a_visitor_names(client, path):
    answer = client.get(f"/gradio_api/{path}")
    assert answer.status_code == 403 and answer.json()["detail"] == "This route is shut."


def test_no_web_site_gets_permission_to_read(client):
    for path in ("/", "/config", "/gradio_api/info"):
        answer = client.get(path, headers={"origin": "http://evil.com"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


def routes_of(app) -> list[tuple[str, str]]:
    """Every method and path of the application, those of the mounted page included."""
    found = []
    for route in app.routes:
        inner = route.app.routes if isinstance(route, Mount) else [route]
        for entry in inner:
            nested = getattr(getattr(entry, "original_router", None), "routes", [entry])
            for leaf in nested:
                path = getattr(leaf, "path", "")
                prefix = "" if path.startswith("/gradio_api") or leaf is entry else "/gradio_api"
                for method in sorted(getattr(leaf, "methods", None) or []):
                    found.append((method, prefix + path.replace("{", "").replace("}", "").replace(":path", "")))
    return found


def test_every_route_of_gradio_is_behind_the_door(app, client):
    routes = routes_of(app)
    assert len(routes) > 60 and ("POST", "/gradio_api/upload") in routes
    for method, path in routes:
        assert client.request(method, path, headers={"host": "evil.com"}).status_code == 403, (method, path)
        if method not in ("GET", "HEAD", "OPTIONS"):
            for headers in ({"origin": "http://evil.com"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
                assert client.request(method, path, headers=headers).status_code == 403, (method, path, headers)


def test_with_a_login_no_route_of_gradio_answers_without_one(tmp_path):
    app = make_app(tmp_path)
    book = AccountBook([("ann", "secret")])
    with TestClient(guarded(app, HostNames(), book), base_url=ADDRESS) as client:
        for method, path in routes_of(app):
            # Gradio's own login is never reached: ours stands at its addresses, and is not part of this application.
            wanted = 404 if path.rstrip("/") in ("/login", "/logout") else 403 if SHUT.match(path) else 401
            assert client.request(method, path).status_code == wanted, (method, path)
        assert client.get("/", auth=("ann", "secret")).status_code == 200


def test_a_cross_site_upload_stores_nothing(client, folder):
    files = {"files": ("a.txt", b"x" * 1000)}
    assert client.post("/gradio_api/upload", files=files, headers={"origin": "http://evil.com"}).status_code == 403
    assert not list((folder / "cache").rglob("a.txt"))
    assert client.post("/gradio_api/upload", files=files, headers={"origin": ADDRESS}).status_code == 200
    assert list((folder / "cache").rglob("a.txt"))


def test_an_upload_that_is_too_large_is_refused(client):
    chunk = b"x" * 2**20
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'

    def body():
        yield head
        for _ in range(102):
            yield chunk

    answer = client.post(
        "/gradio_api/upload", content=body(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413


def test_the_configuration_of_the_page_tells_no_paths(client, folder):
    text = json.dumps(client.get("/config").json())
    assert str(folder) not in text
