"""A server to fetch from, and a short way to fetch."""

from __future__ import annotations

import pytest

from tests.adapters.files import lora_tensors
from tests.library.file_server import FileServer
from webui.library.download import Place, download, read_wish
from webui.paths import Paths
from webui.weights.save import save_safetensors


@pytest.fixture(scope="module")
def lora(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "film.safetensors"
    save_safetensors(path, lora_tensors())
    return path.read_bytes()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def fetch(tmp_path, server):
    """Fetch from the server: `fetch(path, …)`; what is left over lies in `fetch.models`."""
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path / "outputs", {}, tmp_path / "program")

    def fetch(source, kind="lora", sha256="", cancel=None, keep=True, **place):
        source = server.url + source if source.startswith("/") else source
        where = Place(paths, server.url, **{"private": True, "pause": 0.0, **place})
        return download(read_wish(source, kind, sha256), where, fetch.progress, cancel, lambda: keep)

    fetch.models, fetch.progress, fetch.paths = paths.models, lambda done, whole: None, paths
    return fetch


def left(fetch) -> list[str]:
    """Names of all files in the models folder, hidden ones too."""
    return sorted(path.name for path in fetch.models.rglob("*") if path.is_file())
