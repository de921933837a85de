"""The fields of the txt2img tab and the request they stand for: one table, read in both directions. No gradio here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webui.errors import InvalidRequest
from webui.request import GenerationRequest, Guidance, Pass, SamplerOptions, from_dict

# field of the page -> (part of the request, name there)
PLACES: Mapping[str, tuple[str, str]] = {
    "prompt": ("request", "prompt"),
    "negative_prompt": ("request", "negative_prompt"),
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
    "emphasis": ("request", "emphasis"),
    "comma_backtrack": ("request", "comma_backtrack"),
    "noise_source": ("request", "noise_source"),
    "tiling": ("request", "tiling"),
    "save": ("request", "save"),
}
NAMES = tuple(PLACES)
# Parts of the request that the page has no field for yet; they pass through a filled page untouched.
WITHOUT_FIELD = {
    "request": ("styles", "resize_seed_from", "passes", "extensions", "version"),
    "pass": (
        *("source", "guidance", "options", "denoising_strength", "image", "mask", "images", "resize_mode", "upscaler"),
        *("exact_steps", "noise_multiplier", "extra_noise", "match_colours", "background", "inpaint", "outpaint"),
        *("prompt", "negative_prompt", "checkpoint", "refiner", "tiles"),
    ),
    "guidance": ("image_scale",),
    "options": (),
}

MAY_BE_EMPTY = {"checkpoint", "eta", "s_tmax", "sigma_min", "sigma_max", "rho", "discard_penultimate"}
WHOLE = {
    *("clip_skip", "steps", "width", "height", "batch_size", "count", "seed", "variation_seed"),
    *("resize_from_width", "resize_from_height", "noise_seed_delta", "comma_backtrack"),
}
SEEDS = ("seed", "variation_seed")  # text fields, as a browser's numbers are exact to 2^53 only
DISCARD = {"default": None, "always": True, "never": False}


def request_from_values(values: Sequence[Any]) -> GenerationRequest:
    """The request of a filled page; `values` in the order of NAMES. Raises InvalidRequest naming the field."""
    parts: dict[str, dict[str, Any]] = {"request": {}, "pass": {}, "guidance": {}, "options": {}, "resize": {}}
    for name, value in zip(NAMES, values, strict=True):
        part, attribute = PLACES[name]
        parts[part][attribute] = _to_request(name, value)
    size = (parts["resize"]["width"], parts["resize"]["height"])
    if any(size) and not all(size):
        raise InvalidRequest(
            f"The size to take the seed's composition from is {size[0]} × {size[1]}.", "Both sides, or 0 for both."
        )
    one_pass = {**parts["pass"], "guidance": parts["guidance"], "options": parts["options"]}
    return from_dict({**parts["request"], "resize_seed_from": size if all(size) else None, "passes": (one_pass,)})


def values_from_request(request: GenerationRequest) -> dict[str, Any]:
    """What the page's fields show for a request, by name."""
    first = request.passes[0]
    width, height = request.resize_seed_from or (0, 0)
    owners = {
        "request": request,
        "pass": first,
        "guidance": first.guidance,
        "options": first.options,
    }
    values: dict[str, Any] = {"resize_from_width": width, "resize_from_height": height}
    for name, (part, attribute) in PLACES.items():
        if part != "resize":
            values[name] = _to_page(name, getattr(owners[part], attribute))
    return {name: values[name] for name in NAMES}


def default_values() -> dict[str, Any]:
    """What the fields show before anybody has touched them."""
    return values_from_request(GenerationRequest(passes=(Pass(guidance=Guidance(), options=SamplerOptions()),)))


def _to_page(name: str, value: Any) -> Any:
    if name in SEEDS:
        return str(value)
    if name == "discard_penultimate":
        return next(key for key, meaning in DISCARD.items() if meaning is value)
    return value


def _to_request(name: str, value: Any) -> Any:
    if name == "discard_penultimate":
        return DISCARD.get(value)
    if name in SEEDS:
        return _seed(name, value)
    if value is None or value == "":
        if name in MAY_BE_EMPTY:
            return None
        if isinstance(value, str):
            return value
        raise InvalidRequest(f"{_shown(name)} is empty.", "A number was wanted.")
    if name in WHOLE:
        if isinstance(value, float) and not value.is_integer():
            raise InvalidRequest(f"{_shown(name)} is {value:g}.", "A whole number was wanted.")
        return int(value)
    return value


def _seed(name: str, value: Any) -> int:
    digits = str(value if value is not None else "").strip()
    if not digits:
        return -1
    try:
        return int(digits)
    except ValueError:
        raise InvalidRequest(f"{_shown(name)} is {digits[:40]!r}.", "A whole number, or -1 for a random one.") from None


def _shown(name: str) -> str:
    return name.replace("_", " ").capitalize()
