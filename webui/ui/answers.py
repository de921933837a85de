"""What the page's routes share: reading bodies within bounds, and errors in the form that the page shows."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from webui.errors import EmulsionError, InvalidRequest
from webui.ui.actions import error_parts

PREFIX = "/ui"
PRIVATE = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}

Answer = Callable[[Request], Awaitable[Response]]
Owner = TypeVar("Owner")


def answered(handle: Answer) -> Answer:
    """A route whose known errors leave as {"error": {"found", "wanted", "remedy"}} with a fitting status."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except EmulsionError as error:
            body = json.dumps({"error": error_parts(error)})  # in ASCII: it may quote half a character
            return Response(body, error.status, media_type="application/json")

    return answer


def routes_of(owner: Owner, *table: tuple[str, str, Callable[[Owner, Request], Awaitable[Response]]]) -> list[Route]:
    """Routes from (method, path, handler), each handler called with `owner` and the request, and `answered`."""
    return [Route(path, answered(functools.partial(handle, owner)), methods=[method]) for method, path, handle in table]


async def read_body(request: Request, limit: int) -> bytes:
    """The body's bytes. Raises InvalidRequest for more than `limit`."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limit:
            raise InvalidRequest(f"The file is over {limit >> 20} MB.", "A smaller one was wanted.")
    return bytes(data)
