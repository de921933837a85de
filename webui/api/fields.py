"""The body of POST /sdapi/v1/txt2img in A1111's words, and the GenerationRequest that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, model_validator

from webui.engine.catalogue import Catalogue
from webui.errors import InvalidRequest, NotFound
from webui.request import GenerationRequest, Guidance, Pass, SamplerOptions
from webui.settings import Settings, known_options

Names = Sequence[Mapping[str, Any]]


class GenerationFields(BaseModel):
    """Fields that txt2img and img2img share. Unknown ones are ignored and null means the default, as clients expect."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] = []
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    sampler_index: str = "Euler"
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] = {}
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: str | None = None
    comments: dict[str, Any] | None = None
    script_name: str | None = None
    script_args: list[Any] = []
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: dict[str, Any] = {}
    force_task_id: str | None = None
    infotext: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class TextToImageFields(GenerationFields):
    """Fields of txt2img alone."""

    enable_hr: bool = False
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""


def effective_settings(fields: GenerationFields, settings: Settings, catalogue: Catalogue) -> Settings:
    """The settings of this job: the user's with `override_settings` on top.

    Names that are no settings here are ignored, and so is a checkpoint that does not exist, as in A1111.
    Raises SettingsError for a value that does not fit.
    """
    known, _ = known_options(fields.override_settings)
    changed = settings.changed({name: value for name, value in known.items() if value is not None})
    if changed["checkpoint"] != settings["checkpoint"]:
        try:
            catalogue.find(changed["checkpoint"] or None)
        except NotFound:
            changed = changed.changed({"checkpoint": settings["checkpoint"]})
    return changed


def text_to_image(
    fields: TextToImageFields, settings: Settings, samplers: Names, schedules: Names
) -> GenerationRequest:
    """The request that the fields stand for. Raises HTTPException 400 for an unknown sampler, InvalidRequest (422)
    for what this version cannot do: to leave it out silently would give another picture than was asked for."""
    _refuse_missing_features(fields)
    sampler, schedule = sampler_and_schedule(
        fields.sampler_name or fields.sampler_index, fields.scheduler, samplers, schedules
    )
    resize = fields.seed_resize_from_w, fields.seed_resize_from_h
    return GenerationRequest(
        prompt=fields.prompt,
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
        batch_size=fields.batch_size,
        count=fields.n_iter,
        emphasis=settings["emphasis"],
        comma_backtrack=settings["comma_backtrack"],
        tiling=bool(fields.tiling),
        passes=(_first_pass(fields, settings, sampler, schedule),),
        save=fields.save_images and settings["save_pictures"],
    )


def _first_pass(fields: GenerationFields, settings: Settings, sampler: str, schedule: str) -> Pass:
    def choose(name: str) -> float:
        value = getattr(fields, name)
        return settings[name] if value is None else value

    eta = fields.eta
    if eta is None:  # the sampler's own default unless the user chose another
        option = "eta_ddim" if sampler.casefold().startswith(("ddim", "plms")) else "eta_ancestral"
        eta = settings.values.get(option)
    return Pass(
        width=fields.width,
        height=fields.height,
        sampler=sampler,
        schedule=schedule,
        steps=fields.steps,
        guidance=Guidance(
            scale=fields.cfg_scale,
            skip_early=settings["skip_early_cond"],
            minimum_sigma=choose("s_min_uncond"),
        ),
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


def sampler_and_schedule(sampler: str, schedule: str | None, samplers: Names, schedules: Names) -> tuple[str, str]:
    """Names of ours for what a client calls them, old joined ones ("DPM++ 2M Karras") included.

    An unknown schedule means Automatic; an unknown sampler is a 400.
    """
    found = _find(sampler, samplers)
    if found is None:
        for entry in schedules:
            for spelling in _spellings(entry):
                if sampler.casefold().endswith(f" {spelling.casefold()}"):
                    found = found or _find(sampler[: -len(spelling) - 1], samplers)
                    schedule = schedule if schedule and _find(schedule, schedules) else entry["name"]
            if found:
                break
    if found is None:
        raise HTTPException(400, "Sampler not found")
    known = _find(schedule, schedules) if schedule else None
    if known is None:
        return found["name"], "Automatic"
    joined = (
        _find(sampler, samplers) is None
    )  # "DPM++ 2M Karras": where that is the sampler's own, A1111 says Automatic
    is_usual = found["facts"].get("default_schedule") == known["name"]
    return found["name"], "Automatic" if joined and is_usual else known["name"]


def _find(name: str, entries: Names) -> Mapping[str, Any] | None:
    wanted = name.casefold()
    for entry in entries:
        if wanted in (spelling.casefold() for spelling in _spellings(entry)):
            return entry
    return None


def _spellings(entry: Mapping[str, Any]) -> list[str]:
    return [entry["name"], *entry["aliases"], *filter(None, [entry["facts"].get("name")])]


def _refuse_missing_features(fields: TextToImageFields) -> None:
    if fields.script_name:
        raise InvalidRequest(f"Script {fields.script_name!r} not found.")
    for title in fields.alwayson_scripts:
        raise InvalidRequest(f"Always on script {title!r} not found.")
    missing = {
        "enable_hr": fields.enable_hr,
        "restore_faces": bool(fields.restore_faces),
        "refiner_checkpoint": fields.refiner_checkpoint not in (None, "", "None"),
        "firstpass_image": bool(fields.firstpass_image),
        "infotext": bool(fields.infotext),
    }
    for name, asked in missing.items():
        if asked:
            raise InvalidRequest(f"This version cannot do what {name} asks for.", remedy="Send the request without it.")
