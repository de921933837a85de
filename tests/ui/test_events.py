"""Events of the page, sent by somebody who only looks."""

from __future__ import annotations

import functools
import json

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from webui.identity import ROLE
from webui.ui.events import CALL, JOIN, MOST_BYTES, ReadersEvents
from webui.ui.studio import size_choice


class Function:
    """What Gradio keeps of an event."""

    def __init__(self, fn):
        self.fn = fn


FUNCTIONS = {
    0: Function(size_choice),
    1: Function(lambda: None),
    2: Function(None),
    3: Function(functools.partial(print)),
}


def client(role: str) -> TestClient:
    async def joined(request):
        return PlainTextResponse(str(json.loads(await request.body())["fn_index"]))

    inner = ReadersEvents(Starlette(routes=[Route(path, joined, methods=["POST"]) for path in (JOIN, CALL)]), FUNCTIONS)

    async def app(scope, receive, send):
        await inner({**scope, ROLE: role}, receive, send)

    return TestClient(app)


@pytest.mark.parametrize("role", ["administrator", "user"])
def test_who_uses_the_program_sends_every_event(role):
    for number in FUNCTIONS:
        assert client(role).post(JOIN, json={"fn_index": number}).text == str(number)


@pytest.mark.parametrize("path", [JOIN, CALL])
def test_who_only_looks_sends_the_pages_own_events_alone(path):
    answers = {number: client("read-only").post(path, json={"fn_index": number}) for number in (*FUNCTIONS, 9)}
    assert answers[0].text == "0"
    assert {answers[number].status_code for number in (1, 2, 3, 9)} == {403}
    assert answers[1].json()["error"] == "Forbidden" and "read-only" in answers[1].json()["errors"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"0", b'{"fn_index": "0"}', b'{"fn_index": true}', b'{"fn_index": false}', b'{"fn_index": 0.0}'],
)
def test_what_names_no_event_is_refused(body):
    assert client("read-only").post(JOIN, content=body).status_code == 403


def test_large_bodies_are_refused():
    body = json.dumps({"fn_index": 0, "data": "x" * (2 * MOST_BYTES)})
    assert client("read-only").post(JOIN, content=body).status_code == 403
