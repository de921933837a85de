"""Small routes that only the page uses: a job's progress, previews and pictures, token counts, settings in a picture.

The scripts of the page ask them directly, so that a preview is one small picture and not a component update, nothing is
copied into temporary files, and a reloaded page finds its job again. Somebody else's job is as if it were not there,
except for administrators.
"""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.engine.embeddings import vector_counts
from webui.errors import InvalidRequest, NotFound
from webui.identity import check_owner, client_of, sits_here
from webui.picture_answer import PictureFile, preview_type
from webui.text.chunks import count_tokens
from webui.text.tokenizers import clip_tokenizer
from webui.ui.answers import PREFIX, PRIVATE, answered, read_body, routes_of
from webui.ui.extension_routes import extension_routes
from webui.ui.extras_routes import extras_routes
from webui.ui.history_routes import history_routes
from webui.ui.library_routes import library_routes
from webui.ui.reading import read_json
from webui.ui.sentences import sentence_routes
from webui.workers.queue import FIRST
from webui.workers.service import JobService
from webui.workers.tasks import refuse_folders
from webui.workers.views import JobView, picture_of

PICTURE_BYTES = 64 << 20  # of a picture whose settings are read
UPLOAD_BYTES = 100 << 20  # of a picture to start from
TEXT_BYTES = 2 << 20  # of prompts whose tokens are counted
TOLD = ("name", "index", "postprocessing", "aside")  # facts: the first three of pictures that were enlarged
WISHES = ("interrupt", "skip", "stop_after")


def page_routes(service: JobService) -> list[Route]:
    """The routes to put in front of the mounted page."""
    job = f"{PREFIX}/jobs/{{job_id}}"
    own = routes_of(
        service,
        ("GET", job, _job),
        ("GET", f"{job}/preview", _preview),
        ("GET", f"{job}/pictures/{{index:int}}", _picture),
        ("POST", f"{job}/{{wish}}", _wish),
        ("POST", f"{PREFIX}/tasks/{{name}}", _task),
        ("POST", f"{PREFIX}/uploads", _upload),
        ("GET", f"{PREFIX}/uploads/{{name}}", _uploaded),
        ("POST", f"{PREFIX}/tokens", _tokens),
    )
    return [
        *own,
        Route(f"{PREFIX}/settings", answered(_settings), methods=["POST"]),
        *extras_routes(service),
        *extension_routes(service),
        *library_routes(service),
        *history_routes(service),
        *sentence_routes(),
    ]


def job_json(view: JobView, have: int, worker: str, problem: str | None) -> dict[str, Any]:
    """A job for the page. `have`: how many of its pictures the page knows already."""
    names = ("id", "state", "position", "progress", "eta", "stage", "step", "steps", "batch", "batches", "stopping")
    body: dict[str, Any] = {name: getattr(view, name) for name in names}
    body["preview"] = view.preview_id if view.preview is not None else 0
    body["seconds"] = view.finished - view.started if view.finished and view.started else None
    body["pictures"] = [
        {
            "index": index,
            "name": Path(result.path).name,
            "infotext": result.infotext,
            "seed": str(result.seed),  # as text: a browser's numbers are exact to 2^53 only
            "variationSeed": str(result.facts.get("variation_seed", "")),
            "facts": {name: result.facts[name] for name in TOLD if name in result.facts},
            "width": result.width,
            "height": result.height,
        }
        for index, result in enumerate(view.results)
        if index >= have
    ]
    body |= {"task": view.task, "outcome": dict(view.outcome)}
    body |= {"notes": list(view.notes), "error": view.error, "worker": worker, "workerError": problem}
    return body


async def _own(service: JobService, request: Request) -> JobView:
    """The job of the address. Raises NotFound, also where it is somebody else's."""
    view = await asyncio.to_thread(service.job, request.path_params["job_id"])
    check_owner(request.scope, view.client, view.id)
    return view


