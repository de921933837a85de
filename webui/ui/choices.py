"""What the menus offer: names from the service, with translated labels where a name is a word. No gradio here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webui.engine.catalogue import CheckpointFile
from webui.errors import EmulsionError
from webui.request import LATENT_UPSCALERS, MASKED_CONTENTS, RESIZE_MODES
from webui.settings import Settings
from webui.ui.fields import AS_BEFORE, DISCARD, default_values
from webui.ui.language import text
from webui.workers.service import JobService

Choices = list[tuple[str, Any]]  # label shown, value

EMPHASIS = {"None": "none", "Ignore": "ignore", "Original": "original", "No norm": "no_norm"}
NOISE = {"CPU": "cpu", "CUDA": "cuda"}
DEFAULT_NATIVE = 512
_EMPTY_IS_NONE = ("s_tmax", "sigma_min", "sigma_max", "rho")  # settings say 0 where a request says nothing


@dataclass(frozen=True)
class Facts:
    """What the page knows about the chosen checkpoint; `problem` tells why it cannot be used."""

    native_size: int | None = None
    problem: str | None = None
    defaults: Any = None  # families.base.Defaults
    concepts: tuple[str, ...] = ()  # all that it can draw, where it says so


def menus(service: JobService, language: str, timeout: float = 0.0) -> dict[str, Choices]:
    """The choices of every menu by field name. `timeout`: how long to wait for the worker's first list of names."""
    automatic = text(language, "choice.automatic")
    vaes = [(file.title, file.name) for file in service.vaes()]
    return {
        "checkpoint": [(file.title, file.name) for file in service.checkpoints()],
        "vae": [(automatic, "Automatic"), (text(language, "choice.vae_none"), "None"), *vaes],
        "sampler": [(name, name) for name in _names(service, "samplers", timeout)] or [("Euler a", "Euler a")],
        "schedule": [
            (automatic if name == "Automatic" else name, name)
            for name in _names(service, "schedules", timeout) or ["Automatic"]
        ],
        **_of_pictures(service, language),
        **_of_second_pass(service, language, timeout),
        "aesthetic_embedding": _files(service, "aesthetic_embeddings", text(language, "choice.no_aesthetic")),
        "discard_penultimate": [(text(language, f"choice.discard.{name}"), name) for name in DISCARD],
        "emphasis": [(text(language, f"choice.emphasis.{key}"), name) for name, key in EMPHASIS.items()],
        "noise_source": [(text(language, f"choice.noise.{key}"), name) for name, key in NOISE.items()],
    }


def _of_pictures(service: JobService, language: str) -> dict[str, Choices]:
    """Styles, and the menus for source pictures."""
    return {
        "styles": [(name, name) for name in _styles(service)],
        "resize_mode": [(text(language, f"choice.resize.{name}"), name) for name in RESIZE_MODES],
        "masked_content": [
            (text(language, f"choice.masked.{name.replace(' ', '_')}"), name) for name in MASKED_CONTENTS
        ],
        "inpaint_area": [(text(language, f"choice.area.{name}"), name) for name in ("whole", "masked")],
        "image_upscaler": [(name, name) for name in service.upscalers()],
    }


def _files(service: JobService, kind: str, none: str) -> Choices:
    """Files of a kind, behind the choice of none of them."""
    found = service.catalogue.files(kind) if service.catalogue else []
    return [(none, ""), *((file.name, file.name) for file in found)]


def _styles(service: JobService) -> list[str]:
    try:
        return list(service.catalogue.styles()) if service.catalogue else []
    except EmulsionError:
        return []  # a damaged file must not keep the page from opening; the dialog of the styles tells of it


def _of_second_pass(service: JobService, language: str, timeout: float) -> dict[str, Choices]:
    """The menus of hires fix and refiner, whose first entry leaves things as they are."""
    same = (text(language, "choice.same"), AS_BEFORE)
    schedules = _names(service, "schedules", timeout)
    checkpoints: list[tuple[str, Any]] = [(file.title, file.name) for file in service.checkpoints()]
    return {
        "hires_upscaler": [(name, name) for name in (*LATENT_UPSCALERS, *service.upscalers())],
        "hires_sampler": [same, *((name, name) for name in _names(service, "samplers", timeout))],
        "hires_schedule": [same, *((name, name) for name in schedules)],
        "hires_checkpoint": [(text(language, "choice.same"), ""), *checkpoints],
        "refiner_checkpoint": [(text(language, "choice.no_refiner"), ""), *checkpoints],
    }


def _names(service: JobService, kind: str, timeout: float) -> list[str]:
    return [str(entry["name"]) for entry in service.names(kind, timeout)]


def chosen(service: JobService, name: str | None) -> CheckpointFile | None:
    """The checkpoint of a name, None for one that is not there, or that is no name."""
    if service.catalogue is None or not isinstance(name, str | None):
        return None
    try:
        return service.catalogue.find(name)
    except EmulsionError:
        return None


def facts(service: JobService, name: str | None) -> Facts:
    """The native size of a checkpoint from its header, or why there is none."""
    file = chosen(service, name)
    if service.catalogue is None or file is None:
        return Facts()
    try:
        found = service.catalogue.facts(file)
    except EmulsionError as error:
        return Facts(problem=str(error))
    return Facts(found.native_size, None, found.defaults, found.concepts)


def starting_values(service: JobService, settings: Settings) -> dict[str, Any]:
    """What the fields show when the page opens: the user's settings, and the habits of the chosen checkpoint."""
    values = default_values()
    file = chosen(service, settings["checkpoint"] or None) or chosen(service, None)
    values["checkpoint"] = file.name if file else None
    known = facts(service, values["checkpoint"])
    values["width"] = values["height"] = known.native_size or DEFAULT_NATIVE
    if known.defaults is not None:
        habits = known.defaults
        values |= {"steps": habits.steps, "sampler": habits.sampler, "schedule": habits.schedule}
        values |= {"guidance_scale": habits.guidance_scale, "guidance_rescale": habits.guidance_rescale}
    for name in ("vae", "clip_skip", "emphasis", "comma_backtrack", "noise_source", "noise_seed_delta"):
        values[name] = settings[name]
    for name in ("s_churn", "s_tmin", "s_noise"):
        values[name] = settings[name]
    for name in _EMPTY_IS_NONE:
        values[name] = settings[name] or None
    values["skip_early"] = settings["skip_early_cond"]
    values["minimum_sigma"] = settings["s_min_uncond"]
    values["discard_penultimate"] = "always" if settings["discard_penultimate"] else "default"
    values["save"] = settings["save_pictures"]
    return values
