"""GET /ui/me: who the server takes one for, so that the page can show it and leave out what the role may not do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from webui.api.context import Context
from webui.identity import USER, role_of


def make_router(context: Context) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/ui")

    @router.get("/me")
    def me(request: Request) -> dict[str, Any]:
        """The name after a login (null where none is needed) and the role."""
        return {"name": request.scope.get(USER), "role": role_of(request.scope)}

    return router
