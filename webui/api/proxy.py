"""Behind a reverse proxy: whose word on the visitor's address, on https and on the Host name is taken, and the path.

X-Forwarded-For, -Proto and -Host are anybody's to write, so they count only when the peer is one of --trusted-proxy.
The prefix of --root-path is taken off the path, whether the proxy leaves it there or not, so that nothing behind this
has to know of it but those who write addresses: they find it under ROOT in the scope.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from webui.api.door import HostNames
from webui.errors import InvalidRequest

ROOT = "emulsion_root"  # key of the ASGI scope: "" or "/path"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(addresses: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as --trusted-proxy takes them. Raises InvalidRequest."""
    found = []
    for text in addresses:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise InvalidRequest(f"{text!r} is no address of a proxy.", "Such as 127.0.0.1 or 172.16.0.0/12.") from None
    return tuple(found)


class Proxy:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp, hosts: HostNames, trusted: tuple[Network, ...] = (), root: str = ""):
        self._app, self._hosts, self._trusted, self._root = app, hosts, trusted, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self._root and scope["path"] == self._root and scope["type"] == "http":
            location = quote(f"{self._root}/").encode("ascii")  # relative addresses of the page need the slash
            await send({"type": "http.response.start", "status": 308, "headers": [(b"location", location)]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(self._without_root(self._as_told(scope)), receive, send)

    def _as_told(self, scope: Scope) -> Scope:
        """The scope with what a trusted proxy says of the visitor, and without what others say."""
        headers = Headers(scope=scope)
        peer = (scope.get("client") or ("",))[0]
        if not self._trusts(peer):
            kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-forwarded-host"]
            https = self._hosts.over_https(headers.get("host", ""))
            return {**scope, "headers": kept, "scheme": "https" if https else scope.get("scheme", "http")}
        changes: Scope = {"client": (self._visitor(headers.getlist("x-forwarded-for")) or peer, 0)}
        proto = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
        if proto in ("http", "https"):
            changes["scheme"] = proto
        if host := headers.get("x-forwarded-host", "").split(",")[0].strip():
            others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
            changes["headers"] = [(b"host", host.encode("latin-1")), *others]
        return {**scope, **changes}

    def _visitor(self, lines: list[str]) -> str | None:
        """The last address of X-Forwarded-For that is none of the trusted proxies'."""
        addresses = [part.strip() for line in lines for part in line.split(",") if part.strip()]
        return next((address for address in reversed(addresses) if not self._trusts(address)), None)

    def _trusts(self, address: str) -> bool:
        try:
            number = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(number in network for network in self._trusted)

    def _without_root(self, scope: Scope) -> Scope:
        root, changes = self._root, {ROOT: self._root}
        if root and scope["path"].startswith(f"{root}/"):
            changes["path"] = scope["path"][len(root) :]
            raw = scope.get("raw_path")
            if raw and raw.startswith(f"{quote(root)}/".encode()):
                changes["raw_path"] = raw[len(quote(root)) :]
        return {**scope, **changes}
