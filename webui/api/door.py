"""The outermost layer: whom the server answers at all. Nothing behind it is reached by what it refuses.

Against DNS rebinding: the Host header must be a name that this server was told is its own. Against other web sites
that the user's browser has open: requests that a browser marks as coming from elsewhere are refused. Programs (curl,
scripts, bots) send neither mark and are let through to the login. Bodies are counted while they arrive.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable, MutableMapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.api.problems import Problem, status_and_body

JSON_LIMIT = 64 * 2**20  # bytes of a request's body
UPLOAD_LIMIT = 100 * 2**20  # the same for multipart/form-data
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Routes of Gradio that have the server fetch an address which a visitor names, or let a visitor edit the page's code.
SHUT = re.compile(r"/gradio_api/(file=.*:/|proxy=|vibe-|undo-vibe|dev/|process_recording)|/monitoring", re.IGNORECASE)
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # The page is Gradio's: it needs inline scripts and styles, but nothing from any other place.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-src 'self'; frame-ancestors 'self'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
}


class HostNames:
    """Names by which the server may be called. `bound` is the address it listens on.

    A server that listens on all addresses also answers to any address written in numbers: rebinding needs a name.
    """

    def __init__(self, bound: str = "127.0.0.1", further: Iterable[str] = ()):
        self._names = {_bare(name) for name in (*LOOPBACK, bound, *further) if name}
        self._https: set[str] = set()
        self._any_number = bound in ("0.0.0.0", "::", "")
        if self._any_number:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local"}

    def add(self, name: str, https: bool = False) -> None:
        """One more name, such as that of a share link once it is known; `https`: it is reached by https alone."""
        self._names.add(_bare(name))
        if https:
            self._https.add(_bare(name))

    def over_https(self, host: str) -> bool:
        """Whether a Host header names what is reached by https alone, though it arrives here without."""
        return _host_name(host) in self._https

    def __contains__(self, host: str) -> bool:
        name = _host_name(host)
        return name is not None and (name in self._names or (self._any_number and _is_number(name)))


class Door:
    """ASGI middleware around the whole application, Gradio's own routes included."""

    def __init__(self, app: ASGIApp, hosts: HostNames, json_limit: int = JSON_LIMIT, upload_limit: int = UPLOAD_LIMIT):
        self._app, self._hosts = app, hosts
        self._json_limit, self._upload_limit = json_limit, upload_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if reason:
                await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
            else:
                await self._app(scope, receive, send)
            return
        if reason:
            await _answer(scope, send, 403, "Forbidden", reason)
            return
        upload = headers.get("content-type", "").lower().startswith("multipart/form-data")
        limit = self._upload_limit if upload else self._json_limit
        if _length(headers) > limit:
            await _answer(scope, send, 413, "TooLarge", _too_large(limit))
            return
        counter = _Counter(scope, receive, send, limit)
        await self._app(scope, counter.receive, counter.send)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        """Why a request is turned away, or None. The table is written out in tests/api/test_door.py."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "This server does not go by the name in the Host header. Add it with --allow-host NAME."
        if SHUT.match(scope["path"]):
            return "This route is shut."
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            if site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
                return "Another web site asked for this."
            return None  # an answer without Access-Control headers cannot be read by a foreign page anyway
        if site in ("cross-site", "same-site"):
            return "Another web site asked for this."
        if origin is not None and not _same_place(origin, hosts[0]):
            return "The Origin header names another web site."
        return None


class _Counter:
    """Counts the bytes of a body as they arrive, chunked ones too, and answers 413 when they are too many."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int):
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._read, self._refused, self._started = 0, False, False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                await self._refuse()
                raise HTTPException(413, _too_large(self._limit))
        return message

    async def _refuse(self) -> None:
        if not self._started and not self._refused:
            await _answer(self._scope, self._send, 413, "TooLarge", _too_large(self._limit))
        self._refused = True

    async def send(self, message: MutableMapping[str, object]) -> None:
        if self._refused:
            return  # whatever the application says about the body that it did not get
        if message["type"] == "http.response.start":
            self._started = True
            message = {**message, "headers": _with_security(message.get("headers", ()))}  # type: ignore[arg-type]
        await self._send(message)


def _with_security(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Our headers instead of the same ones and of all permissions for other web sites (Gradio echoes any Origin)."""
    kept = [
        (name, value)
        for name, value in headers
        if not (name.lower().startswith(b"access-control-") or name.lower().decode("latin-1") in SECURITY_HEADERS)
    ]
    return [*kept, *((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items())]


async def _answer(scope: Scope, send: Send, status: int, error: str, reason: str) -> None:
    body = json.dumps(status_and_body(scope["path"], Problem(status, error, reason))[1]).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": _with_security(headers)})
    await send({"type": "http.response.body", "body": body})


def _too_large(limit: int) -> str:
    return f"The body is larger than {limit / 2**20:.0f} MB."


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _bare(name: str) -> str:
    return name.strip().strip("[]").lower()


def _host_name(host: str) -> str | None:
    """The name in a Host header without its port; None for anything that is not a plain name and port."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    if colon and not host.endswith("]") and not (port.isascii() and port.isdigit()):
        return None
    if name.startswith("[") != name.endswith("]") or (":" in name and not name.startswith("[")):
        return None
    bare = name[1:-1] if name.startswith("[") else name
    return bare.lower() or None


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_place(origin: str, host: str) -> bool:
    """Whether an Origin header names the server that the Host header names, by name and port."""
    try:
        parts = urlsplit(origin)
        default = {"http": 80, "https": 443}[parts.scheme]
        theirs = (_bare(parts.hostname or ""), parts.port or default)
        ours = urlsplit(f"//{host}")
        return theirs[0] != "" and theirs == (_bare(ours.hostname or ""), ours.port or default)
    except (ValueError, KeyError):
        return False
