"""Downloads for the page: POST /ui/downloads, GET /ui/downloads, DELETE /ui/downloads/{id}."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from webui.api.context import Context
from webui.errors import InvalidRequest
from webui.identity import sits_here
from webui.library.download import Place, read_wish
from webui.library.downloads import Downloads
from webui.paths import MODEL_FOLDERS


class DownloadFields(BaseModel):
    """What is wanted: an address or hub id, the kind of folder (empty: what the file is), its SHA-256 if known."""

    source: str = Field(max_length=4000)
    kind: str = Field("", max_length=60)
    sha256: str = Field("", max_length=100)


def make_router(context: Context) -> APIRouter:
    """The routes, with a list of downloads of their own."""
    router = APIRouter(prefix="/ui")
    downloads = Downloads(
        lambda private: Place(context.store.settings.paths, context.store.settings["hub_endpoint"], private),
        lambda done: context.catalogue.refresh(),
    )

    @router.post("/downloads")
    def add(fields: DownloadFields, request: Request) -> dict[str, str]:
        """Begin to fetch a file. Addresses of private networks are for those who sit at this machine."""
        if context.offline:
            raise InvalidRequest("The program was started with --offline.", "", "Start it without, to fetch files.")
        wish = read_wish(fields.source, fields.kind, fields.sha256)
        return {"id": downloads.add(wish, sits_here(request.scope))}

    @router.get("/downloads")
    def listed() -> dict[str, Any]:
        """All downloads, the newest first, and the kinds of folders that there are."""
        return {"downloads": [view.plain() for view in downloads.list()], "kinds": list(MODEL_FOLDERS)}

    @router.delete("/downloads/{download_id}")
    def remove(download_id: str) -> dict[str, bool]:
        """Stop a download, or take one that is over off the list."""
        downloads.remove(download_id)
        return {"done": True}

    return router
