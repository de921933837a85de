"""GET /docs: what /openapi.json describes, for people. Its files come from this server alone."""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from webui.api.context import Context
from webui.errors import NotFound

FOLDER = Path(__file__).parent / "assets"
FILES = {  # name: media type
    "docs.js": "text/javascript",
    "docs.css": "text/css",
    "docs.en.json": "application/json",
    "docs.zh-CN.json": "application/json",
}


def make_router(context: Context) -> APIRouter:
    """The page and its files."""
    router = APIRouter(prefix="/docs", include_in_schema=False)

    @router.get("", response_class=HTMLResponse)
    def page() -> str:
        """The page, in the language and the theme of the settings."""
        settings = context.store.settings
        text = (FOLDER / "docs.html").read_text("utf-8")
        for name in ("language", "theme"):
            text = text.replace(f'data-{name}="auto"', f'data-{name}="{html.escape(str(settings[name]))}"')
        return text

    @router.get("/{name}")
    def file(name: str) -> Response:
        """A file of the page."""
        if name not in FILES:
            raise NotFound(f"There is no file {name!r}.")
        return Response((FOLDER / name).read_bytes(), media_type=FILES[name], headers={"Cache-Control": "no-cache"})

    return router
