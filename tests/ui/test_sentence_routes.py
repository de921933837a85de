"""The lists of what the server says, as the page asks for them."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from webui.ui.sentences import sentence_routes


@pytest.fixture
def client() -> TestClient:
    """A client of the routes alone."""
    return TestClient(Starlette(routes=list(sentence_routes())))


def test_a_language_has_its_list(client: TestClient) -> None:
    assert client.get("/ui/sentences/zh-CN").json()["There is no picture."] == "没有图片。"


def test_a_list_that_the_browser_has_is_not_sent_again(client: TestClient) -> None:
    mark = client.get("/ui/sentences/zh-CN").headers["etag"]
    again = client.get("/ui/sentences/zh-CN", headers={"If-None-Match": mark})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", mark)


@pytest.mark.parametrize("name", ["en", "xx", "..%2Fzh-CN"])
def test_other_languages_have_none(client: TestClient, name: str) -> None:
    assert client.get(f"/ui/sentences/{name}").status_code == 404
