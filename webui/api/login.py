"""The login in front of everything: a Basic header, a bearer token or the page's cookie, and what the role may do."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from webui.api.access import needed
from webui.api.book import AccountBook, Person
from webui.api.entrance import LOGIN, LOGOUT, Entrance, LoginPage
from webui.api.passwords import Passwords, TooManyAttempts
from webui.api.problems import Problem, status_and_body
from webui.api.proxy import ROOT
from webui.api.sessions import Sessions
from webui.identity import ADMINISTRATOR, ROLE, USER, Level, may, refusal

NOBODY = "nobody"  # the role of a visitor at an open route: it reaches nothing else


class Login:
    """ASGI middleware: writes USER and ROLE into the scope, or answers 401, 403, 429, or with the way to the login."""

    def __init__(self, app: ASGIApp, book: AccountBook, page: LoginPage | None = None):
        self._app, self._book = app, book
        self._sessions, self._passwords = Sessions(book), Passwords(book)
        self._entrance = Entrance(page, self._sessions, self._passwords) if page is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        if path.rstrip("/") in (LOGIN, LOGOUT) or path.startswith(f"{LOGIN}/"):
            await self._at_the_entrance(scope, receive, send)
            return
        if not self._book.needed:
            await self._app({**scope, USER: None, ROLE: ADMINISTRATOR}, receive, send)
            return
        level = needed(method, path)
        try:
            person = await self._who(scope, headers)
        except TooManyAttempts as refused:
            person, seconds = None, math.ceil(refused.seconds)
            if level > Level.OPEN:
                await _refuse(scope, send, 429, "TooManyAttempts", str(refused), [("retry-after", str(seconds))])
                return
        if person is None and level > Level.OPEN:
            await self._ask(scope, headers, send)
            return
        scope = {**scope, USER: person.name if person else None, ROLE: person.role if person else NOBODY}
        if not may(scope, level):
            await _refuse(scope, send, 403, "Forbidden", f"This {refusal(scope, level)}")
            return
        await self._app(scope, receive, send)

    async def _who(self, scope: Scope, headers: Headers) -> Person | None:
        """Whoever a token, the cookie, or else a Basic header names. Raises TooManyAttempts."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._book.by_token(value.strip())
        person = self._sessions.person(_cookie(headers, self._sessions.cookie))
        if person is not None or scheme.lower() != "basic" or (pair := _basic(value)) is None:
            return person
        return await self._passwords.person(*pair, (scope.get("client") or ("",))[0])

    async def _at_the_entrance(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._entrance is None:
            await _refuse(scope, send, 404, "NotFound", "There is no login page here.")
            return
        cookie = _cookie(Headers(scope=scope), self._sessions.cookie)
        inside = not self._book.needed or self._sessions.person(cookie) is not None
        await self._entrance(scope, receive, send, cookie, inside)

    async def _ask(self, scope: Scope, headers: Headers, send: Send) -> None:
        """A browser that opens an address is sent to the login page; all else gets 401, and programs the challenge.

        Fetches by scripts of the page get no challenge: the browser would ask with a window of its own."""
        mode = headers.get("sec-fetch-mode")
        navigates = mode in (None, "navigate") and "text/html" in headers.get("accept", "")
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and navigates and self._entrance is not None:
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = quote(scope["path"]) + (f"?{query}" if query else "")
            there = "" if wanted == "/" else "?" + urlencode({"next": wanted})
            location = f"{quote(scope.get(ROOT, ''))}{LOGIN}{there}"
            await _refuse(scope, send, 303, "Unauthorized", "Log in first.", [("location", location)])
            return
        challenge = [("www-authenticate", 'Basic realm="Emulsion", charset="UTF-8"')] if mode is None else []
        await _refuse(scope, send, 401, "Unauthorized", "Not authenticated", challenge)


def _basic(value: str) -> tuple[str, str] | None:
    """Name and password of a Basic header (RFC 7617), or None for anything else."""
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (name, password) if colon else None


def _cookie(headers: Headers, name: str) -> str:
    return cookie_parser("; ".join(headers.getlist("cookie"))).get(name, "")


async def _refuse(
    scope: Scope, send: Send, status: int, error: str, reason: str, more: Iterable[tuple[str, str]] = ()
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    words = status_and_body(scope["path"], Problem(status, error, reason))[1]
    body = json.dumps(words, ensure_ascii=False).encode("utf-8", "replace")
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *more)]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
