"""Which events of the page somebody may send who only looks: the page's own, which check for themselves what they do.

Gradio sends all events over two routes, so the routes' table cannot tell an extension's button from the page's menus.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.identity import Level, may, refusal

JOIN = "/gradio_api/queue/join"
CALL = "/gradio_api/run/predict"  # for events that wait in no queue
OWN = "webui.ui."
MOST_BYTES = 1 << 20


class ReadersEvents:
    """ASGI middleware; `functions` are Gradio's, by their numbers."""

    def __init__(self, app: ASGIApp, functions: Mapping[int, Any]):
        self._app, self._functions = app, functions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") not in (JOIN, CALL) or may(scope, Level.USE):
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None or not self._is_own(body):
            sentence = f"This {refusal(scope, Level.USE)}"
            answer = {"error": "Forbidden", "detail": sentence, "body": "", "errors": sentence}
            await JSONResponse(answer, 403)(scope, receive, send)
            return
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, again, send)

    def _is_own(self, body: bytes) -> bool:
        try:
            number = json.loads(body)["fn_index"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        function = self._functions.get(number) if type(number) is int else None
        return str(getattr(getattr(function, "fn", None), "__module__", "")).startswith(OWN)


async def _body(receive: Receive) -> bytes | None:
    """The body; None when it is too large for an event that only looks, or does not come."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if message["type"] != "http.request" or len(body) > MOST_BYTES:
            return None
    return body
