"""Names and passwords, in HTTP Basic form, for the page, the routes and Gradio's own routes alike."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

API_PREFIXES = ("/sdapi/",)
USER = "emulsion_user"  # key of the ASGI scope that holds who is asking


@dataclass(frozen=True)
class Accounts:
    """Who may enter: user and password pairs for the page and for the API routes. Empty means anybody."""

    page: tuple[tuple[str, str], ...] = ()
    api: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.page or self.api)


def make_accounts(
    auth: Iterable[tuple[str, str]], api_auth: Iterable[tuple[str, str]], open_to_others: bool
) -> tuple[Accounts, tuple[str, str] | None]:
    """Accounts from the command line, and the user and password that were made up because none were given.

    Each of the two lists stands in for the other. A server that others can reach never goes without.
    """
    page, api = tuple(auth), tuple(api_auth)
    made_up = None
    if open_to_others and not page and not api:
        made_up = ("emulsion", secrets.token_urlsafe(12))
        page = (made_up,)
    if open_to_others:
        page = page or api
    return Accounts(page, api or page), made_up


class Login:
    """ASGI middleware: 401 without a known user and password, wherever one is needed."""

    def __init__(self, app: ASGIApp, accounts: Accounts):
        self._app, self._accounts = app, accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith(API_PREFIXES)
        accounts = self._accounts.api if is_api else self._accounts.page
        user = _who(Headers(scope=scope).get("authorization", ""), accounts)
        if accounts and user is None:
            await _ask(scope, send)
            return
        await self._app({**scope, USER: user}, receive, send)


def _who(header: str, accounts: tuple[tuple[str, str], ...]) -> str | None:
    """The user of a Basic header, or None. Every account is compared, so that time tells nothing."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    matches = [_same(user, name) & _same(password, secret) for name, secret in accounts]
    return user if any(matches) else None


def _same(left: str, right: str) -> bool:
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (left, right)]
    return hmac.compare_digest(*digests)


async def _ask(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "Login needed."})
        return
    body = json.dumps({"error": "Unauthorized", "detail": "Not authenticated", "body": "", "errors": ""}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Basic realm="Emulsion", charset="UTF-8"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
