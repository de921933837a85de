"""For whoever watches over the server: /healthz (it answers), /readyz (it takes jobs), /metrics (Prometheus)."""

from __future__ import annotations

import platform
import threading

import psutil
from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

from webui.api.context import Context
from webui.environment import program_version
from webui.metrics import CONTENT_TYPE, Gauge, Metrics

UP = ("idle", "busy")
WHY = {
    "starting": "The worker process is starting.",
    "broken": "The worker process does not start.",
    "stopped": "The program is about to end.",
}


def make_router(context: Context) -> APIRouter:
    """The three routes. No file, person or prompt is named by any of them."""
    router = APIRouter()
    declare_process(context.metrics)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """That the web process answers, whatever the worker does."""
        return {"status": "ok"}

    @router.get("/readyz")
    def readyz() -> JSONResponse:
        """200 when a job that is sent now would be taken and run, else 503 and why."""
        reason = unready(context)
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unready", "detail": reason}, 503, {"Retry-After": "5"})

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """All metrics as text."""
        return Response(context.metrics.text(), media_type=CONTENT_TYPE)

    return router


def unready(context: Context) -> str | None:
    """Why no job would be taken now, or None."""
    service = context.service
    if service.draining:
        return WHY["stopped"]
    status, limit = service.status(), context.store.settings["queue_limit"]
    if status.worker not in UP:
        return WHY.get(status.worker, f"The worker process is {status.worker}.")
    if status.waiting >= limit:
        return f"The queue is full: {status.waiting} jobs wait, at most {limit} may."
    return None


def declare_process(metrics: Metrics) -> None:
    """What is known of the web process itself, under the names that Prometheus' own libraries use."""
    process = psutil.Process()
    build = (program_version(), platform.python_version())
    about = "1, with the versions of the program and of Python."
    metrics.add(Gauge("emulsion_build_info", about, lambda: [(build, 1)], ("version", "python")))
    about = "Memory of the web process."
    metrics.add(Gauge("process_resident_memory_bytes", about, lambda: [((), process.memory_info().rss)]))
    about = "When the web process began, in seconds since 1970."
    metrics.add(Gauge("process_start_time_seconds", about, lambda: [((), process.create_time())]))
    about = "Threads of the web process."
    metrics.add(Gauge("process_threads", about, lambda: [((), threading.active_count())]))
