"""What the page asks of scripts: which there are, what they take, and what a filled one would cost."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.errors import EmulsionError
from webui.extend import SCRIPTS, Option
from webui.identity import sits_here
from webui.scripts.axes import AXES, Axis
from webui.scripts.values import join_list
from webui.settings import SETTINGS, SettingsStore
from webui.ui.actions import error_parts
from webui.ui.answers import PREFIX, answered, read_body
from webui.ui.choices import menus
from webui.ui.reading import read_json
from webui.ui.scripting import counted
from webui.workers.service import JobService
from webui.workers.tasks import refuse_folders

TEXT_BYTES = 4 << 20  # of arguments: a list of prompts may be long
ABOUT_PICTURES = ("prompts", "sampling", "img2img")  # sections of settings that an axis may change
API_ONLY = ("csv_mode", *(f"{letter}_values_dropdown" for letter in "xyz"))


def script_routes(service: JobService, store: SettingsStore) -> list[Route]:
    """GET /ui/scripts?language and POST /ui/scripts/{name}/cost {arguments, fields} -> the cost, or {error}."""
    count = answered(functools.partial(_cost, service, store))
    return [
        Route(f"{PREFIX}/scripts", answered(functools.partial(_scripts, service)), methods=["GET"]),
        Route(f"{PREFIX}/scripts/{{name:path}}/cost", count, methods=["POST"]),
    ]


def slug(name: str) -> str:
    """A name as part of a text's key."""
    return re.sub("[^a-z0-9]+", "_", name.casefold()).strip("_")


async def _scripts(service: JobService, request: Request) -> Response:
    language = request.query_params.get("language", "en")
    found = await asyncio.to_thread(menus, service, language)
    lists = {kind: [[text, value] for text, value in choices if value] for kind, choices in found.items()}
    lists["styles"] = [[text, join_list([value])] for text, value in lists["styles"]]  # one value may name several
    lists["setting"] = [[name, f"{name}={value}"] for name, value in _settings()]
    scripts = [
        {
            "name": entry.name,
            "slug": slug(entry.name),
            "tabs": list(entry.value.tabs),
            "options": [_option(option) for option in entry.value.options if option.key not in API_ONLY],
        }
        for entry in SCRIPTS
    ]
    used = {axis.menu for axis in AXES} | {"setting"}
    body = {"scripts": scripts, "axes": [_axis(axis) for axis in AXES]}
    return JSONResponse(body | {"menus": {kind: lists[kind] for kind in used if kind in lists}})


def _option(option: Option) -> dict[str, Any]:
    names = ("key", "label", "help", "control", "default", "minimum", "maximum", "step")
    return {name: getattr(option, name) for name in names} | {"choices": list(option.choices)}


def _axis(axis: Axis) -> dict[str, Any]:
    menu = "setting" if axis.kind == "setting" else axis.menu
    plain = {name: getattr(axis, name) for name in ("name", "kind", "tab", "problem")}
    return {**plain, "menu": menu, "slug": slug(axis.name)}


def _settings() -> list[tuple[str, Any]]:
    return [(entry.name, entry.value.default) for entry in SETTINGS if entry.value.section in ABOUT_PICTURES]


async def _cost(service: JobService, store: SettingsStore, request: Request) -> Response:
    values = read_json(await read_body(request, TEXT_BYTES))
    name, limit = request.path_params["name"], store.settings["script_limit"]
    try:
        refuse_folders("script", {"script": name}, sits_here(request.scope))
        return JSONResponse(await asyncio.to_thread(counted, service, name, values, limit))
    except EmulsionError as error:  # an answer too: values are half typed most of the time
        return JSONResponse({"error": error_parts(error)})
