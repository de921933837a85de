"""Styles for the page's scripts, as JSON: the list, changes, import of a file, and styles put into a prompt."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.errors import EmulsionError, InvalidRequest
from webui.settings import SettingsStore
from webui.text.style_files import StyleFiles
from webui.text.styles import Style, apply_styles
from webui.ui.answers import PREFIX, read_body, routes_of
from webui.ui.reading import read_json

BODY_BYTES = 4 << 20
FILE_BYTES = 64 << 20
FRESH = {"Cache-Control": "no-store"}


def style_routes(store: SettingsStore) -> list[Route]:
    """The routes below /ui/styles."""
    files = StyleFiles(store.settings.paths.data)
    root = f"{PREFIX}/styles"
    return routes_of(
        files,
        ("GET", root, _all),
        ("PUT", root, _put),
        ("DELETE", root, _delete),
        ("POST", f"{root}/import", _import),
        ("POST", f"{root}/apply", _apply),
    )


async def _all(files: StyleFiles, request: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(_listed, files), headers=FRESH)


def _listed(files: StyleFiles) -> dict[str, Any]:
    try:
        return {"styles": [asdict(style) for style in files.styles().values()], "problem": None}
    except EmulsionError as error:
        return {"styles": [], "problem": str(error)}


async def _put(files: StyleFiles, request: Request) -> Response:
    """Create or change one: {"name", "prompt", "negative_prompt"}, and "was" for one that gets another name."""
    body = read_json(await read_body(request, BODY_BYTES))
    style = Style(_text(body, "name").strip(), _text(body, "prompt"), _text(body, "negative_prompt"))
    was = _text(body, "was") or None
    await asyncio.to_thread(files.put, style, was)
    return JSONResponse(await asyncio.to_thread(_listed, files), headers=FRESH)


async def _delete(files: StyleFiles, request: Request) -> Response:
    await asyncio.to_thread(files.delete, request.query_params.get("name", ""))
    return JSONResponse(await asyncio.to_thread(_listed, files), headers=FRESH)


async def _import(files: StyleFiles, request: Request) -> Response:
    """The body is a styles.csv; styles whose names are taken stay as they are and are named."""
    data = await read_body(request, FILE_BYTES)
    taken = await asyncio.to_thread(files.take_over, data)
    return JSONResponse({**await asyncio.to_thread(_listed, files), **asdict(taken)}, headers=FRESH)


async def _apply(files: StyleFiles, request: Request) -> Response:
    """Both prompts with styles worked in: {"prompt", "negative_prompt", "styles": names}."""
    body = read_json(await read_body(request, BODY_BYTES))
    names = body.get("styles")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("styles is no list of names.")
    known = await asyncio.to_thread(files.styles)
    pair = apply_styles(_text(body, "prompt"), _text(body, "negative_prompt"), names, known)
    return JSONResponse({"prompt": pair[0], "negative_prompt": pair[1]}, headers=FRESH)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is no text.")
    return value
