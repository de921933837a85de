"""The library for the page's scripts, as JSON: pages of cards, one file, previews, notes, trash, progress.

Files go by ids that the library made up; no address holds a path, so none can lead anywhere else. As for all routes of
the page, the login stands in front.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webui.engine.catalogue import Catalogue
from webui.errors import EmulsionError, InvalidRequest, NotFound
from webui.library.index import Library
from webui.ui.answers import PREFIX, PRIVATE, read_body, routes_of
from webui.ui.language import text
from webui.ui.reading import read_json
from webui.workers.service import JobService
from webui.workers.views import read_picture

NOTES_BYTES = 1 << 20
PICTURE_BYTES = 64 << 20
MOST_NAMES = 200  # of LoRAs that are asked for at once
FOREVER = {**PRIVATE, "Cache-Control": "private, max-age=31536000, immutable"}  # the address changes with the picture
FRESH = {"Cache-Control": "no-store"}
WHY_NOT = {
    "family": "library.why_not.family",
    "width": "library.why_not.width",
    "problem": "library.why_not.problem",
}


def library_routes(service: JobService) -> list[Route]:
    """The routes below /ui/library; docs/architecture.md lists them."""
    root = f"{PREFIX}/library"
    one = f"{root}/{{kind}}/{{file_id}}"
    return routes_of(
        service,
        ("GET", f"{root}/status", _status),
        ("POST", f"{root}/refresh", _refresh),
        ("POST", f"{root}/stop", _stop),
        ("POST", f"{root}/recipes", _recipes),
        ("GET", f"{root}/trash", _trash),
        ("POST", f"{root}/trash/{{trash_id}}/restore", _restore),
        ("GET", f"{root}/{{kind}}", _cards),
        ("GET", one, _card),
        ("PUT", one, _edit),
        ("DELETE", one, _delete),
        ("GET", f"{one}/preview", _preview),
        ("PUT", f"{one}/preview", _set_preview),
    )


async def _status(service: JobService, request: Request) -> Response:
    return _json(asdict(await asyncio.to_thread(_library(service).status)))


async def _refresh(service: JobService, request: Request) -> Response:
    library = _library(service)

    def refresh() -> dict[str, Any]:
        library.refresh()
        library.go_on()
        return asdict(library.status())

    return _json(await asyncio.to_thread(refresh))


async def _stop(service: JobService, request: Request) -> Response:
    library = _library(service)
    library.pause()
    return _json(asdict(await asyncio.to_thread(library.status)))


async def _recipes(service: JobService, request: Request) -> Response:
    """What the distilled models among {"loras": [names], "checkpoint": name} want."""
    from webui.library.cards import recipes

    values = read_json(await read_body(request, NOTES_BYTES))
    names, checkpoint = values.get("loras", []), values.get("checkpoint")
    if not isinstance(names, list) or len(names) > MOST_NAMES or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"loras is no list of at most {MOST_NAMES} names.")

    def find() -> list[dict[str, Any]]:
        catalogue = _catalogue(service)
        found: list[tuple[str, Any]] = []
        if isinstance(checkpoint, str) and checkpoint:
            with contextlib.suppress(EmulsionError):
                name = catalogue.find(checkpoint).name
                found += recipes(catalogue.library, "checkpoints", [name]).items()
        found += recipes(catalogue.library, "loras", names).items()
        return [{"name": name, "recipe": recipe} for name, recipe in found]

    return _json({"recipes": await asyncio.to_thread(find)})


async def _cards(service: JobService, request: Request) -> Response:
    from webui.library.cards import Question, find_cards

    asked = request.query_params
    question = Question(
        kind=request.path_params["kind"],
        text=asked.get("text", "")[:1000],
        folder=asked.get("folder", "")[:1000],
        sort=asked.get("sort", "name"),
        descending=_yes(asked.get("descending")),
        base=await asyncio.to_thread(_base, service, asked.get("checkpoint")),
        fitting=_yes(asked.get("fitting")),
        favourites=_yes(asked.get("favourites")),
        offset=_number(asked.get("offset", "0")),
        limit=_number(asked.get("limit", "60")),
    )
    page = await asyncio.to_thread(find_cards, _library(service), question)
    language = asked.get("language", "")
    cards = [card_json(card, question.base, language) for card in page.cards]
    folders = [asdict(folder) for folder in page.folders]
    label = question.base.label if question.base else None
    return _json({"total": page.total, "hidden": page.hidden, "base": label, "folders": folders, "cards": cards})


async def _card(service: JobService, request: Request) -> Response:
    return _json(await asyncio.to_thread(_whole_card, service, request))


async def _edit(service: JobService, request: Request) -> Response:
    changes = read_json(await read_body(request, NOTES_BYTES))
    await asyncio.to_thread(_library(service).edit, request.path_params["file_id"], changes)
    return _json(await asyncio.to_thread(_whole_card, service, request))


async def _delete(service: JobService, request: Request) -> Response:
    from webui.library.trash import to_trash

    trashed = await asyncio.to_thread(to_trash, _library(service), request.path_params["file_id"])
    return _json({"trash": trashed.id})


async def _trash(service: JobService, request: Request) -> Response:
    from webui.library.trash import list_trash

    found = await asyncio.to_thread(list_trash, _library(service))
    return _json({"files": [{k: v for k, v in asdict(one).items() if k != "folder"} for one in found]})


async def _restore(service: JobService, request: Request) -> Response:
    from webui.library.trash import restore

    restored = await asyncio.to_thread(restore, _library(service), request.path_params["trash_id"])
    return _json({"name": restored.name, "kind": restored.kind})


async def _preview(service: JobService, request: Request) -> Response:
    from webui.library.previews import MEDIA_TYPE, thumbnail

    data = await asyncio.to_thread(thumbnail, _library(service), request.path_params["file_id"])
    return Response(data, media_type=MEDIA_TYPE, headers=FOREVER if "v" in request.query_params else PRIVATE)


async def _set_preview(service: JobService, request: Request) -> Response:
    """From a picture of a finished job ({"job": id, "index": n} as JSON), or the bytes of a picture file."""
    from webui.library.previews import set_preview

    body = await read_body(request, PICTURE_BYTES)
    if request.headers.get("content-type", "").startswith("application/json"):
        body = await asyncio.to_thread(_picture_of_job, service, read_json(body))
    await asyncio.to_thread(set_preview, _library(service), request.path_params["file_id"], body)
    return _json(await asyncio.to_thread(_whole_card, service, request))


def card_json(card: Any, base: Any, language: str) -> dict[str, Any]:
    """A `library.cards.Card` for the page: with the address of its preview, and why it does not fit as a sentence."""
    body = asdict(card)
    body["preview"] = f"{PREFIX}/library/{card.kind}/{card.id}/preview?v={card.preview}" if card.preview else None
    body["why"] = card.why_not or None
    told = {"family": card.family, "base": base.label if base else "", "problem": card.problem}
    body["why_not"] = text(language, WHY_NOT[card.why_not], **told) if card.why_not else None
    return body


def _whole_card(service: JobService, request: Request) -> dict[str, Any]:
    from webui.library.cards import check_kind, details, find_card

    check_kind(request.path_params["kind"])
    library, file_id = _library(service), request.path_params["file_id"]
    base = _base(service, request.query_params.get("checkpoint"))
    card = card_json(find_card(library, file_id, base), base, request.query_params.get("language", ""))
    return {**card, **details(library, file_id)}


def _base(service: JobService, checkpoint: str | None) -> Any:
    """What files are judged against: the named checkpoint, or the one of the settings; None for one that is unknown."""
    from webui.library.cards import Base

    catalogue = _catalogue(service)
    try:
        facts = catalogue.facts(catalogue.find(checkpoint or None))
    except EmulsionError:
        return None
    return Base(facts.label, facts.context_width, facts.latent_channels)


def _picture_of_job(service: JobService, wanted: dict[str, Any]) -> bytes:
    job_id, index = wanted.get("job"), wanted.get("index", 0)
    if not isinstance(job_id, str) or type(index) is not int or index < 0:
        raise InvalidRequest("The body does not name a picture.", '{"job": id, "index": number} was wanted.')
    return read_picture(service.job(job_id), index)


def _catalogue(service: JobService) -> Catalogue:
    if service.catalogue is None:
        raise NotFound("This server has no library.")
    return service.catalogue


def _library(service: JobService) -> Library:
    return _catalogue(service).library


def _json(body: Any) -> Response:
    return JSONResponse(body, headers=FRESH)


def _yes(value: str | None) -> bool:
    return value in ("1", "true")


def _number(value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise InvalidRequest(f"{value[:20]!r} is no number.", "offset and limit are whole numbers.")
    return int(value)
