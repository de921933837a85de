"""From the fields of txt2img and img2img to the GenerationRequest that they stand for."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from fastapi import HTTPException

from webui.api.fields import GenerationFields, ImageToImageFields, TextToImageFields
from webui.api.names import Names, sampler_and_schedule
from webui.engine.catalogue import Catalogue
from webui.errors import InvalidRequest, NotFound
from webui.request import (
    MASKED_CONTENTS,
    RESIZE_MODES,
    GenerationRequest,
    Inpaint,
    Outpaint,
    Pass,
    Refiner,
    SamplerOptions,
)
from webui.settings import Settings, job_options

HIRES_STRENGTH = 0.75  # A1111's, where the field is not given
SAME = (None, "", "Use same sampler", "Use same scheduler", "Use same checkpoint")
NO_FILE = (None, "", "None")
_NETWORKS = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)


def effective_settings(fields: GenerationFields, settings: Settings, catalogue: Catalogue) -> Settings:
    """The settings of this job: the user's with `override_settings` on top.

    Names that are no settings here, or are about the server, are ignored, and so is a checkpoint that does not exist,
    as in A1111.
    Raises SettingsError for a value that does not fit.
    """
    known = job_options(fields.override_settings)
    changed = settings.changed({name: value for name, value in known.items() if value is not None})
    if changed["checkpoint"] != settings["checkpoint"]:
        try:
            catalogue.find(changed["checkpoint"] or None)
        except NotFound:
            changed = changed.changed({"checkpoint": settings["checkpoint"]})
    return changed


def make_request(
    fields: GenerationFields, settings: Settings, samplers: Names, schedules: Names, base: GenerationRequest
) -> GenerationRequest:
    """The request of either kind of fields, whose pictures are base64 already.

    `base` is what an infotext said; of it counts what fields cannot say. Raises HTTPException 400 for an unknown
    sampler and 404 without a picture in img2img, InvalidRequest (422) for what this version cannot do: to leave it
    out silently would give another picture than was asked for.
    """
    _refuse(fields)
    first = _first_pass(fields, settings, samplers, schedules, base.passes[0])
    batch_size = fields.batch_size
    if isinstance(fields, ImageToImageFields):
        first = _from_image(first, fields, settings, base.passes[0])
        batch_size = len(first.sources) if len(first.sources) > 1 else batch_size
        passes: tuple[Pass, ...] = (_with_refiner(first, fields),)
    elif isinstance(fields, TextToImageFields) and fields.enable_hr:
        passes = _hires(first, fields, settings, samplers, schedules)
    else:
        passes = (_with_refiner(first, fields),)
    resize = fields.seed_resize_from_w, fields.seed_resize_from_h
    return GenerationRequest(
        prompt=_NETWORKS.sub("", fields.prompt) if fields.disable_extra_networks else fields.prompt,
        negative_prompt=fields.negative_prompt,
        styles=tuple(fields.styles),
        checkpoint=settings["checkpoint"] or None,
        vae=settings["vae"],
        clip_skip=settings["clip_skip"],
        seed=fields.seed if fields.seed >= 0 else -1,
        variation_seed=fields.subseed if fields.subseed >= 0 else -1,
        variation_strength=fields.subseed_strength,
        resize_seed_from=resize if min(resize) > 0 else None,
        noise_source=settings["noise_source"],
        batch_size=batch_size,
        count=fields.n_iter,
        emphasis=settings["emphasis"],
        comma_backtrack=settings["comma_backtrack"],
        tiling=bool(fields.tiling),
        aesthetic=base.aesthetic,
        passes=passes,
        extensions=base.extensions,
        save=fields.save_images and settings["save_pictures"],
    )


def _first_pass(fields: GenerationFields, settings: Settings, samplers: Names, schedules: Names, base: Pass) -> Pass:
    def choose(name: str) -> float:
        value = getattr(fields, name)
        return float(settings[name] if value is None else value)

    sampler, schedule = sampler_and_schedule(
        fields.sampler_name or fields.sampler_index, fields.scheduler, samplers, schedules
    )
    eta = fields.eta
    if eta is None:  # the sampler's own default unless the user chose another
        option = "eta_ddim" if sampler.casefold().startswith(("ddim", "plms")) else "eta_ancestral"
        eta = settings.values.get(option)
    guidance = dataclasses.replace(
        base.guidance,
        scale=fields.cfg_scale,
        skip_early=settings["skip_early_cond"],
        minimum_sigma=choose("s_min_uncond"),
        image_scale=fields.image_cfg_scale if isinstance(fields, ImageToImageFields) else None,
    )
    return Pass(
        width=fields.width,
        height=fields.height,
        sampler=sampler,
        schedule=schedule,
        steps=fields.steps,
        guidance=guidance,
        tiles=base.tiles,
        options=SamplerOptions(
            eta=eta,
            s_churn=choose("s_churn"),
            s_tmin=choose("s_tmin"),
            s_tmax=choose("s_tmax") or None,  # A1111's 0: no upper bound
            s_noise=choose("s_noise"),
            sigma_min=settings["sigma_min"] or None,
            sigma_max=settings["sigma_max"] or None,
            rho=settings["rho"] or None,
            discard_penultimate=settings["discard_penultimate"] or None,
            noise_seed_delta=settings["noise_seed_delta"],
        ),
    )


# Hires fix and refiner -------------------------------------------------------------------------------------------


def _hires(
    first: Pass, fields: TextToImageFields, settings: Settings, samplers: Names, schedules: Names
) -> tuple[Pass, Pass]:
    """Both passes of hires fix. The refiner belongs to the second, as A1111 has it unless told otherwise."""
    first, (width, height) = _hires_sizes(first, fields)
    sampler, schedule = first.sampler, first.schedule
    if fields.hr_sampler_name not in SAME:
        sampler, schedule = sampler_and_schedule(str(fields.hr_sampler_name), schedule, samplers, schedules)
    if fields.hr_scheduler not in SAME:
        sampler, schedule = sampler_and_schedule(sampler, fields.hr_scheduler, samplers, schedules)
    strength = HIRES_STRENGTH if fields.denoising_strength is None else fields.denoising_strength
    second = dataclasses.replace(
        first,
        source="previous",
        width=width,
        height=height,
        sampler=sampler,
        schedule=schedule,
        steps=fields.hr_second_pass_steps or first.steps,
        guidance=dataclasses.replace(first.guidance, scale=fields.hr_cfg or first.guidance.scale),
        denoising_strength=strength,
        upscaler=fields.hr_upscaler or "Latent",
        extra_noise=settings["extra_noise"],
        prompt=fields.hr_prompt or None,
        negative_prompt=fields.hr_negative_prompt or None,
        checkpoint=None if fields.hr_checkpoint_name in SAME else fields.hr_checkpoint_name,
    )
    if fields.firstpass_image:  # a finished picture takes the place of the first pass
        first = dataclasses.replace(first, source="image", image=fields.firstpass_image, denoising_strength=0.0)
    return first, _with_refiner(second, fields)


def _hires_sizes(first: Pass, fields: TextToImageFields) -> tuple[Pass, tuple[int, int]]:
    """The first pass in its size, and the size of the second. `firstphase_…` is the older way to say it: then the
    plain width and height are those of the second."""
    width, height = first.width, first.height
    phase = fields.firstphase_width, fields.firstphase_height
    if any(phase):
        small = (
            phase[0] or round(phase[1] * width / max(1, height)),
            phase[1] or round(phase[0] * height / max(1, width)),
        )
        return dataclasses.replace(first, width=small[0], height=small[1]), (width, height)
    to_width, to_height = fields.hr_resize_x, fields.hr_resize_y
    if not to_width and not to_height:
        return first, (int(width * fields.hr_scale), int(height * fields.hr_scale))
    return first, (to_width or to_height * width // max(1, height), to_height or to_width * height // max(1, width))


def _with_refiner(step: Pass, fields: GenerationFields) -> Pass:
    if fields.refiner_checkpoint in NO_FILE:
        return step
    switch_at = Refiner.switch_at if fields.refiner_switch_at is None else fields.refiner_switch_at
    refiner = Refiner(str(fields.refiner_checkpoint), min(1.0, max(0.0, switch_at)))
    return dataclasses.replace(step, refiner=refiner)


# Pictures to start from ------------------------------------------------------------------------------------------


def _from_image(first: Pass, fields: ImageToImageFields, settings: Settings, base: Pass) -> Pass:
    if not fields.init_images:
        raise HTTPException(404, "Init image not found")
    multiplier = fields.initial_noise_multiplier
    return dataclasses.replace(
        first,
        source="image",
        image=fields.init_images[0],
        images=tuple(fields.init_images[1:]),
        mask=fields.mask or None,
        denoising_strength=0.75 if fields.denoising_strength is None else fields.denoising_strength,
        resize_mode=_choice("resize_mode", fields.resize_mode, RESIZE_MODES),
        exact_steps=settings["exact_steps"],
        noise_multiplier=settings["noise_multiplier"] if multiplier is None else multiplier,
        extra_noise=settings["extra_noise"],
        match_colours=settings["match_colours"],
        background=settings["background"],
        inpaint=_inpaint(fields, settings, base),
        outpaint=base.outpaint,
    )


def _inpaint(fields: ImageToImageFields, settings: Settings, base: Pass) -> Inpaint:
    plain = Inpaint(condition_weight=settings["inpainting_mask_weight"])
    if not fields.mask and base.outpaint == Outpaint():
        return plain
    blur = (fields.mask_blur_x, fields.mask_blur_y) if fields.mask_blur is None else (fields.mask_blur,) * 2
    return dataclasses.replace(
        plain,
        mask_blur=blur,
        invert=bool(fields.inpainting_mask_invert),
        masked_content=_choice("inpainting_fill", fields.inpainting_fill, MASKED_CONTENTS),
        area="masked" if fields.inpaint_full_res else "whole",
        padding=fields.inpaint_full_res_padding,
        round_mask=fields.mask_round,
        soft=base.inpaint.soft,
    )


def _choice(name: str, number: int, choices: tuple[str, ...]) -> str:
    if not 0 <= number < len(choices):
        known = ", ".join(f"{index} ({choice})" for index, choice in enumerate(choices))
        raise InvalidRequest(f"{name} is {number}.", f"Known: {known}.")
    return choices[number]


def _refuse(fields: GenerationFields) -> None:
    missing: dict[str, Any] = {
        "restore_faces": fields.restore_faces,
        "latent_mask": isinstance(fields, ImageToImageFields) and fields.latent_mask,
    }
    for name, asked in missing.items():
        if asked:
            raise InvalidRequest(f"This version cannot do what {name} asks for.", remedy="Send the request without it.")
