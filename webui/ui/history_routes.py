"""The history of finished pictures for the page's scripts: pages of them, thumbnails, marks, trash, zip.

Pictures go by ids of the index; no address holds a path. As for all routes of the page, the login stands in front.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from webui.errors import InvalidRequest, NotFound
from webui.identity import sits_here
from webui.library.history import PAGE, Filter, History
from webui.picture_answer import PictureFile
from webui.ui.answers import PREFIX, PRIVATE, read_body, routes_of
from webui.ui.reading import read_json
from webui.workers.service import JobService

BODY_BYTES = 1 << 20
MOST_AT_ONCE = 2000  # pictures in one zip file or one move to the trash
MOST_ON_A_PAGE = 500
SHOWN = 4  # names of pictures that were thrown away together
FRESH = {"Cache-Control": "no-store"}
FOREVER = {**PRIVATE, "Cache-Control": "private, max-age=31536000, immutable"}  # the address changes with the picture


def history_routes(service: JobService) -> list[Route]:
    """The routes below /ui/history; docs/architecture.md lists them."""
    root = f"{PREFIX}/history"
    one = f"{root}/{{picture_id}}"
    return routes_of(
        service,
        ("GET", root, _page),
        ("GET", f"{root}/count", _count),
        ("GET", f"{root}/choices", _choices),
        ("POST", f"{root}/rebuild", _rebuild),
        ("POST", f"{root}/zip", _zip),
        ("GET", f"{root}/trash", _thrown),
        ("POST", f"{root}/trash", _trash),
        ("POST", f"{root}/restore", _restore),
        ("GET", one, _picture),
        ("PUT", one, _mark),
        ("GET", f"{one}/file", _file),
        ("GET", f"{one}/thumbnail", _thumbnail),
        ("POST", f"{one}/folder", _open_folder),
    )


async def _page(service: JobService, request: Request) -> Response:
    asked = request.query_params
    limit = max(1, min(MOST_ON_A_PAGE, _whole(asked.get("limit", str(PAGE)))))
    place = asked.get("start") or None, limit, _whole(asked.get("offset", "0"))
    page = await asyncio.to_thread(_history(service).page, _filter(request), *place)
    return JSONResponse({"pictures": [picture_json(one) for one in page.pictures], "next": page.next}, headers=FRESH)


async def _count(service: JobService, request: Request) -> Response:
    return JSONResponse({"count": await asyncio.to_thread(_history(service).count, _filter(request))}, headers=FRESH)


async def _choices(service: JobService, request: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(_history(service).choices), headers=FRESH)


async def _rebuild(service: JobService, request: Request) -> Response:
    return JSONResponse({"count": await asyncio.to_thread(_history(service).rebuild)}, headers=FRESH)


async def _picture(service: JobService, request: Request) -> Response:
    picture = await asyncio.to_thread(_history(service).picture, request.path_params["picture_id"])
    return JSONResponse(picture_json(picture), headers=FRESH)


async def _mark(service: JobService, request: Request) -> Response:
    wanted = read_json(await read_body(request, BODY_BYTES))
    favourite, rating = wanted.get("favourite"), wanted.get("rating")
    if not isinstance(favourite, bool | None) or not isinstance(rating, int | None):
        raise InvalidRequest("The body does not mark a picture.", '{"favourite": true or false, "rating": 0 to 5}')
    marked = await asyncio.to_thread(_history(service).mark, request.path_params["picture_id"], favourite, rating)
    return JSONResponse(picture_json(marked), headers=FRESH)


async def _file(service: JobService, request: Request) -> Response:
    path = await asyncio.to_thread(_history(service).path, request.path_params["picture_id"])
    return await asyncio.to_thread(PictureFile, path, PRIVATE)


async def _thumbnail(service: JobService, request: Request) -> Response:
    from webui.library.thumbnails import MEDIA_TYPE, thumbnail

    data = await asyncio.to_thread(thumbnail, _history(service), request.path_params["picture_id"])
    return Response(data, media_type=MEDIA_TYPE, headers=FOREVER if "v" in request.query_params else PRIVATE)


async def _zip(service: JobService, request: Request) -> Response:
    history, ids = _history(service), await _ids(request)

    def pack() -> Path:
        paths = history.paths(ids)
        handle, name = tempfile.mkstemp(suffix=".zip")
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:  # pictures are packed already
            used: set[str] = set()
            for picture_id, path in paths.items():
                entry = path.name if path.name not in used else f"{picture_id}-{path.name}"
                used.add(entry)
                with contextlib.suppress(FileNotFoundError):  # it went to the trash meanwhile
                    archive.write(path, entry)
        return Path(name)

    path = await asyncio.to_thread(pack)
    return FileResponse(
        path, media_type="application/zip", filename="pictures.zip", background=BackgroundTask(path.unlink)
    )


async def _trash(service: JobService, request: Request) -> Response:
    from webui.library.thrown import throw_away

    ids = await _ids(request)
    return JSONResponse({"trash": await asyncio.to_thread(throw_away, _history(service), ids)}, headers=FRESH)


async def _thrown(service: JobService, request: Request) -> Response:
    from webui.library.thrown import list_thrown

    found = await asyncio.to_thread(list_thrown, _history(service))
    told = [(one, {"names": one.names[:SHOWN], "count": len(one.names)}) for one in found]
    thrown = [{"trash": one.trash, "moved": one.moved, **names} for one, names in told]
    return JSONResponse({"thrown": thrown}, headers=FRESH)


async def _restore(service: JobService, request: Request) -> Response:
    from webui.library.thrown import bring_back

    name = read_json(await read_body(request, BODY_BYTES)).get("trash")
    if not isinstance(name, str):
        raise InvalidRequest("The body does not name what was thrown away.", '{"trash": name}')
    return JSONResponse({"count": await asyncio.to_thread(bring_back, _history(service), name)}, headers=FRESH)


async def _open_folder(service: JobService, request: Request) -> Response:
    """Show a picture's folder in the file manager: only for somebody who sits before this very machine."""
    if not sits_here(request.scope):
        raise InvalidRequest("Folders open on the machine of the program.", "", "Use its own browser, or download.")
    path = await asyncio.to_thread(_history(service).path, request.path_params["picture_id"])
    await asyncio.to_thread(_show_folder, path.parent)
    return JSONResponse({"opened": True})


