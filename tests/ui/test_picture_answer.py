"""A picture file that is being sent arrives whole, whatever happens to it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from webui.errors import NotFound
from webui.picture_answer import PictureFile

DATA = bytes(range(256)) * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.webp"
    path.write_bytes(DATA)
    return path


def client_of(path: Path, meanwhile: Callable[[], object], name: str | None = None) -> TestClient:
    """Asks a server that opens the file, and then does something else before it sends it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response = await asyncio.to_thread(PictureFile, path, {"Cache-Control": "private"}, name)
        meanwhile()
        assert Request(scope).method in ("GET", "HEAD")
        await answer(scope, receive, send)

    return TestClient(application)


def test_a_file_that_goes_away_meanwhile_arrives(path: Path) -> None:
    answer = client_of(path, path.unlink).get("/")
    assert answer.content == DATA
    assert answer.headers["content-type"] == "image/webp" and answer.headers["cache-control"] == "private"


def test_a_file_that_is_replaced_meanwhile_arrives_as_it_was(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"short")
    assert client_of(path, lambda: other.replace(path)).get("/").content == DATA


def test_a_part_of_it(path: Path) -> None:
    answer = client_of(path, path.unlink).get("/", headers={"Range": "bytes=1000-1999"})
    assert answer.status_code == 206 and answer.content == DATA[1000:2000]


def test_its_name_and_its_length_alone(path: Path) -> None:
    answer = client_of(path, path.unlink, path.name).head("/")
    assert answer.headers["content-length"] == str(len(DATA)) and answer.content == b""
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''a%20picture.webp"


def test_a_missing_file_is_told_before_the_answer_begins(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.png is not there any more"):
        PictureFile(tmp_path / "gone.png", {})
