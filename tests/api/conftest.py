"""A started service with a fake engine, and the application in front of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from webui.api.application import guarded, make_application
from webui.api.context import Context
from webui.api.door import HostNames
from webui.engine.catalogue import open_catalogue
from webui.paths import Paths
from webui.settings import SettingsStore
from webui.workers.service import JobService

FAKE = "tests.workers.fake_engine:engine"


def make_house(folder, limit: int = 100, settings: dict | None = None) -> SimpleNamespace:
    """Service, store, catalogue and application over an empty data folder with two checkpoint files."""
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True)
    for name in ("first.safetensors", "second.safetensors", "broken.safetensors"):
        (models / name).write_bytes(name.encode())
    paths = Paths(folder / "data", folder / "models", folder / "outputs", program=folder)
    store = SettingsStore(paths)
    catalogue = open_catalogue(store.settings)
    catalogue.sha256(catalogue.find("first"))
    service = JobService({"outputs": str(paths.outputs), **(settings or {})}, paths.data, FAKE, limit, catalogue)
    context = Context(service, store, catalogue, lambda settings: {"outputs": str(paths.outputs)})
    app = make_application(context)
    client = TestClient(guarded(app, HostNames()), base_url="http://127.0.0.1:7860")
    shown = {"service": service, "store": store, "catalogue": catalogue, "context": context}
    return SimpleNamespace(**shown, app=app, client=client, paths=paths)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One house for the tests of a module, so that the worker starts once."""
    house = make_house(tmp_path_factory.mktemp("house"))
    house.service.start()
    house.service.names("samplers")
    yield house
    house.service.stop(2)


@pytest.fixture
def client(house):
    """Requests to the house."""
    return house.client


@pytest.fixture
def file_server():
    """A web server of this machine, and the bytes that it has by path."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in files else 404)
            self.end_headers()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()
