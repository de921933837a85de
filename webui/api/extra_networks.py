"""/sd_extra_networks/…: previews and cards of LoRAs, embeddings, hypernetworks and checkpoints, as A1111 serves them.

Whatever a client names is compared with what the library knows; no path that came from outside is ever opened.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import JSONResponse, Response

from webui.api.context import Context
from webui.engine.catalogue import CheckpointFile
from webui.errors import FileError, NotFound
from webui.library.cards import find_card
from webui.library.index import Library, identity
from webui.weights.header import read_header

PAGES = {  # A1111's name of a page -> kind
    "lora": "loras",
    "lyco": "loras",
    "textual inversion": "embeddings",
    "textual_inversion": "embeddings",
    "hypernetworks": "hypernetworks",
    "checkpoints": "checkpoints",
}
COVERS = "ssmd_cover_images"  # a list of base64 in a file's metadata
MOST_COVERS = 64
PICTURE: dict[str, Any] = {"description": "A picture.", "content": {"image/*": {}}}


def make_router(context: Context) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/sd_extra_networks")

    @router.get("/thumb", response_class=Response, responses={200: PICTURE})
    def thumb(filename: str = "") -> Response:
        """The preview of a model: `filename` is its path, its preview's, or its id in the library. 404 else."""
        from webui.library.previews import MEDIA_TYPE, thumbnail

        library = context.catalogue.library
        return Response(thumbnail(library, known_id(library, filename)), media_type=MEDIA_TYPE)

    @router.get("/cover-images", response_class=Response, responses={200: PICTURE})
    def cover_images(page: str, item: str, index: int = 0) -> Response:
        """One of the pictures that a file has in its metadata."""
        from webui.imaging.files import open_picture

        said = _metadata(found(context, page, item)).get(COVERS, "")
        try:
            covers = json.loads(said) if said else []
            data = base64.b64decode(covers[index], validate=True) if 0 <= index < MOST_COVERS else None
            if data is None:
                raise IndexError
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, binascii.Error):
            raise HTTPException(404, f"{item[:80]} has no cover image {index}.") from None
        kind = (open_picture(data).format or "png").lower()
        return Response(data, media_type=f"image/{kind}")

    @router.get("/metadata")
    def metadata(page: str = "", item: str = "") -> JSONResponse:
        """What a file's metadata says, as JSON within JSON; {} for one that is not here, as in A1111."""
        try:
            said = _metadata(found(context, page, item))
        except NotFound:
            return JSONResponse({})
        told = {name: value for name, value in said.items() if name != COVERS}
        return JSONResponse({"metadata": json.dumps(told, indent=4)})

    @router.get("/get-single-card")
    def single_card(page: str = "", tabname: str = "", name: str = "") -> JSONResponse:
        """A card as HTML; empty for one that is not here."""
        try:
            file = found(context, page, name)
        except NotFound:
            return JSONResponse({"html": ""})
        return JSONResponse({"html": _card(context.catalogue.library, file)})

    return router


def found(context: Context, page: str, item: str) -> CheckpointFile:
    """The file of a page's item. Raises NotFound."""
    kind = PAGES.get(page.strip().casefold())
    files = context.catalogue.files(kind) if kind else []
    wanted = item.casefold()
    for file in files:
        if wanted in (file.stem.casefold(), file.name.casefold(), file.name.rpartition(".")[0].casefold()):
            return file
    raise NotFound(f"There is no {item[:80]!r} on the page {page[:40]!r}.", f"Pages: {', '.join(sorted(PAGES))}.")


def known_id(library: Library, filename: str) -> str:
    """The id of the file that a path, a preview's path or an id means. Raises NotFound."""
    try:
        for file_id in (filename, identity(filename)):
            rows = library.database.read(library.here("id = ? AND present", "id"), (file_id,))
            if rows:
                return file_id
        path = Path(filename)
        parts = path.name.split(".")
        stems = [".".join(parts[:count]).casefold() for count in range(1, len(parts))][:8]
        marks = ", ".join("?" * len(stems))
        sql = library.here(f"stem IN ({marks}) AND present", "id, path, notes")
        for row in library.database.read(sql, stems):
            preview = json.loads(row["notes"] or "{}").get("preview")
            if preview and str(Path(row["path"]).with_name(preview)) == filename:
                return str(row["id"])
    except ValueError:  # half of a surrogate pair, a zero byte
        pass
    raise NotFound("There is no such preview.")


def _metadata(file: CheckpointFile) -> dict[str, str]:
    try:
        return dict(read_header(file.path).metadata)
    except FileError:
        return {}


def _card(library: Library, file: CheckpointFile) -> str:
    card = find_card(library, identity(str(file.path)), None)
    name, words = html.escape(card.title or card.name, quote=True), html.escape(card.insert, quote=True)
    shown = f'<img src="./sd_extra_networks/thumb?filename={card.id}" class="preview" loading="lazy">'
    picture = shown if card.preview else ""
    return (
        f'<div class="card" data-name="{html.escape(card.name, quote=True)}" data-prompt="{words}">{picture}'
        f'<div class="actions"><span class="name">{name}</span>'
        f'<span class="description">{html.escape(card.description)}</span></div></div>'
    )
