"""JSON bodies within bounds: how deep they nest and how many values they hold, counted while they arrive.

Parsing a small body can cost a lot: a hundred thousand brackets end in a RecursionError somewhere, and 64 MB of "1,1,1"
become gigabytes of objects. Everything but brackets, commas and quotes is dropped first, so that base64 costs nothing.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEPTH = 64  # objects and lists within each other
VALUES = 1_000_000  # values and brackets of one body, commas in texts counted too
_MARKS = b'"\\{}[],'
_REST = bytes(set(range(256)) - set(_MARKS))
_OTHERS = ("multipart/", "image/", "application/octet-stream")


class JsonShape:
    """Counts through a JSON text in pieces. `feed` returns what is wrong, or None."""

    def __init__(self, depth: int = DEPTH, values: int = VALUES):
        self._most_deep, self._most_values = depth, values
        self._depth = self._values = 0
        self._in_text = self._escaped = False

    def feed(self, piece: bytes) -> str | None:
        """Look at the next bytes."""
        if self._escaped and piece:
            piece, self._escaped = piece[1:], False
        marks = self._without_escapes(piece).translate(None, _REST)
        self._values += len(marks)
        if self._values > self._most_values:
            return f"The body holds more than {self._most_values:,} values. Send less at once."
        for mark in marks:
            if mark == 0x22:
                self._in_text = not self._in_text
            elif not self._in_text and mark in b"{[":
                self._depth += 1
                if self._depth > self._most_deep:
                    return f"The body nests deeper than {self._most_deep} objects and lists. Send flatter JSON."
            elif not self._in_text and mark in b"}]":
                self._depth -= 1
        return None

    def _without_escapes(self, piece: bytes) -> bytes:
        """Without what a backslash escapes: quotes that end no text, and backslashes themselves."""
        if b"\\" not in piece:
            return piece
        bare = piece.replace(b"\\\\", b"")
        self._escaped = bare.endswith(b"\\")
        return bare.replace(b'\\"', b"")


class JsonGuard:
    """ASGI middleware: 400 for a body whose JSON is out of bounds, as soon as that shows."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        kind = Headers(scope=scope).get("content-type", "").strip().lower()
        if kind.startswith(_OTHERS):
            await self._app(scope, receive, send)
            return
        shape, begun, is_json = JsonShape(), False, False

        async def guarded() -> Message:
            nonlocal begun, is_json
            message = await receive()
            body = message.get("body", b"") if message["type"] == "http.request" else b""
            if not begun and body.strip():
                begun, is_json = True, body.lstrip()[:1] in (b"{", b"[")  # else a file, or no JSON that could be large
            if is_json and (problem := shape.feed(body)):
                raise HTTPException(400, problem)
            return message

        await self._app(scope, guarded, send)
