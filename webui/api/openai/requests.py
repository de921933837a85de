"""From OpenAI's fields to the GenerationRequest that they stand for."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from webui.api.context import Context
from webui.api.names import sampler_and_schedule
from webui.api.openai.fields import FORMATS, STEP_SHARES, ImageFields, InvalidField, ModelNotFound
from webui.engine.catalogue import CheckpointFile
from webui.engine.recommended import FROM_SETTINGS, facts_of, fitting, recommended
from webui.errors import EmulsionError, NotFound
from webui.imaging.files import load_picture
from webui.imaging.masks import transparency_of
from webui.imaging.metadata import read_metadata
from webui.infotext import read_infotext
from webui.request import GenerationRequest, Pass

THEIR_NAMES = re.compile(r"(dall-e|gpt-image|chatgpt-image)[\w.-]*|default|auto", re.IGNORECASE)
STRENGTH = 0.75  # of changes to a whole picture; what a mask shows is made anew
NATIVE = 512  # where a checkpoint does not say


def checkpoint(context: Context, model: str | None) -> CheckpointFile:
    """The checkpoint that a client means. Raises ModelNotFound."""
    name = None if not model or THEIR_NAMES.fullmatch(model.strip()) else model
    for effort in (lambda: None, context.catalogue.refresh):  # one that was put there just now is found too
        effort()
        try:
            return context.catalogue.find(name)
        except NotFound as error:
            missing = error
    raise ModelNotFound(missing.found, missing.wanted, missing.remedy) from None


def make_request(fields: ImageFields, prompt: str, context: Context) -> GenerationRequest:
    """The request of pictures from text. Raises InvalidField, ModelNotFound, HTTPException 400 for a sampler."""
    _refuse(fields)
    file = checkpoint(context, fields.model)
    base = recommended(facts_of(context.catalogue, file.name), context.store.settings)
    step = _sampled(base.passes[0], fields, context)
    if size := fields.sides():
        step = dataclasses.replace(step, width=size[0], height=size[1])
    changes = {name: getattr(fields, name) for name in ("clip_skip", "vae") if getattr(fields, name) is not None}
    known = fields.style is not None and fields.style in context.catalogue.styles()
    return dataclasses.replace(
        base,
        prompt=prompt,
        negative_prompt=fields.negative_prompt,
        styles=(str(fields.style),) if known else (),
        checkpoint=file.name,
        seed=fields.seed,
        count=fields.n,
        tiling=fields.tiling,
        passes=(step,),
        save=fields.save,
        **changes,
    )


def from_pictures(
    fields: ImageFields, prompt: str, images: Sequence[bytes], mask: bytes | None, context: Context
) -> GenerationRequest:
    """The request of pictures from a picture, in whole, or where the mask or the picture itself is transparent.

    Raises as `make_request`, InvalidField for anything but one picture, FileError for what is no picture.
    """
    if len(images) != 1:
        found = f"There are {len(images)} pictures." if images else "There is no picture."
        raise InvalidField("image", found, "One was wanted: these models change one picture at a time.")
    request = make_request(fields, prompt, context)
    settings, step = context.store.settings, request.passes[0]
    facts = facts_of(context.catalogue, request.checkpoint)
    picture = _opened(images[0], "image")
    masked = _mask(mask) if mask else None
    from_alpha = masked is None and picture.has_transparency_data and _is_cut(picture)
    if fields.sides() is None:
        width, height = fitting(*picture.size, facts.native_size if facts else NATIVE)
        step = dataclasses.replace(step, width=width, height=height)
    instructed = facts is not None and facts.variant == "edit"
    strength = 1.0 if instructed or masked or from_alpha else STRENGTH
    if fields.denoising_strength is not None:
        strength = fields.denoising_strength
    content = "fill" if from_alpha else "original"  # behind what is cut out lies no picture
    inpaint = dataclasses.replace(
        step.inpaint,
        from_alpha=from_alpha,
        masked_content=content,
        condition_weight=settings["inpainting_mask_weight"],
    )
    step = dataclasses.replace(
        step,
        source="image",
        image=base64.b64encode(images[0]).decode(),
        mask=masked,
        denoising_strength=strength,
        inpaint=inpaint,
        **{name: settings[name] for name in FROM_SETTINGS},
    )
    return dataclasses.replace(request, passes=(step,))


def prompt_of(data: bytes) -> str:
    """The prompt that a picture says it was made with, or nothing."""
    try:
        return read_infotext(read_metadata(data).infotext or "").prompt
    except EmulsionError:
        return ""


def job_settings(fields: ImageFields) -> Mapping[str, Any]:
    """Settings for the job alone: the kind of file that the client wants."""
    quality = max(1, fields.output_compression)
    only = dict.fromkeys(("save_grids", "return_masks", "return_mask_composites"), False)
    return {"picture_format": FORMATS[fields.output_format], "quality": quality, **only}


def _refuse(fields: ImageFields) -> None:
    """What would silently give other pictures than were asked for."""
    if fields.background.casefold() == "transparent":
        raise InvalidField("background", "Transparent pictures cannot be made here.", 'Wanted: "auto" or "opaque".')
    if fields.stream:
        raise InvalidField("stream", "Pictures are not streamed here.", "", "Ask without stream.")


def _sampled(step: Pass, fields: ImageFields, context: Context) -> Pass:
    steps = fields.steps or max(1, round(step.steps * STEP_SHARES.get(fields.quality.casefold(), 1.0)))
    guidance = step.guidance
    if fields.guidance_scale is not None:
        guidance = dataclasses.replace(guidance, scale=fields.guidance_scale)
    sampler, schedule = step.sampler, step.schedule
    if fields.sampler or fields.schedule:
        names = context.service.names("samplers"), context.service.names("schedules")
        sampler, schedule = sampler_and_schedule(fields.sampler or sampler, fields.schedule, *names)
    return dataclasses.replace(step, steps=steps, guidance=guidance, sampler=sampler, schedule=schedule)


def _opened(data: bytes, param: str) -> Image.Image:
    """A whole picture. Raises InvalidField."""
    try:
        return load_picture(data)
    except EmulsionError as error:
        raise InvalidField(param, error.found, error.wanted, error.remedy) from None


def _is_cut(picture: Image.Image) -> bool:
    return transparency_of(picture).getextrema()[1] == 255  # wholly transparent somewhere, not merely soft edges


def _mask(data: bytes) -> str:
    """OpenAI's mask, transparent where to paint, as ours: white where to paint, base64. Raises InvalidField."""
    picture = _opened(data, "mask")
    mask = transparency_of(picture)
    if mask.getbbox() is None:
        raise InvalidField("mask", "The mask is not transparent anywhere.", "Transparency says what is to be changed.")
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


__all__ = ["checkpoint", "from_pictures", "job_settings", "make_request", "prompt_of"]
