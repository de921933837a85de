"""The field `infotext`: what a picture's text says fills the fields that a client did not send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from webui.api.fields import GenerationFields
from webui.api.names import Names, sampler_and_schedule
from webui.engine.adapters import with_present_names
from webui.engine.catalogue import Catalogue
from webui.engine.extensions import Extensions
from webui.errors import EmulsionError
from webui.infotext import infotext_to_request, read_infotext
from webui.request import MASKED_CONTENTS, RESIZE_MODES, GenerationRequest, Pass, replace
from webui.settings import SETTINGS

Fields = TypeVar("Fields", bound=GenerationFields)
# Texts leave these out at their usual values, which those of the fields and the settings can differ from.
UNSAID = ("Mask mode", "Masked content", "Inpaint area", "Masked area padding", "Clip skip", "Emphasis")


def filled(fields: Fields, values: Mapping[str, Any]) -> Fields:
    """The fields with values for those of them that the client did not send."""
    new = {name: value for name, value in values.items() if name not in fields.model_fields_set}
    return fields.model_copy(update={name: value for name, value in new.items() if name in type(fields).model_fields})


def with_infotext(
    fields: Fields, catalogue: Catalogue, extensions: Extensions, samplers: Names, schedules: Names
) -> tuple[Fields, GenerationRequest]:
    """The filled fields, and the request that the text describes: of it counts what fields cannot say.

    What is a setting in A1111's API (checkpoint, VAE, clip skip …) goes into `override_settings`, unless it is there.
    """
    if not fields.infotext:
        return fields, GenerationRequest()

    def split(name: str) -> tuple[str, str]:
        return sampler_and_schedule(name, None, samplers, schedules)

    there = read_infotext(fields.infotext).fields
    request, rest = infotext_to_request(fields.infotext, split)
    request = replace(request, extensions=extensions.read_fields(rest))
    prompts = {"prompt": with_present_names(request.prompt, there, catalogue)}
    prompts["negative_prompt"] = request.negative_prompt
    fields = filled(fields, prompts | _values(request, there))
    taken = {SETTINGS.find(name).name for name in fields.override_settings if name in SETTINGS}
    settings = {name: value for name, value in _settings(request, there, catalogue).items() if name not in taken}
    return fields.model_copy(update={"override_settings": {**settings, **fields.override_settings}}), request


def _values(request: GenerationRequest, there: Mapping[str, str]) -> dict[str, Any]:
    """Values of fields, as far as the text has them or means them by leaving them out."""
    first, options = request.passes[0], request.passes[0].options
    second = request.passes[1] if len(request.passes) > 1 else None
    inpaint, width_height = first.inpaint, request.resize_seed_from or (-1, -1)
    refiner = next((step.refiner for step in request.passes if step.refiner), None)
    strength = (second or first).denoising_strength
    rows: tuple[tuple[str, str, Any], ...] = (  # key of the text, field, value
        ("Steps", "steps", first.steps),
        ("Sampler", "sampler_name", first.sampler),
        ("Sampler", "scheduler", first.schedule),
        ("CFG scale", "cfg_scale", first.guidance.scale),
        ("Image CFG scale", "image_cfg_scale", first.guidance.image_scale),
        ("Seed", "seed", request.seed),
        ("Size-1", "width", first.width),
        ("Size-2", "height", first.height),
        ("Denoising strength", "denoising_strength", strength),
        ("Variation seed", "subseed", request.variation_seed),
        ("Variation seed strength", "subseed_strength", request.variation_strength),
        ("Seed resize from-1", "seed_resize_from_w", width_height[0]),
        ("Seed resize from-2", "seed_resize_from_h", width_height[1]),
        ("Tiling", "tiling", request.tiling),
        ("Styles", "styles", list(request.styles)),
        ("Eta", "eta", options.eta),
        ("Eta DDIM", "eta", options.eta),
        ("Sigma churn", "s_churn", options.s_churn),
        ("Sigma tmin", "s_tmin", options.s_tmin),
        ("Sigma tmax", "s_tmax", options.s_tmax),
        ("Sigma noise", "s_noise", options.s_noise),
        ("NGMS", "s_min_uncond", first.guidance.minimum_sigma),
        ("Refiner", "refiner_checkpoint", refiner and refiner.checkpoint),
        ("Refiner", "refiner_switch_at", refiner and refiner.switch_at),
        ("Resize mode", "resize_mode", RESIZE_MODES.index(first.resize_mode)),
        ("Noise multiplier", "initial_noise_multiplier", first.noise_multiplier),
        ("Mask blur", "mask_blur_x", inpaint.mask_blur[0]),
        ("Mask blur", "mask_blur_y", inpaint.mask_blur[1]),
        ("Mask mode", "inpainting_mask_invert", int(inpaint.invert)),
        ("Masked content", "inpainting_fill", MASKED_CONTENTS.index(inpaint.masked_content)),
        ("Inpaint area", "inpaint_full_res", inpaint.area == "masked"),
        ("Masked area padding", "inpaint_full_res_padding", inpaint.padding),
        ("Mask rounding", "mask_round", inpaint.round_mask),
    )
    values = {field: value for key, field, value in rows if key in _said(there) and value is not None}
    return values | (_hires(first, second) if second else {})


def _said(there: Mapping[str, str]) -> set[str]:
    return {*there, *UNSAID} if there else set()


def _hires(first: Pass, second: Pass) -> dict[str, Any]:
    return {
        "enable_hr": True,
        "hr_resize_x": second.width,
        "hr_resize_y": second.height,
        "hr_upscaler": second.upscaler,
        "hr_second_pass_steps": second.steps if second.steps != first.steps else 0,
        "hr_sampler_name": second.sampler if second.sampler != first.sampler else None,
        "hr_scheduler": second.schedule if second.schedule != first.schedule else None,
        "hr_cfg": second.guidance.scale if second.guidance.scale != first.guidance.scale else None,
        "hr_checkpoint_name": second.checkpoint,
        "hr_prompt": second.prompt or "",
        "hr_negative_prompt": second.negative_prompt or "",
    }


def _settings(request: GenerationRequest, there: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Settings, by our names, that the text has or means values for, without files that are not here, as in A1111."""
    first, options = request.passes[0], request.passes[0].options
    rows: tuple[tuple[str, str, Any], ...] = (  # key of the text, setting, value
        ("Clip skip", "clip_skip", request.clip_skip),
        ("ENSD", "noise_seed_delta", options.noise_seed_delta),
        ("Emphasis", "emphasis", request.emphasis),
        ("Comma padding backtrack", "comma_backtrack", request.comma_backtrack),
        ("Schedule min sigma", "sigma_min", options.sigma_min),
        ("Schedule max sigma", "sigma_max", options.sigma_max),
        ("Schedule rho", "rho", options.rho),
        ("Discard penultimate sigma", "discard_penultimate", options.discard_penultimate),
        ("Skip Early CFG", "skip_early_cond", first.guidance.skip_early),
        ("Extra noise", "extra_noise", first.extra_noise),
        ("Conditional mask weight", "inpainting_mask_weight", first.inpaint.condition_weight),
        ("Color correction", "match_colours", first.match_colours),
    )
    values: dict[str, Any] = {name: value for key, name, value in rows if key in _said(there) and value is not None}
    if there:
        values["noise_source"] = request.noise_source
    if request.checkpoint:
        wanted = f"{request.checkpoint} [{there['Model hash']}]" if "Model hash" in there else request.checkpoint
        values |= _found("checkpoint", lambda: catalogue.find(wanted).name)
    if request.vae in ("Automatic", "None"):
        values |= {"vae": request.vae} if "VAE" in there else {}
    else:
        values |= _found("vae", lambda: catalogue.find_vae(request.vae).name)
    return values


def _found(name: str, find: Any) -> dict[str, str]:
    try:
        return {name: find()}
    except EmulsionError:
        return {}
