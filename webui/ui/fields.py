"""The fields of the studio and the request they stand for: one table, read in both directions. No gradio here."""

from __future__ import annotations

import functools
import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.errors import InvalidRequest
from webui.request import (
    AestheticGradients,
    GenerationRequest,
    Guidance,
    Pass,
    Refiner,
    SamplerOptions,
    SoftInpaint,
    Tiles,
    from_dict,
)
from webui.ui.reading import read_json

# field of the page -> (part of the request, name there). The part "page" is what steers how the others are used.
PLACES: Mapping[str, tuple[str, str]] = {
    "mode": ("page", "mode"),
    "prompt": ("request", "prompt"),
    "negative_prompt": ("request", "negative_prompt"),
    "styles": ("request", "styles"),
    "checkpoint": ("request", "checkpoint"),
    "vae": ("request", "vae"),
    "clip_skip": ("request", "clip_skip"),
    "sampler": ("pass", "sampler"),
    "schedule": ("pass", "schedule"),
    "steps": ("pass", "steps"),
    "width": ("pass", "width"),
    "height": ("pass", "height"),
    "guidance_scale": ("guidance", "scale"),
    "batch_size": ("request", "batch_size"),
    "count": ("request", "count"),
    "seed": ("request", "seed"),
    "source_image": ("source", "image"),
    "source_mask": ("source", "mask"),
    "denoising_strength": ("source", "denoising_strength"),
    "resize_mode": ("source", "resize_mode"),
    "image_upscaler": ("source", "upscaler"),
    "image_scale": ("guidance", "image_scale"),
    "mask_blur": ("page", "mask_blur"),
    "masked_content": ("inpaint", "masked_content"),
    "inpaint_area": ("inpaint", "area"),
    "padding": ("inpaint", "padding"),
    "invert_mask": ("inpaint", "invert"),
    "condition_weight": ("inpaint", "condition_weight"),
    "outpaint_left": ("outpaint", "left"),
    "outpaint_right": ("outpaint", "right"),
    "outpaint_up": ("outpaint", "up"),
    "outpaint_down": ("outpaint", "down"),
    "soft_inpaint": ("page", "soft_inpaint"),
    "schedule_bias": ("soft", "schedule_bias"),
    "preservation": ("soft", "preservation"),
    "contrast_boost": ("soft", "contrast_boost"),
    "mask_influence": ("soft", "mask_influence"),
    "difference_threshold": ("soft", "difference_threshold"),
    "difference_contrast": ("soft", "difference_contrast"),
    "tiled": ("page", "tiled"),
    "tile_size": ("tiles", "size"),
    "tile_overlap": ("tiles", "overlap"),
    "hires": ("page", "hires"),
    "hires_upscaler": ("hires", "upscaler"),
    "hires_scale": ("page", "hires_scale"),
    "hires_width": ("page", "hires_width"),
    "hires_height": ("page", "hires_height"),
    "hires_steps": ("page", "hires_steps"),
    "hires_strength": ("hires", "denoising_strength"),
    "hires_sampler": ("page", "hires_sampler"),
    "hires_schedule": ("page", "hires_schedule"),
    "hires_guidance_scale": ("page", "hires_guidance_scale"),
    "hires_prompt": ("hires", "prompt"),
    "hires_negative_prompt": ("hires", "negative_prompt"),
    "hires_checkpoint": ("hires", "checkpoint"),
    "refiner_checkpoint": ("page", "refiner_checkpoint"),
    "refiner_at": ("page", "refiner_at"),
    "variation_seed": ("request", "variation_seed"),
    "variation_strength": ("request", "variation_strength"),
    "resize_from_width": ("resize", "width"),
    "resize_from_height": ("resize", "height"),
    "guidance_rescale": ("guidance", "rescale"),
    "guidance_start": ("guidance", "start"),
    "guidance_end": ("guidance", "end"),
    "skip_early": ("guidance", "skip_early"),
    "minimum_sigma": ("guidance", "minimum_sigma"),
    "eta": ("options", "eta"),
    "noise_seed_delta": ("options", "noise_seed_delta"),
    "s_churn": ("options", "s_churn"),
    "s_tmin": ("options", "s_tmin"),
    "s_tmax": ("options", "s_tmax"),
    "s_noise": ("options", "s_noise"),
    "sigma_min": ("options", "sigma_min"),
    "sigma_max": ("options", "sigma_max"),
    "rho": ("options", "rho"),
    "discard_penultimate": ("options", "discard_penultimate"),
    "aesthetic_embedding": ("aesthetic", "embedding"),
    "aesthetic_weight": ("aesthetic", "weight"),
    "aesthetic_steps": ("aesthetic", "steps"),
    "aesthetic_rate": ("aesthetic", "learning_rate"),
    "aesthetic_text": ("aesthetic", "text"),
    "aesthetic_angle": ("aesthetic", "text_angle"),
    "aesthetic_slerp": ("aesthetic", "slerp"),
    "aesthetic_negative": ("aesthetic", "text_negative"),
    "emphasis": ("request", "emphasis"),
    "comma_backtrack": ("request", "comma_backtrack"),
    "noise_source": ("request", "noise_source"),
    "tiling": ("request", "tiling"),
    "extensions": ("request", "extensions"),
    "save": ("request", "save"),
}
NAMES = tuple(PLACES)
OUTPAINT = tuple(name for name, (part, _) in PLACES.items() if part == "outpaint")
# What a page's field cannot say; it takes its default in requests of the page.
WITHOUT_FIELD = {
    "request": ("resize_seed_from", "aesthetic", "passes", "version"),
    "pass": (
        *("source", "guidance", "options", "inpaint", "outpaint", "refiner", "tiles"),  # parts of their own
        *("images", "exact_steps", "noise_multiplier", "extra_noise", "match_colours", "colours_of", "background"),
    ),
    "guidance": (),
    "options": (),
    "inpaint": ("mask_blur", "from_alpha", "round_mask", "soft"),
    "soft": (),
    "outpaint": (),
    "tiles": (),
    "aesthetic": (),
}

