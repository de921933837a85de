"""What is asked and how it is answered: metrics by route, access lines in the log, ids for errors nobody expected.

`Traffic` stands around everything, so that refusals at the door are counted too; `Notes` stands inside the application,
where the route is known. They share one dictionary in the scope, which middlewares between them copy but keep.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.logs import fields
from webui.metrics import LONG, SHORT, Counter, Histogram, Metrics

log = logging.getLogger(__name__)

NOTES = "emulsion_notes"  # key of the ASGI scope
USER = "emulsion_user"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
BUCKETS = tuple(sorted({*SHORT, *LONG}))
NO_ROUTE = "none"  # refused at the door, or no such address
PAGE = "page"  # whatever is mounted: Gradio's own routes


def note(scope: Scope, **values: Any) -> None:
    """Remember something of a request for its access line, such as job=…"""
    notes = scope.get(NOTES)
    if notes is not None:
        notes.update(values)


class Notes:
    """ASGI middleware inside the application: which route it was, and for whom."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or NOTES not in scope:
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            route = getattr(scope.get("route"), "path", None)
            note(scope, route=route or (PAGE if scope.get("endpoint") is not None else NO_ROUTE))
            note(scope, client=scope.get(USER))
            if job := scope.get("path_params", {}).get("job_id"):
                note(scope, job=job)


class Traffic:
    """ASGI middleware around everything. With `access_log` each answer is a line in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics, access_log: bool = False):
        self._app, self._access_log = app, access_log
        about = "HTTP requests by route, method and class of status."
        self._requests = metrics.add(Counter("emulsion_http_requests_total", about, ("route", "method", "status")))
        about = "From a request's arrival to the end of its answer, by route."
        self._seconds = metrics.add(Histogram("emulsion_http_request_seconds", about, BUCKETS, ("route",)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        notes: dict[str, Any] = {}
        began, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app({**scope, NOTES: notes}, receive, noted)
        except Exception:
            if not (notes.get("error") and status):
                raise  # nobody has answered yet, or nobody has logged it
        finally:
            self._count(scope, notes, status or 500, time.perf_counter() - began)

    def _count(self, scope: Scope, notes: dict[str, Any], status: int, seconds: float) -> None:
        route = notes.get("route") or NO_ROUTE
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.add(1, route, method, f"{status // 100}xx")
        self._seconds.observe(seconds, route)
        if self._access_log:
            self._tell(scope, notes, method, status, seconds)

    def _tell(self, scope: Scope, notes: dict[str, Any], method: str, status: int, seconds: float) -> None:
        """The path without its question, which may hold a token."""
        client = notes.get("client") or (scope["client"][0] if scope.get("client") else None)
        told = {"method": method, "status": status, "milliseconds": round(seconds * 1000, 1), "client": client}
        told |= {name: notes.get(name) for name in ("route", "job", "error")}
        text = "%s %s %d %.1f ms"
        log.info(text, method, scope["path"][:500], status, seconds * 1000, extra=fields(**told))
