"""POST /sdapi/v1/{txt2img,img2img}: wait until the pictures are made and send them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException, Request
from pydantic_core import PydanticSerializationError
from starlette.concurrency import run_in_threadpool

from webui.api import always_on
from webui.api.context import Context, client_of
from webui.api.fields import GenerationFields, ImageToImageFields, TextToImageFields
from webui.api.follow import follow
from webui.api.infotext_fields import filled, with_infotext
from webui.api.names import Names
from webui.api.pictures import picture_field
from webui.api.problems import JobFailed
from webui.api.replies import reply
from webui.api.requests import effective_settings, make_request
from webui.errors import InvalidRequest, WorkerLost
from webui.identity import Level, demand, sits_here
from webui.logs import private
from webui.request import GenerationRequest, replace
from webui.scripts import SCRIPTS, from_positions
from webui.settings import Settings, job_options
from webui.workers.queue import FAILED
from webui.workers.tasks import refuse_folders

Fields = TypeVar("Fields", bound=GenerationFields)


def make_router(context: Context) -> APIRouter:
    """The routes that make pictures."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.post("/txt2img")
    async def txt2img(fields: TextToImageFields, request: Request) -> dict[str, Any]:
        """Make pictures from text. Blocks until they are there; ends the job when the client goes away."""
        return await _make(context, fields, "txt2img", request)

    @router.post("/img2img")
    async def img2img(fields: ImageToImageFields, request: Request) -> dict[str, Any]:
        """Make pictures from pictures, in whole or where a mask is. Blocks as txt2img does."""
        return await _make(context, fields, "img2img", request)

    return router


async def _make(context: Context, fields: GenerationFields, tab: str, request: Request) -> dict[str, Any]:
    private([fields.prompt, fields.negative_prompt])
    fields, wanted, settings = await run_in_threadpool(_read, context, fields, tab)
    job_id = await run_in_threadpool(_submit, context, fields, wanted, settings, tab, request)
    if fields.force_task_id:
        context.task_ids.remember(fields.force_task_id, job_id)
    job = await follow(request, context.service, job_id)
    if job.state == FAILED:
        raise JobFailed(job)
    return await run_in_threadpool(reply, fields, wanted, job, settings)


def _read(context: Context, fields: Fields, tab: str) -> tuple[Fields, GenerationRequest, Settings]:
    """The fields with all that an infotext and scripts add to them, the request, and the job's settings."""
    _check_text(fields)
    names = _names(context)
    selectable = [name.casefold() for name in titles(tab)]
    fields, base = with_infotext(fields, context.catalogue, context.extensions, *names)
    fills, base = always_on.apply(fields, tab, base, context.extensions, selectable)
    fields = filled(fields, fills)
    settings = effective_settings(fields, context.store.settings, context.catalogue)
    carrying = _with_pictures(fields, settings, context.offline)
    return fields, _with_known_styles(make_request(carrying, settings, *names, base), context), settings


def _with_known_styles(request: GenerationRequest, context: Context) -> GenerationRequest:
    """Without the styles that are not there, as A1111 has it: clients send names of other installations, and "None"."""
    if not request.styles:
        return request
    known = context.catalogue.styles()
    return replace(request, styles=tuple(name for name in request.styles if name in known))


def _check_text(fields: GenerationFields) -> None:
    """Raise InvalidRequest before any work where the answer, which holds the fields once more, could not be said."""
    try:
        fields.model_dump_json(exclude={"init_images", "mask", "firstpass_image"})
    except PydanticSerializationError:
        raise InvalidRequest("The request holds half a character (a lone surrogate).", "Valid text.") from None


def _with_pictures(fields: Fields, settings: Settings, offline: bool) -> Fields:
    """The fields with every picture as plain base64. Raises InvalidRequest and FileErrors."""

    def read(text: str) -> str:
        return picture_field(text, settings, offline)

    changes: dict[str, Any] = {}
    if isinstance(fields, ImageToImageFields):
        changes["init_images"] = [read(text) for text in fields.init_images or ()]
        changes["mask"] = read(fields.mask) if fields.mask else None
    elif isinstance(fields, TextToImageFields) and fields.enable_hr and fields.firstpass_image:
        changes["firstpass_image"] = read(fields.firstpass_image)
    return fields.model_copy(update=changes)


def _submit(
    context: Context, fields: GenerationFields, wanted: GenerationRequest, settings: Settings, tab: str, asked: Request
) -> str:
    """Queue the job; settings that are not to be put back afterwards are changed for good."""
    known = job_options(fields.override_settings)
    overrides = {name: settings[name] for name in known}
    if not fields.override_settings_restore_afterwards and overrides:
        demand(asked.scope, Level.ADMINISTER, "Keeping override_settings")
        context.change_settings(overrides)
    options: Mapping[str, Any] = {"settings": overrides | _grid(fields)}
    if not fields.script_name:
        return context.service.submit(wanted, client_of(asked), tab, True, 0, options)
    values = script_values(fields.script_name, fields.script_args, wanted, tab, sits_here(asked.scope))
    return context.service.submit_task("script", values, client_of(asked), tab, True, 0, options)


def titles(tab: str) -> list[str]:
    """Titles of the scripts that a tab offers."""
    return [entry.name for entry in SCRIPTS if tab in entry.value.tabs]


def script_values(name: str, arguments: list[Any], request: GenerationRequest, tab: str, here: bool) -> dict[str, Any]:
    """The script job of a script's title and arguments by position. `here`: the client is on this machine.

    Raises HTTPException 422, InvalidRequest.
    """
    found = next((title for title in titles(tab) if title.casefold() == name.strip().casefold()), None)
    if found is None:
        raise HTTPException(422, f"Script '{name}' not found")
    refuse_folders("script", {"script": found}, here)
    given = from_positions(found, arguments, tab)
    return {"script": found, "arguments": given, "request": dataclasses.asdict(request)}


def _grid(fields: GenerationFields) -> dict[str, Any]:
    """What a client that wants no grid changes of the settings, for its job alone."""
    return {"save_grids": False} if fields.do_not_save_grid else {}


def _names(context: Context) -> tuple[Names, Names]:
    samplers, schedules = context.service.names("samplers"), context.service.names("schedules")
    if not samplers:
        raise WorkerLost("The worker process does not start.", remedy=context.service.status().error or "")
    return samplers, schedules