PICTURE_MODES = ("img2img", "inpaint")  # tabs that start from a picture
USUAL_IMAGE_SCALE = 1.5  # of instruction-following checkpoints
AS_BEFORE = "Same"  # in menus of the second pass: as in the first
STRENGTHS = {"img2img": 0.75, "hires": 0.7}  # what A1111 starts with
MAY_BE_EMPTY = {
    *("checkpoint", "eta", "s_tmax", "sigma_min", "sigma_max", "rho", "discard_penultimate", "image_scale"),
    *("source_image", "source_mask", "hires_prompt", "hires_negative_prompt", "hires_checkpoint"),
    *("hires_width", "hires_height", "hires_steps", "hires_guidance_scale", "refiner_checkpoint"),
    "aesthetic_embedding",
}
WHOLE = {
    *("clip_skip", "steps", "width", "height", "batch_size", "count", "seed", "variation_seed"),
    *("resize_from_width", "resize_from_height", "noise_seed_delta", "comma_backtrack"),
    *("mask_blur", "padding", "outpaint_left", "outpaint_right", "outpaint_up", "outpaint_down"),
    *("tile_size", "tile_overlap", "hires_width", "hires_height", "hires_steps", "aesthetic_steps"),
}
EMPTY_TEXTS = {  # texts whose default is None
    *("checkpoint", "source_image", "source_mask", "hires_prompt", "hires_negative_prompt", "hires_checkpoint"),
    *("refiner_checkpoint", "aesthetic_embedding"),
}
LARGEST = 2.0**64  # of a number in any field
MODES = ("txt2img", *PICTURE_MODES, "hires")
SEEDS = ("seed", "variation_seed")  # text fields, as a browser's numbers are exact to 2^53 only
DISCARD = {"default": None, "always": True, "never": False}


@dataclass(frozen=True)
class _Parts:
    """The values of a filled page, sorted by the part of the request that they belong to."""

    request: dict[str, Any]
    first: dict[str, Any]  # the first pass, with its guidance and options
    source: dict[str, Any]
    inpaint: dict[str, Any]
    soft: dict[str, Any]
    outpaint: dict[str, Any]
    tiles: dict[str, Any]
    hires: dict[str, Any]
    page: dict[str, Any]


def request_from_values(values: Sequence[Any]) -> GenerationRequest:
    """The request of a filled page; `values` in the order of NAMES. Raises InvalidRequest naming the field."""
    parts: dict[str, dict[str, Any]] = {part: {} for part, _ in PLACES.values()}
    check_kinds(dict(zip(NAMES, values, strict=True)))
    for name, value in zip(NAMES, values, strict=True):
        part, attribute = PLACES[name]
        parts[part][attribute] = _to_request(name, value)
    size = (parts["resize"]["width"], parts["resize"]["height"])
    if any(size) and not all(size):
        raise InvalidRequest(
            f"The size to take the seed's composition from is {size[0]} × {size[1]}.", "Both sides, or 0 for both."
        )
    first = {**parts["pass"], "guidance": parts["guidance"], "options": parts["options"]}
    others = ("request", "source", "inpaint", "soft", "outpaint", "tiles", "hires", "page")
    given = _Parts(first=first, **{name: parts[name] for name in others})
    whole = {**given.request, "resize_seed_from": size if all(size) else None, "passes": _passes(given)}
    whole["aesthetic"] = parts["aesthetic"] if parts["aesthetic"]["embedding"] else None
    return from_dict(whole)


