"""A request as the text under its picture, in A1111's format, and back. The format itself is in infotext_format.py."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from webui.infotext_format import Infotext, infotext_key, read_infotext, write_infotext
from webui.infotext_keys import Key, take_all, take_postprocessing
from webui.infotext_passes import PASSES, SplitSampler, pass_fields, passes_json, read_passes, written_pass
from webui.request import AestheticGradients, GenerationRequest, Guidance, Pass, SamplerOptions

__all__ = [
    "Infotext",
    "infotext_key",
    "infotext_to_request",
    "read_infotext",
    "request_to_infotext",
    "write_infotext",
    "written_part",
]

_KEYS = (
    Key("Steps", "pass", "steps", "int", always=True),
    Key("Sampler", "pass", "sampler", "text", always=True),
    Key("Schedule type", "pass", "schedule", "text", always=True),
    Key("CFG scale", "guidance", "scale", "float", always=True),
    Key("Image CFG scale", "guidance", "image_scale", "float"),
    Key("Seed", "request", "seed", "int", always=True),
    Key("Model", "request", "checkpoint", "text"),
    Key("VAE", "request", "vae", "text"),
    Key("Variation seed", "request", "variation_seed", "int"),
    Key("Variation seed strength", "request", "variation_strength", "float"),
    Key("Seed resize from", "request", "resize_seed_from", "size"),
    Key("Clip skip", "request", "clip_skip", "int"),
    Key("ENSD", "options", "noise_seed_delta", "int"),
    Key("RNG", "request", "noise_source", "noise", always=True),
    Key("Tiling", "request", "tiling", "bool"),
    Key("Schedule min sigma", "options", "sigma_min", "float"),
    Key("Schedule max sigma", "options", "sigma_max", "float"),
    Key("Schedule rho", "options", "rho", "float"),
    Key("Discard penultimate sigma", "options", "discard_penultimate", "bool"),
    Key("Sigma churn", "options", "s_churn", "float"),
    Key("Sigma tmin", "options", "s_tmin", "float"),
    Key("Sigma tmax", "options", "s_tmax", "float"),
    Key("Sigma noise", "options", "s_noise", "float"),
    Key("Eta", "options", "eta", "float"),
    Key("NGMS", "guidance", "minimum_sigma", "float"),
    Key("Skip Early CFG", "guidance", "skip_early", "float"),
    Key("CFG rescale", "guidance", "rescale", "float"),
    Key("CFG start", "guidance", "start", "float"),
    Key("CFG end", "guidance", "end", "float"),
    Key("Emphasis", "request", "emphasis", "text"),
    Key("Comma padding backtrack", "request", "comma_backtrack", "int"),
    Key("Styles", "request", "styles", "list"),
)
_AESTHETIC = (  # in the words and the order of A1111's extension
    Key("Aesthetic LR", "aesthetic", "learning_rate", "float"),
    Key("Aesthetic weight", "aesthetic", "weight", "float"),
    Key("Aesthetic steps", "aesthetic", "steps", "int"),
    Key("Aesthetic embedding", "aesthetic", "embedding", "text"),
    Key("Aesthetic slerp", "aesthetic", "slerp", "bool"),
    Key("Aesthetic text", "aesthetic", "text", "text"),
    Key("Aesthetic text negative", "aesthetic", "text_negative", "bool"),
    Key("Aesthetic slerp angle", "aesthetic", "text_angle", "float"),
)
_DEFAULTS = {"request": GenerationRequest(), "pass": Pass(), "guidance": Guidance(), "options": SamplerOptions()}
_ETA_DDIM = "Eta DDIM"  # A1111 keeps two etas; this is the key for the samplers that take the other one
_MODULE = re.compile(r"(?:Hires )?Module \d+")
_VAE_NAME = re.compile(r"vae|\bae\b", re.IGNORECASE)
_OTHER_KEYS = {  # SD.Next's
    "Hires scale": "Hires upscale",
    "Hires size-1": "Hires resize-1",
    "Hires size-2": "Hires resize-2",
    "Hires strength": "Denoising strength",
    "Hires CFG scale": "Hires CFG Scale",
}
_DDIM_LIKE = ("DDIM", "DDIM CFG++", "PLMS", "UniPC")


def written_part(request: GenerationRequest) -> GenerationRequest:
    """The request as far as the infotext of one picture describes it.

    Without the numbers of a batch, the pictures of img2img, values without effect (a variation seed at strength 0), and
    options of extensions: those are fields of their own, which the engine hands over and reads from the rest.
    """
    passes = tuple(written_pass(step) for step in request.passes)
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
    masked = request.passes[0].masked
    request = written_part(request)
    first = request.passes[0]
    places = {"request": request, "pass": first, "guidance": first.guidance, "options": first.options}
    fields: dict[str, Any] = {"Size": f"{first.width}x{first.height}"}
    for key in _KEYS:
        value = getattr(places[key.place], key.attribute)
        if key.always or value != getattr(_DEFAULTS[key.place], key.attribute):
            fields[_ETA_DDIM if key.name == "Eta" and first.sampler in _DDIM_LIKE else key.name] = key.write(value)
    if request.aesthetic is not None:
        written = {key.name: key.write(getattr(request.aesthetic, key.attribute)) for key in _AESTHETIC}
        fields |= {name: value for name, value in written.items() if value != ""}
    fields |= pass_fields(request.passes, masked)
    fields |= {**(facts or {}), "Version": f"Emulsion {version}".strip()}
    text = write_infotext(request.prompt, request.negative_prompt, fields)
    if infotext_to_request(text)[0].passes == request.passes:
        return text
    return write_infotext(request.prompt, request.negative_prompt, fields | {PASSES: passes_json(request.passes)})


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
    take_postprocessing(fields)
    prompt = read.prompt
    if "Hypernet" in fields:  # before 2022-10 a setting, since then part of the prompt
        prompt += f"<hypernet:{fields.pop('Hypernet')}:{fields.pop('Hypernet strength', '1.0')}>"
    # A1111 leaves the key out where the graphics card drew the noise.
    values: dict[str, dict[str, Any]] = {"request": {"noise_source": "CUDA"}, "pass": {}, "guidance": {}, "options": {}}
    values["aesthetic"] = {}
    for place, found in take_all((*_KEYS, *_AESTHETIC, Key("Size", "pass", "size", "size")), fields).items():
        values[place] |= found
    if values["aesthetic"].get("embedding", "None") != "None":
        values["request"]["aesthetic"] = AestheticGradients(**values["aesthetic"])
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
        passes=read_passes(first, fields, split_sampler),
        **values["request"],
    )
    return request, fields


def _modern(old: Mapping[str, str]) -> dict[str, str]:
    """The fields in A1111's present form, where its older versions, Forge and SD.Next write them otherwise."""
    fields = {_OTHER_KEYS.get(key, key): value for key, value in old.items()}
    modules = [key for key in fields if _MODULE.fullmatch(key)]
    for key in modules:  # Forge chooses text encoders and the VAE in one menu
        if fields[key] in ("Use same choices", "Built-in"):
            del fields[key]
        elif not key.startswith("Hires") and "VAE" not in fields and _VAE_NAME.search(fields[key]):
            fields["VAE"] = fields.pop(key)
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
