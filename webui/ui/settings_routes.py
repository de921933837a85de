"""The settings for the page's scripts, as JSON: all of them with what they take, changes, and the way back.

What a setting is called and what it does stands in the language files. A change goes through the same door as one over
HTTP: checked, stored whole, then told to the worker.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.errors import InvalidRequest, SettingsError
from webui.settings import SETTINGS, Setting, Settings, SettingsStore, find_setting, quick_settings
from webui.ui.answers import PREFIX, answered, read_body
from webui.ui.assets import PAGE_SETTINGS
from webui.ui.choices import menus, starting_values
from webui.ui.preset_routes import preset_routes
from webui.ui.reading import read_json
from webui.ui.style_routes import style_routes
from webui.workers.service import JobService

BODY_BYTES = 4 << 20
FRESH = {"Cache-Control": "no-store"}
Change = Callable[[Mapping[str, Any]], Settings]
IN_BAR = ("checkpoint", "vae", "clip_skip")  # quick settings that are fields of the studio


def settings_routes(service: JobService, store: SettingsStore, change: Change) -> list[Route]:
    """The routes below /ui/options, /ui/styles and /ui/presets: what a user sets and keeps.

    `change` checks and stores changes of settings and tells everybody whom they concern.
    """
    changing = functools.partial(_change, service, store, change)
    root = f"{PREFIX}/options"
    routes: list[tuple[str, str, Callable[[Request], Any]]] = [
        ("GET", root, functools.partial(_all, service, store)),
        ("GET", f"{root}/page", functools.partial(_page, store)),
        ("PUT", root, functools.partial(_put, changing)),
        ("POST", f"{root}/reset", functools.partial(_reset, store, changing)),
    ]
    own = [Route(path, answered(handle), methods=[method]) for method, path, handle in routes]
    return [*own, *style_routes(store), *preset_routes(store)]


def described(setting: Setting, settings: Settings) -> dict[str, Any]:
    """One setting for the scripts: what it takes, and its value now. Tuples become lists."""
    return {
        "name": setting.name,
        "alias": setting.alias,
        "kind": setting.kind,
        "section": setting.section,
        "value": settings[setting.name],
        "default": setting.default,
        "low": setting.low,
        "high": setting.high,
        "choices": list(setting.choices),
        "locked": setting.by_hand,
        "restart": setting.restart,
    }


async def _all(service: JobService, store: SettingsStore, request: Request) -> Response:
    """Every setting in the order of its declaration, and the names that those of model files may take."""
    language = request.query_params.get("language", "")
    settings = store.settings
    offered = await asyncio.to_thread(menus, service, language)
    body = {
        "settings": [described(entry.value, settings) for entry in SETTINGS],
        "menus": {name: offered[name] for name in ("checkpoint", "vae")},
        "file": settings.paths.settings_file.name,
        "problem": store.problem,
    }
    return JSONResponse(body, headers=FRESH)


async def _page(store: SettingsStore, request: Request) -> Response:
    """What an opening page needs: the settings that its scripts read, and the quick settings of the bar at the top."""
    settings = store.settings
    wanted = quick_settings(settings)
    body = {
        "values": {name: settings[name] for name in PAGE_SETTINGS},
        "quick": [described(setting, settings) for setting in wanted if setting.name not in IN_BAR],
        "hidden": [name for name in IN_BAR if name not in {setting.name for setting in wanted}],
    }
    return JSONResponse(body, headers=FRESH)


def _change(service: JobService, store: SettingsStore, change: Change, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Make changes; the answer holds all values, and what the studio's fields show now because of them."""
    before = starting_values(service, store.settings)
    named = {find_setting(name).name: value for name, value in changes.items()}
    if named.get("checkpoint") and service.catalogue is not None:
        named["checkpoint"] = service.catalogue.find(str(named["checkpoint"])).name
    if "quick_settings" in named:
        named["quick_settings"] = _known(named["quick_settings"])
    settings = change(named)
    after = starting_values(service, settings)
    fields = {name: value for name, value in after.items() if before[name] != value}
    return {"values": settings.everything(), "fields": fields}


def _known(names: Any) -> list[str]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise SettingsError("quick_settings is no list of names.")
    return list(dict.fromkeys(find_setting(name).name for name in names))


async def _put(changing: Callable[[Mapping[str, Any]], dict[str, Any]], request: Request) -> Response:
    changes = read_json(await read_body(request, BODY_BYTES))
    return JSONResponse(await asyncio.to_thread(changing, changes), headers=FRESH)


async def _reset(
    store: SettingsStore, changing: Callable[[Mapping[str, Any]], dict[str, Any]], request: Request
) -> Response:
    """Put settings back: {"names": [...]}, or {"section": name} for all of a section that can be changed here."""
    wanted = read_json(await read_body(request, BODY_BYTES))
    names, section = wanted.get("names"), wanted.get("section")
    if isinstance(section, str):
        names = [entry.name for entry in SETTINGS if entry.value.section == section and not entry.value.by_hand]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("Nothing to put back was named.", '{"names": [...]} or {"section": name} was wanted.')
    changes = {name: find_setting(name).default for name in names}
    return JSONResponse(await asyncio.to_thread(changing, changes), headers=FRESH)
