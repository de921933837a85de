"""Gradio's folder of copies: private, and bounded in age and size, also while somebody uploads."""

from __future__ import annotations

import os
import stat
import sys

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from webui.ui.mount import prepare
from webui.ui.page_cache import BoundedUploads, prune


def put(folder, name: str, size: int, age: float) -> None:
    """A file in a folder of its own, as Gradio makes them."""
    path = folder / name / "file.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_too_old_goes_with_its_folder(tmp_path):
    put(tmp_path, "new", 10, 0)
    put(tmp_path, "old", 10, 5000)
    prune(tmp_path, age=1000)
    assert names(tmp_path) == {"new"}


def test_the_oldest_go_where_there_is_too_much(tmp_path):
    for number in range(5):
        put(tmp_path, str(number), 100, number * 10)
    prune(tmp_path, most=250)
    assert names(tmp_path) == {"0", "1"}


def test_a_link_is_removed_and_not_followed(tmp_path):
    (tmp_path / "treasure").mkdir()
    (tmp_path / "treasure" / "kept.txt").write_text("kept")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "link").symlink_to(tmp_path / "treasure")
    prune(cache, most=0)
    assert names(cache) == set() and (tmp_path / "treasure" / "kept.txt").read_text() == "kept"


def test_an_upload_makes_room_first(tmp_path):
    put(tmp_path, "large", 1000, 10)
    app = Starlette()
    app.add_middleware(BoundedUploads, folder=tmp_path, most=500)
    client = TestClient(app)
    client.get("/gradio_api/upload")
    assert names(tmp_path) == {"large"}
    client.post("/gradio_api/upload")
    assert names(tmp_path) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_the_folder_is_private_and_cleared_at_the_start(tmp_path, monkeypatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY"):
        monkeypatch.setenv(name, "x")
    cache = tmp_path / "cache"
    put(cache, "old", 10, 10 * 86400)
    cache.chmod(0o755)
    prepare(cache)
    assert names(cache) == set() and stat.S_IMODE(cache.stat().st_mode) == 0o700
