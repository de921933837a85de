"""Presets for the page's scripts, as JSON. They are loaded by the studio itself, see `filling`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.errors import InvalidRequest
from webui.settings import SettingsStore
from webui.ui.answers import PREFIX, read_body, routes_of
from webui.ui.presets import Presets
from webui.ui.reading import read_json

BODY_BYTES = 4 << 20
FRESH = {"Cache-Control": "no-store"}


def preset_routes(store: SettingsStore) -> list[Route]:
    """The routes below /ui/presets."""
    presets = Presets(store.settings.paths.data)
    root = f"{PREFIX}/presets"
    return routes_of(
        presets,
        ("GET", root, _all),
        ("PUT", root, _put),
        ("DELETE", root, _delete),
        ("PUT", f"{root}/name", _rename),
        ("PUT", f"{root}/start", _start),
    )


async def _all(presets: Presets, request: Request) -> Response:
    return await _listed(presets)


async def _put(presets: Presets, request: Request) -> Response:
    """Keep the fields of a studio: {"name", "values": {field: value}}."""
    body = read_json(await read_body(request, BODY_BYTES))
    name, values = body.get("name"), body.get("values")
    if not isinstance(name, str) or not isinstance(values, dict):
        raise InvalidRequest("The body is no preset.", '{"name": text, "values": object} was wanted.')
    await asyncio.to_thread(presets.save, name, values)
    return await _listed(presets)


async def _delete(presets: Presets, request: Request) -> Response:
    await asyncio.to_thread(presets.delete, request.query_params.get("name", ""))
    return await _listed(presets)


async def _rename(presets: Presets, request: Request) -> Response:
    """Call one something else: {"name", "to"}."""
    body = read_json(await read_body(request, BODY_BYTES))
    name, wanted = body.get("name"), body.get("to")
    if not isinstance(name, str) or not isinstance(wanted, str):
        raise InvalidRequest("The body names no preset.", '{"name": text, "to": text} was wanted.')
    await asyncio.to_thread(presets.rename, name, wanted)
    return await _listed(presets)


async def _start(presets: Presets, request: Request) -> Response:
    """Which preset an opening page begins with: {"name": text or null}."""
    name = read_json(await read_body(request, BODY_BYTES)).get("name")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest("The name of the preset is no text.")
    await asyncio.to_thread(presets.begin_with, name)
    return await _listed(presets)


async def _listed(presets: Presets) -> Response:
    kept = await asyncio.to_thread(presets.read)
    return JSONResponse({"presets": sorted(kept.values), "start": kept.start, "problem": kept.problem}, headers=FRESH)
