"""What the server says, in other languages than its own English: one list a language, in `locales/sentences/`.

A list gives each sentence of webui/ with places, {1}, {2} …, for names and numbers; the page cuts what it is told into
these (assets/sentences.js). So errors are raised in one language, and every door but the page says them as they are.
"""

from __future__ import annotations

import functools
import hashlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from webui.errors import NotFound
from webui.ui.answers import PREFIX, answered
from webui.ui.language import LOCALES

SENTENCES = LOCALES / "sentences"


def sentence_routes() -> list[Route]:
    """GET /ui/sentences/{language}: a list, which a browser keeps until it is another one."""
    return [Route(f"{PREFIX}/sentences/{{language}}", answered(_list), methods=["GET"])]


@functools.cache
def _lists() -> dict[str, tuple[bytes, str]]:
    """Each language's list as it is sent, and its mark."""
    files = {file.stem: file.read_bytes() for file in SENTENCES.glob("*.json")}
    return {name: (data, f'"{hashlib.sha256(data).hexdigest()[:16]}"') for name, data in files.items()}


async def _list(request: Request) -> Response:
    language = request.path_params["language"]
    if language not in _lists():
        raise NotFound(f"There are no sentences in {language!r}.", f"Known: {', '.join(_lists())}.")
    data, mark = _lists()[language]
    headers = {"ETag": mark, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/json", headers=headers)
