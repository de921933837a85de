"""What the extras panel can offer: upscalers, face restorers, captioners, and folders for who sits at the machine."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.identity import sits_here
from webui.ui.answers import PREFIX, routes_of
from webui.workers.service import JobService

NO_UPSCALER = "None"


def extras_routes(service: JobService) -> list[Route]:
    """GET /ui/extras."""
    return routes_of(service, ("GET", f"{PREFIX}/extras", _choices))


async def _choices(service: JobService, request: Request) -> Response:
    choices = await asyncio.to_thread(_names, service)
    return JSONResponse({**choices, "folders": sits_here(request.scope)}, headers={"Cache-Control": "no-store"})


def _names(service: JobService) -> dict[str, list[str]]:
    """What extensions added is known by the worker, and listed as soon as that is up."""
    added = {kind: [entry["name"] for entry in service.names(kind, 0.0)] for kind in ("upscalers", "restorers")}
    names = [NO_UPSCALER, *service.upscalers()]
    upscalers = dict.fromkeys([*names, *added["upscalers"]])
    return {"upscalers": list(upscalers), "restorers": added["restorers"], "captioners": service.captioners()}
