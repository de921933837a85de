"""From the JSON of a client to a complete GenerationRequest, and the settings of its job."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from webui.api import names
from webui.api.context import Context
from webui.api.pictures import picture_field
from webui.engine.enlarge import check_upscaler
from webui.engine.recommended import facts_of, fitting, recommended
from webui.engine.vae import AUTOMATIC, BUILT_IN
from webui.errors import SettingsError
from webui.identity import Level, may
from webui.imaging.files import picture_size
from webui.request import GenerationRequest, Pass, from_dict
from webui.settings import SERVER_SECTIONS, Settings, find_setting
from webui.text.styles import apply_styles
from webui.workers.blobs import NAME

NATIVE = 512  # where a checkpoint does not say


def read_request(data: Any, context: Context, settings: Settings) -> GenerationRequest:
    """The request of a JSON object, complete and with pictures that are there.

    Raises InvalidRequest, NotFound for a checkpoint or an upload, FileError for what is no picture.
    """
    if not isinstance(data, Mapping):
        return from_dict(data)  # says what is wrong with it
    given = from_dict(data)
    facts = facts_of(context.catalogue, given.checkpoint or settings["checkpoint"] or None)
    base = recommended(facts, settings)
    missing = {field.name for field in dataclasses.fields(base)} - set(data) - {"passes"}
    whole = dataclasses.replace(given, **{name: getattr(base, name) for name in missing})
    whole = dataclasses.replace(whole, passes=tuple(_with_pictures(step, context, settings) for step in given.passes))
    if not whole.passes:
        return whole
    said = data["passes"][0] if data.get("passes") else {}
    first = _completed(whole.passes[0], said, base.passes[0], facts.native_size if facts else NATIVE, context)
    return dataclasses.replace(whole, passes=(first, *whole.passes[1:]))


def check_names(request: GenerationRequest, context: Context) -> None:
    """Raise NotFound or InvalidRequest for a name that the job would not find either.

    Samplers and schedules are the worker's to tell; until it has told them once, the job says what is wrong.
    """
    catalogue, service = context.catalogue, context.service
    samplers, schedules = service.names("samplers", 0), service.names("schedules", 0)
    apply_styles("", "", request.styles, catalogue.styles() if request.styles else {})
    if request.vae not in (AUTOMATIC, *BUILT_IN):
        catalogue.find_vae(request.vae)
    for step in request.passes:
        names.check_names(step.sampler, step.schedule, samplers, schedules)
        for checkpoint in (step.checkpoint, step.refiner and step.refiner.checkpoint):
            if checkpoint:
                catalogue.find(checkpoint)
        if step.source != "noise":
            check_upscaler(step.upscaler, catalogue.library.paths)


def _completed(step: Pass, said: Mapping[str, Any], base: Pass, native: int, context: Context) -> Pass:
    """The first pass with what was not said of it."""
    changes: dict[str, Any] = {name: getattr(base, name) for name in ("steps", "sampler", "schedule")}
    changes = {name: value for name, value in changes.items() if name not in said}
    guidance = said.get("guidance") or {}
    missing = {name: getattr(base.guidance, name) for name in ("scale", "rescale") if name not in guidance}
    changes["guidance"] = dataclasses.replace(step.guidance, **missing)
    sides = [said[name] for name in ("width", "height") if name in said]
    width, height = base.width, base.height
    if not sides and step.source == "image" and step.sources:
        data = step.sources[0]
        file = context.service.blobs.get(data) if NAME.fullmatch(data) else base64.b64decode(data)
        width, height = fitting(*picture_size(file), native)
    changes |= {"width": sides[0] if sides else width, "height": sides[-1] if sides else height}
    return dataclasses.replace(step, **changes)


def _with_pictures(step: Pass, context: Context, settings: Settings) -> Pass:
    """The pass with every picture known to be one: the name of an upload, or base64."""

    def read(text: str) -> str:
        if NAME.fullmatch(text):
            context.service.blobs.get(text)
            return text
        return picture_field(text, settings, context.offline)

    return dataclasses.replace(
        step,
        image=read(step.image) if step.image else step.image,
        mask=read(step.mask) if step.mask else step.mask,
        colours_of=read(step.colours_of) if step.colours_of else step.colours_of,
        images=tuple(read(text) for text in step.images),
    )


def job_settings(changes: Mapping[str, Any], context: Context, request: Request) -> tuple[Settings, dict[str, Any]]:
    """The settings while the job lasts, and what of them differs. Raises SettingsError."""
    settings = context.store.settings.changed(changes)
    for name in changes:
        setting = find_setting(name)
        is_kept = setting.by_hand or setting.section in SERVER_SECTIONS
        if is_kept and (setting.by_hand or not may(request.scope, Level.ADMINISTER)):
            raise SettingsError(f"{name} cannot be changed for one job.", "", "Leave it out.")
    return settings, {find_setting(name).name: settings[name] for name in changes}
