"""GET /sdapi/v1/{scripts,script-info,extensions}: what can be named in a request besides its own fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from webui.api.always_on import BOTH, scripts_for
from webui.api.context import Context
from webui.api.generate import titles
from webui.extend import Option
from webui.scripts import SCRIPTS


def make_router(context: Context) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.get("/scripts")
    def scripts() -> dict[str, list[str]]:
        """Titles in lower case by tab: those for `script_name`, then those for `alwayson_scripts`."""
        always = scripts_for(context.extensions)
        return {
            tab: [title.lower() for title in [*titles(tab), *(one.title for one in always if tab in one.tabs)]]
            for tab in BOTH
        }

    @router.get("/script-info")
    def script_info() -> list[dict[str, Any]]:
        """The arguments of every script in their order."""
        found = []
        for tab in BOTH:
            found += [_script(name, False, tab, SCRIPTS[name].options) for name in titles(tab)]
            always = [one for one in scripts_for(context.extensions) if tab in one.tabs]
            found += [_script(one.title, True, tab, one.options) for one in always]
        return found

    @router.get("/extensions")
    def extensions() -> list[dict[str, Any]]:
        """Every extension folder."""
        return [
            {
                "name": entry.name,
                "remote": "",
                "branch": "",
                "commit_hash": "",
                "version": "",
                "commit_date": 0,
                "enabled": entry.extension is not None,
            }
            for entry in context.extensions.entries
        ]

    return router


def _script(name: str, is_alwayson: bool, tab: str, options: Sequence[Option]) -> dict[str, Any]:
    arguments = [_argument(option) for option in options]
    return {"name": name.lower(), "is_alwayson": is_alwayson, "is_img2img": tab == "img2img", "args": arguments}


def _argument(option: Option) -> dict[str, Any]:
    return {
        "label": option.label,
        "value": option.default,
        "minimum": option.minimum,
        "maximum": option.maximum,
        "step": option.step,
        "choices": list(option.choices) or None,
    }
