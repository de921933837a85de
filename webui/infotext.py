"""A request as the text under its picture, in A1111's format, and back. The format itself is in infotext_format.py."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from webui.errors import InvalidRequest
from webui.infotext_format import Infotext, infotext_key, read_infotext, write_infotext
from webui.request import GenerationRequest, Guidance, Pass, SamplerOptions, from_dict

__all__ = [
    "Infotext",
    "infotext_key",
    "infotext_to_request",
    "read_infotext",
    "request_to_infotext",
    "write_infotext",
    "written_part",
]

SplitSampler = Callable[[str], tuple[str, str]]


@dataclass(frozen=True)
class _Key:
    """One infotext key and the attribute it stands for, in "request", "pass", "guidance" or "options"."""

    name: str
    place: str
    attribute: str
    kind: str  # "int", "float", "bool", "text", "size", "list" or "noise"
    always: bool = False  # written even at its default

    def write(self, value: Any) -> Any:
        """The value as the text wants it."""
        if self.kind == "size":
            return f"{value[0]}x{value[1]}"
        if self.kind == "list":
            return json.dumps(list(value), ensure_ascii=False)
        return _NOISE_NAMES.get(value, value) if self.kind == "noise" else value

    def read(self, fields: Mapping[str, str]) -> Any:
        """The value. Raises KeyError where the key is absent, ValueError where the text does not fit."""
        if self.kind == "size":
            return int(fields[f"{self.name}-1"]), int(fields[f"{self.name}-2"])
        return _READERS[self.kind](fields[self.name])

    def names(self) -> tuple[str, ...]:
        """The keys in fields that were read."""
        return (f"{self.name}-1", f"{self.name}-2") if self.kind == "size" else (self.name,)


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_list(text: str) -> tuple[str, ...]:
    values = json.loads(text)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(text)
    return tuple(values)


_NOISE_NAMES = {"CUDA": "NV"}
_READERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": _read_float,
    "bool": lambda text: {"true": True, "false": False}[text.strip().lower()],
    "text": str,
    "list": _read_list,
    "noise": lambda text: {"CPU": "CPU", "NV": "CUDA", "GPU": "CUDA"}.get(text, text),
}
_KEYS = (
    _Key("Steps", "pass", "steps", "int", always=True),
    _Key("Sampler", "pass", "sampler", "text", always=True),
    _Key("Schedule type", "pass", "schedule", "text", always=True),
    _Key("CFG scale", "guidance", "scale", "float", always=True),
    _Key("Image CFG scale", "guidance", "image_scale", "float"),
    _Key("Seed", "request", "seed", "int", always=True),
    _Key("Model", "request", "checkpoint", "text"),
    _Key("VAE", "request", "vae", "text"),
    _Key("Variation seed", "request", "variation_seed", "int"),
    _Key("Variation seed strength", "request", "variation_strength", "float"),
    _Key("Seed resize from", "request", "resize_seed_from", "size"),
    _Key("Clip skip", "request", "clip_skip", "int"),
    _Key("ENSD", "options", "noise_seed_delta", "int"),
    _Key("RNG", "request", "noise_source", "noise", always=True),
    _Key("Tiling", "request", "tiling", "bool"),
    _Key("Schedule min sigma", "options", "sigma_min", "float"),
    _Key("Schedule max sigma", "options", "sigma_max", "float"),
    _Key("Schedule rho", "options", "rho", "float"),
    _Key("Discard penultimate sigma", "options", "discard_penultimate", "bool"),
    _Key("Sigma churn", "options", "s_churn", "float"),
    _Key("Sigma tmin", "options", "s_tmin", "float"),
    _Key("Sigma tmax", "options", "s_tmax", "float"),
    _Key("Sigma noise", "options", "s_noise", "float"),
    _Key("Eta", "options", "eta", "float"),
    _Key("NGMS", "guidance", "minimum_sigma", "float"),
    _Key("Skip Early CFG", "guidance", "skip_early", "float"),
    _Key("CFG rescale", "guidance", "rescale", "float"),
    _Key("CFG start", "guidance", "start", "float"),
    _Key("CFG end", "guidance", "end", "float"),
    _Key("Emphasis", "request", "emphasis", "text"),
    _Key("Comma padding backtrack", "request", "comma_backtrack", "int"),
    _Key("Styles", "request", "styles", "list"),
)
_DEFAULTS = {"request": GenerationRequest(), "pass": Pass(), "guidance": Guidance(), "options": SamplerOptions()}
_ETA_DDIM = "Eta DDIM"  # A1111 keeps two etas; this is the key for the samplers that take the other one
_DDIM_LIKE = ("DDIM", "DDIM CFG++", "PLMS", "UniPC")
_PASSES = "Passes"  # what A1111's hires keys cannot say, as JSON


def written_part(request: GenerationRequest) -> GenerationRequest:
    """The request as far as the infotext of one picture describes it.

    Without the numbers of a batch, the pictures of img2img, values without effect (a variation seed at strength 0), and
    options of extensions: those are fields of their own, which the engine hands over and reads from the rest.
    """
    passes = tuple(
        dataclasses.replace(
            step,
            image=None,
            images=(),
            mask=None,
            denoising_strength=1.0 if step.source == "noise" else step.denoising_strength,
        )
        for step in request.passes
    )
    seed = request.variation_seed if request.variation_strength else -1
    return dataclasses.replace(
        request, passes=passes, variation_seed=seed, batch_size=1, count=1, save=True, extensions={}
    )


def request_to_infotext(request: GenerationRequest, facts: Mapping[str, Any] | None = None, version: str = "") -> str:
    """The infotext of one picture.

    `facts` are further fields by their infotext keys, such as "Model hash" or an extension's option; those that the
    request also has ("Model", "VAE") take the place of the request's, None leaves a field out. `infotext_to_request`
    gives `written_part(request)` back.
    """
    request = written_part(request)
    first = request.passes[0]
    places = {"request": request, "pass": first, "guidance": first.guidance, "options": first.options}
    fields: dict[str, Any] = {"Size": f"{first.width}x{first.height}"}
    for key in _KEYS:
        value = getattr(places[key.place], key.attribute)
        if key.always or value != getattr(_DEFAULTS[key.place], key.attribute):
            fields[_ETA_DDIM if key.name == "Eta" and first.sampler in _DDIM_LIKE else key.name] = key.write(value)
    if first.source == "image":
        fields["Denoising strength"] = first.denoising_strength
    elif len(request.passes) > 1:
        fields |= _hires_fields(first, request.passes[1])
    fields |= {**(facts or {}), "Version": f"Emulsion {version}".strip()}
    text = write_infotext(request.prompt, request.negative_prompt, fields)
    if infotext_to_request(text)[0].passes == request.passes:
        return text
    passes = [
        {k: v for k, v in dataclasses.asdict(p).items() if k not in ("image", "images", "mask")} for p in request.passes
    ]
    return write_infotext(request.prompt, request.negative_prompt, fields | {_PASSES: json.dumps(passes)})


def infotext_to_request(
    text: str, split_sampler: SplitSampler | None = None
) -> tuple[GenerationRequest, dict[str, str]]:
    """The request that an infotext describes, and the fields that it has no place for or could not read.

    Old texts name sampler and schedule together ("DPM++ 2M Karras"); `split_sampler` takes them apart. Without it the
    name stays whole, for the plan to resolve. A text without fields is a prompt and nothing else. Nothing is checked
    here beyond the types: `request.check` and the plan do that.
    """
    read = read_infotext(text)
    if not read.fields:
        return GenerationRequest(prompt=read.prompt, negative_prompt=read.negative_prompt), {}
    fields = _modern(read.fields)
    prompt = read.prompt
    if "Hypernet" in fields:  # before 2022-10 a setting, since then part of the prompt
        prompt += f"<hypernet:{fields.pop('Hypernet')}:{fields.pop('Hypernet strength', '1.0')}>"
    # A1111 leaves the key out where the graphics card drew the noise.
    values: dict[str, dict[str, Any]] = {"request": {"noise_source": "CUDA"}, "pass": {}, "guidance": {}, "options": {}}
    for key in (*_KEYS, _Key("Size", "pass", "size", "size")):
        try:
            values[key.place][key.attribute] = key.read(fields)
        except (KeyError, ValueError, RecursionError):
            continue  # absent, or unreadable and so left in the rest
        for name in key.names():
            del fields[name]
    size = values["pass"].pop("size", (Pass.width, Pass.height))
    if split_sampler and "sampler" in values["pass"] and "schedule" not in values["pass"]:
        values["pass"]["sampler"], values["pass"]["schedule"] = split_sampler(values["pass"]["sampler"])
    first = Pass(
        width=size[0],
        height=size[1],
        guidance=Guidance(**values["guidance"]),
        options=SamplerOptions(**values["options"]),
        **values["pass"],
    )
    request = GenerationRequest(
        prompt=prompt,
        negative_prompt=read.negative_prompt,
        passes=_read_passes(first, fields, split_sampler),
        **values["request"],
    )
    return request, fields


def _modern(old: Mapping[str, str]) -> dict[str, str]:
    """The fields with keys that older versions of A1111 wrote differently in their present form."""
    fields = dict(old)
    if _ETA_DDIM in fields:
        fields["Eta"] = fields.pop(_ETA_DDIM)
    try:  # hires fix once named the size of its first pass
        first = int(fields["First pass size-1"]), int(fields["First pass size-2"])
        width, height = int(fields["Size-1"]), int(fields["Size-2"])
    except (KeyError, ValueError):
        return fields
    if 0 in first and width and height:  # then it was chosen to have about 512 × 512 pixels
        scale = math.sqrt(512 * 512 / (width * height))
        first = math.ceil(scale * width / 64) * 64, math.ceil(scale * height / 64) * 64
    del fields["First pass size-1"], fields["First pass size-2"]
    fields |= {"Size-1": str(first[0]), "Size-2": str(first[1])}
    return fields | {"Hires resize-1": str(width), "Hires resize-2": str(height)}


def _hires_fields(first: Pass, second: Pass) -> dict[str, Any]:
    """The second pass in A1111's keys, as far as they go."""
    fields = {
        "Denoising strength": second.denoising_strength,
        "Hires resize": f"{second.width}x{second.height}",
        "Hires steps": second.steps,
        "Hires sampler": second.sampler if second.sampler != first.sampler else None,
        "Hires schedule type": second.schedule if second.schedule != first.schedule else None,
        "Hires CFG Scale": second.guidance.scale if second.guidance.scale != first.guidance.scale else None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _read_passes(first: Pass, fields: dict[str, str], split_sampler: SplitSampler | None) -> tuple[Pass, ...]:
    """All passes; the fields that told of them are taken out."""
    is_hires = any(key in fields for key in ("Hires upscale", "Hires upscaler", "Hires resize-1"))
    strength = _take(fields, "Denoising strength", _read_float, None)
    passes: tuple[Pass, ...] = (first,)
    if strength is not None and is_hires:
        passes = (first, _read_hires(first, strength, fields, split_sampler))
    elif strength is not None:
        passes = (dataclasses.replace(first, source="image", denoising_strength=strength),)
    try:
        passes = from_dict({"passes": json.loads(fields[_PASSES])}).passes or passes
        del fields[_PASSES]
    except (KeyError, ValueError, RecursionError, InvalidRequest):
        return passes  # there are no others, or they are unreadable and stay in the rest
    return passes


def _read_hires(first: Pass, strength: float, fields: dict[str, str], split_sampler: SplitSampler | None) -> Pass:
    """The second pass of A1111's hires fix; what it does not say is as in the first."""
    scale = _take(fields, "Hires upscale", _read_float, 2.0)
    width, height = _take(fields, "Hires resize-1", int, 0), _take(fields, "Hires resize-2", int, 0)
    if not width and not height:
        scale = min(max(scale, 0.0), 64.0)
        width, height = int(first.width * scale), int(first.height * scale)
    sampler, schedule = _take(fields, "Hires sampler", str, ""), _take(fields, "Hires schedule type", str, "")
    if split_sampler and sampler not in ("", "Use same sampler") and not schedule:
        sampler, schedule = split_sampler(sampler)
    guidance_scale = _take(fields, "Hires CFG Scale", _read_float, first.guidance.scale)
    return dataclasses.replace(
        first,
        source="previous",
        denoising_strength=strength,
        width=width or height * first.width // max(1, first.height),
        height=height or width * first.height // max(1, first.width),
        steps=_take(fields, "Hires steps", int, 0) or first.steps,
        sampler=first.sampler if sampler in ("", "Use same sampler") else sampler,
        schedule=first.schedule if schedule in ("", "Use same scheduler") else schedule,
        guidance=dataclasses.replace(first.guidance, scale=guidance_scale),
    )


def _take(fields: dict[str, str], key: str, kind: Callable[[str], Any], default: Any) -> Any:
    """The value of a field, which leaves the fields, or the default where it is absent or unreadable."""
    try:
        value = kind(fields[key])
    except (KeyError, ValueError):
        return default
    del fields[key]
    return value