def _show_folder(folder: Path) -> None:
    command = {"win32": "explorer", "darwin": "open"}.get(sys.platform, "xdg-open")
    try:
        subprocess.Popen([command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        raise NotFound(f"There is no file manager to show {folder} with.") from None


def picture_json(picture: dict[str, Any]) -> dict[str, Any]:
    """A picture for the page: without its path, with the addresses of its file and thumbnail."""
    address = f"{PREFIX}/history/{picture['id']}"
    body = {name: value for name, value in picture.items() if name != "path"}
    version = f"{picture['modified']:x}"
    return {**body, "thumbnail": f"{address}/thumbnail?v={version}", "file": f"{address}/file?v={version}"}


def _filter(request: Request) -> Filter:
    asked = request.query_params
    values: dict[str, Any] = {
        **{name: asked.get(name, "")[:1000] for name in ("text", "checkpoint", "lora", "sampler", "folder")},
        **{name: _whole(asked.get(name, "0")) for name in ("after", "before", "smallest", "rating")},
    }
    return Filter(**values, favourites=asked.get("favourites") in ("1", "true"))


async def _ids(request: Request) -> list[str]:
    ids = read_json(await read_body(request, BODY_BYTES)).get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise InvalidRequest("The body names no pictures.", '{"ids": [id, …]}')
    if len(ids) > MOST_AT_ONCE:
        raise InvalidRequest(f"{len(ids)} pictures are named.", f"At most {MOST_AT_ONCE} at once.")
    return list(dict.fromkeys(ids))


def _history(service: JobService) -> History:
    if service.history is None:
        raise NotFound("This server keeps no history.")
    return service.history


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise InvalidRequest(f"{text[:20]!r} is no whole number.")
    return int(text)
