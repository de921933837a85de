"""What the page shows of extensions: the options of those that are loaded, and why others are not."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.engine.extensions import Extensions
from webui.extend import Extension, Option
from webui.ui.answers import PREFIX, routes_of
from webui.workers.service import JobService


def extension_routes(service: JobService) -> list[Route]:
    """GET /ui/extensions?language -> {extensions: [{name, label, about, options}], problems: [{name, why}]}."""
    return routes_of(service, ("GET", f"{PREFIX}/extensions", _all))


def described(option: Option, words: dict[str, str]) -> dict[str, Any]:
    """An option as the page's scripts draw it, with the author's words in the reader's language where there are any."""
    names = ("key", "control", "default", "minimum", "maximum", "step")
    said = {name: words.get(text, text) for name, text in (("label", option.label), ("help", option.help))}
    choices = [[choice, words.get(choice, choice)] for choice in option.choices]
    return {name: getattr(option, name) for name in names} | said | {"choices": choices}


def shown(extensions: Extensions) -> bool:
    """Whether there is anything that the page should show."""
    return any(entry.error or (entry.extension and entry.extension.options) for entry in extensions.entries)


async def _all(service: JobService, request: Request) -> Response:
    language = request.query_params.get("language", "en")
    return JSONResponse(await asyncio.to_thread(_described, service.extensions, language))


def _described(extensions: Extensions, language: str) -> dict[str, Any]:
    entries = extensions.entries
    loaded = [(entry.extension, entry.words(language)) for entry in entries if entry.extension]
    with_options = [_entry(one, words) for one, words in loaded if one.options]
    failed = [{"name": entry.name, "why": entry.error} for entry in entries if entry.error]
    return {"extensions": with_options, "problems": failed}


def _entry(one: Extension, words: dict[str, str]) -> dict[str, Any]:
    said = (("label", one.label or one.name), ("about", one.description))
    texts = {name: words.get(text, text) for name, text in said}
    return {"name": one.name, **texts, "options": [described(option, words) for option in one.options]}