def _passes(given: _Parts) -> list[dict[str, Any]]:
    """The passes of a page. The mode "hires" enlarges a finished picture: its first pass only reads it."""
    mode, page = given.page["mode"], given.page
    first = dict(given.first)
    if mode in PICTURE_MODES or mode == "hires":
        if not given.source["image"]:
            raise InvalidRequest("There is no picture to start from.", "", "Drop one on the canvas, or choose a file.")
        first |= {"source": "image", **given.source}
        if first["guidance"]["image_scale"] is None:  # what other checkpoints leave out
            first["guidance"] = {**first["guidance"], "image_scale": USUAL_IMAGE_SCALE}
    if mode == "hires":
        first |= {"mask": None, "denoising_strength": 0.0, "resize_mode": "stretch"}
    elif mode == "inpaint":
        first |= _inpainting(given)
    elif mode == "img2img":
        first["mask"] = None
    else:
        first["guidance"] = {**first["guidance"], "image_scale": None}
    if page["refiner_checkpoint"]:
        first["refiner"] = {"checkpoint": page["refiner_checkpoint"], "switch_at": page["refiner_at"]}
    if mode in PICTURE_MODES and page["tiled"]:
        first["tiles"] = given.tiles
    if mode == "hires" or (mode == "txt2img" and page["hires"]):
        return [first, _second(given, first)]
    return [first]


def _inpainting(given: _Parts) -> dict[str, Any]:
    if not given.source["mask"] and not any(given.outpaint.values()):
        remedy = "Paint over what is to be made anew, or give pixels to grow by."
        if given.inpaint["invert"]:
            remedy = "The mask is inverted: paint over what is to stay."
        raise InvalidRequest("Nothing of the picture is marked.", "", remedy)
    blur = given.page["mask_blur"]
    soft = given.soft if given.page["soft_inpaint"] else None
    return {"inpaint": {**given.inpaint, "mask_blur": (blur, blur), "soft": soft}, "outpaint": given.outpaint}


def _second(given: _Parts, first: Mapping[str, Any]) -> dict[str, Any]:
    """The pass that enlarges the first one's picture; what it does not say is as in the first."""
    page = given.page
    width, height = hires_size((first["width"], first["height"]), page)
    scale = page["hires_guidance_scale"] or first["guidance"]["scale"]
    return {
        **given.hires,
        "options": first["options"],
        "source": "previous",
        "width": width,
        "height": height,
        "steps": page["hires_steps"] or first["steps"],
        "sampler": first["sampler"] if page["hires_sampler"] in (None, AS_BEFORE) else page["hires_sampler"],
        "schedule": first["schedule"] if page["hires_schedule"] in (None, AS_BEFORE) else page["hires_schedule"],
        "guidance": {**first["guidance"], "scale": scale},
    }