async def _job(service: JobService, request: Request) -> Response:
    have = request.query_params.get("have", "0")
    view = await _own(service, request)
    status = service.status()
    body = job_json(view, int(have) if have.isdecimal() and len(have) < 9 else 0, status.worker, status.error)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def _preview(service: JobService, request: Request) -> Response:
    view = await _own(service, request)
    if view.preview is None:
        return Response(status_code=204)  # it ended between two questions: nothing that a browser should complain about
    headers = {**PRIVATE, "Cache-Control": "no-store"}
    return Response(view.preview, media_type=preview_type(view.preview), headers=headers)


async def _picture(service: JobService, request: Request) -> Response:
    view = await _own(service, request)
    path = picture_of(view, request.path_params["index"])
    return await asyncio.to_thread(PictureFile, path, PRIVATE)


async def _wish(service: JobService, request: Request) -> Response:
    wish = request.path_params["wish"]
    if wish not in WISHES:
        raise NotFound(f"A job cannot {wish!r}.", f"It can {', '.join(WISHES)}.")
    done = await asyncio.to_thread(getattr(service, wish), (await _own(service, request)).id)
    return JSONResponse({"done": done})


async def _tokens(service: JobService, request: Request) -> Response:
    texts, checkpoint = _texts(await read_body(request, TEXT_BYTES))
    counts = [await asyncio.to_thread(_count, service, text, checkpoint) for text in texts]
    return JSONResponse({"counts": counts})


def _count(service: JobService, text: str, checkpoint: str | None) -> tuple[int, int]:
    vectors = vector_counts(text, service.catalogue, checkpoint) if service.catalogue is not None else {}
    return count_tokens(text, clip_tokenizer(), embeddings=vectors)


async def _settings(request: Request) -> Response:
    from webui.imaging.metadata import read_metadata  # brings Pillow, which the page does not need to start

    found = await asyncio.to_thread(read_metadata, await read_body(request, PICTURE_BYTES))
    return JSONResponse({"infotext": found.infotext or ""})


async def _task(service: JobService, request: Request) -> Response:
    """Queue a job of another kind; the body holds its values as JSON. Pictures in them are names of uploads."""
    values = read_json(await read_body(request, TEXT_BYTES))
    refuse_folders(request.path_params["name"], values, sits_here(request.scope))
    client = client_of(request.scope)
    submit = functools.partial(service.submit_task, priority=FIRST if sits_here(request.scope) else 0)
    job_id = await asyncio.to_thread(submit, request.path_params["name"], values, client)
    return JSONResponse({"job": job_id})


async def _upload(service: JobService, request: Request) -> Response:
    """Keep a picture that a job will start from. It is looked at now, so that a damaged one is refused at once."""
    from webui.imaging.files import check_whole, picture_size

    data = await read_body(request, UPLOAD_BYTES)
    await asyncio.to_thread(check_whole, data)
    width, height = await asyncio.to_thread(picture_size, data)
    name = await asyncio.to_thread(service.blobs.put, data)
    return JSONResponse({"id": name, "width": width, "height": height})


async def _uploaded(service: JobService, request: Request) -> Response:
    data = await asyncio.to_thread(service.blobs.get, f"blob:{request.path_params['name']}")
    data, kind = await asyncio.to_thread(_showable, data)
    return Response(data, media_type=f"image/{kind.lower()}", headers=PRIVATE)


def _showable(data: bytes) -> tuple[bytes, str]:
    """A picture as browsers can show it, and its format: TIFF, which most cannot, becomes PNG."""
    from webui.imaging.files import load_picture, open_picture
    from webui.imaging.kinds import SHOWN
    from webui.imaging.metadata import encode_picture
    from webui.imaging.profiles import in_srgb
    from webui.imaging.resize import eight_bits

    kind = open_picture(data).format or "PNG"  # only what can be read was kept
    if kind in SHOWN:
        return data, kind
    picture = eight_bits(in_srgb(load_picture(data)))
    return encode_picture(picture if picture.mode != "CMYK" else picture.convert("RGB")), "PNG"


def _texts(body: bytes) -> tuple[list[str], str | None]:
    """The texts to count, and the checkpoint whose embeddings they may name (None: the default)."""
    values = read_json(body)
    texts, checkpoint = values.get("texts"), values.get("checkpoint")
    if not isinstance(texts, list) or len(texts) > 8 or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("texts is not a list of at most 8 texts.")
    return texts, checkpoint if isinstance(checkpoint, str) else None