def hires_size(size: tuple[int, int], page: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the second pass: by the factor, or as given; one side alone keeps the proportions."""
    width, height = page["hires_width"], page["hires_height"]
    if width and height:
        return width, height
    if width or height:
        scale = width / max(1, size[0]) if width else height / max(1, size[1])
    else:
        scale = page["hires_scale"]
    return round(size[0] * scale), round(size[1] * scale)


def values_from_request(request: GenerationRequest) -> dict[str, Any]:
    """What the page's fields show for a request, by name. Pictures are not shown again by it."""
    first = request.passes[0]
    second = next((step for step in request.passes[1:] if step.source == "previous"), None)
    width, height = request.resize_seed_from or (0, 0)
    values: dict[str, Any] = {"resize_from_width": width, "resize_from_height": height} | _page_values(first, second)
    changed = first.source == "image" and not (second and first.denoising_strength == 0)  # not only read and enlarged
    strength = first.denoising_strength if changed else STRENGTHS["img2img"]
    owners: dict[str, Any] = {
        "request": request,
        "pass": first,
        "source": {"image": "", "mask": "", "denoising_strength": strength, "resize_mode": first.resize_mode},
        "guidance": first.guidance,
        "options": first.options,
        "inpaint": first.inpaint,
        "soft": first.inpaint.soft or SoftInpaint(),
        "outpaint": first.outpaint,
        "tiles": first.tiles or Tiles(),
        "aesthetic": request.aesthetic or AestheticGradients(),
        "hires": second or Pass(denoising_strength=STRENGTHS["hires"]),
    }
    owners["source"]["upscaler"] = first.upscaler if first.source == "image" else "Lanczos"
    for name, (part, attribute) in PLACES.items():
        if part in ("resize", "page"):
            continue
        owner = owners[part]
        values[name] = _to_page(name, owner[attribute] if isinstance(owner, dict) else getattr(owner, attribute))
    return {name: values[name] for name in NAMES}


def _page_values(first: Pass, second: Pass | None) -> dict[str, Any]:
    refiner = first.refiner or Refiner("")
    values: dict[str, Any] = {
        "mode": "txt2img" if first.source != "image" else "inpaint" if first.masked or first.mask else "img2img",
        "mask_blur": max(first.inpaint.mask_blur),
        "soft_inpaint": first.inpaint.soft is not None,
        "tiled": first.tiles is not None,
        "refiner_checkpoint": refiner.checkpoint,
        "refiner_at": refiner.switch_at,
        "hires": second is not None,
        "hires_scale": 2.0,
        "hires_width": None,
        "hires_height": None,
        "hires_steps": None,
        "hires_sampler": AS_BEFORE,
        "hires_schedule": AS_BEFORE,
        "hires_guidance_scale": None,
    }
    if second is None:
        return values
    scale = round(second.width / first.width, 2)
    if hires_size((first.width, first.height), {**values, "hires_scale": scale}) == (second.width, second.height):
        values["hires_scale"] = scale
    else:
        values |= {"hires_width": second.width, "hires_height": second.height}
    for name in ("steps", "sampler", "schedule"):
        if getattr(second, name) != getattr(first, name):
            values[f"hires_{name}"] = getattr(second, name)
    if second.guidance.scale != first.guidance.scale:
        values["hires_guidance_scale"] = second.guidance.scale
    return values


def default_values() -> dict[str, Any]:
    """What the fields show before anybody has touched them."""
    return values_from_request(GenerationRequest(passes=(Pass(guidance=Guidance(), options=SamplerOptions()),)))


def check_kinds(values: Mapping[str, Any]) -> None:
    """Raise InvalidRequest where a field holds another kind of value: Gradio's clients may send anything."""
    for name, value in values.items():
        if not _is_of_kind(name, value) or (name == "mode" and value not in MODES):
            raise InvalidRequest(f"{_shown(name)} is {reprlib.repr(value)}.", "The page sends other values.")


@functools.cache
def _usual() -> dict[str, Any]:
    return default_values()


def _is_of_kind(name: str, value: Any) -> bool:
    usual = _usual()[name]
    if value is None or name in SEEDS:
        return True  # what may not be empty is refused where it is read
    if name in EMPTY_TEXTS or isinstance(usual, str):
        return isinstance(value, str)
    if isinstance(usual, list):
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if isinstance(usual, bool):
        return isinstance(value, bool)
    return value == "" or (isinstance(value, int | float) and abs(value) <= LARGEST)  # no NaN


def _to_page(name: str, value: Any) -> Any:
    if name in SEEDS:
        return str(value)
    if name == "discard_penultimate":
        return next(key for key, meaning in DISCARD.items() if meaning is value)
    if name == "styles":
        return list(value)
    if name == "extensions":
        return json.dumps(value, ensure_ascii=False) if value else ""
    return "" if value is None and name in ("hires_prompt", "hires_negative_prompt", "hires_checkpoint") else value


def _to_request(name: str, value: Any) -> Any:
    if name == "discard_penultimate":
        return DISCARD.get(value)
    if name in SEEDS:
        return _seed(name, value)
    if name == "styles":
        return list(value or ())
    if name == "extensions":
        return read_json(value or "{}")
    if value is None or value == "":
        if name in MAY_BE_EMPTY:
            return None
        if isinstance(value, str):
            return value
        raise InvalidRequest(f"{_shown(name)} is empty.", "A number was wanted.")
    if name in WHOLE and isinstance(value, float) and not value.is_integer():
        raise InvalidRequest(f"{_shown(name)} is {value:g}.", "A whole number was wanted.")
    return int(value) if name in WHOLE else value


def _seed(name: str, value: Any) -> int:
    digits = str("" if value is None else value).strip() or "-1"
    try:
        return int(digits)
    except ValueError:
        raise InvalidRequest(f"{_shown(name)} is {digits[:40]!r}.", "A whole number, or -1 for a random one.") from None


def _shown(name: str) -> str:
    return name.replace("_", " ").capitalize()
