"""Passes in the keys of A1111's infotexts: img2img, inpainting, hires fix and refiner; and what those cannot say."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from webui.errors import InvalidRequest
from webui.infotext_keys import Key, read_bool, read_float, take, take_all
from webui.request import Inpaint, Outpaint, Pass, Refiner, SoftInpaint, Tiles, from_dict

SplitSampler = Callable[[str], tuple[str, str]]

PASSES = "Passes"  # what A1111's keys cannot say, as JSON
PICTURES = ("image", "images", "mask", "colours_of")  # never written
_IMAGE_KEYS = (
    Key("Resize mode", "pass", "resize_mode", "resize mode"),
    Key("Image upscaler", "pass", "upscaler", "text"),
    Key("Exact steps", "pass", "exact_steps", "bool"),
    Key("Noise multiplier", "pass", "noise_multiplier", "float"),
    Key("Extra noise", "pass", "extra_noise", "float"),
    Key("Color correction", "pass", "match_colours", "bool"),
    Key("Image background", "pass", "background", "text"),
    Key("Mask mode", "inpaint", "invert", "mask mode"),
    Key("Masked content", "inpaint", "masked_content", "text"),
    Key("Inpaint area", "inpaint", "area", "area"),
    Key("Masked area padding", "inpaint", "padding", "int"),
    Key("Mask from alpha", "inpaint", "from_alpha", "bool"),
    Key("Mask rounding", "inpaint", "round_mask", "bool"),
    Key("Conditional mask weight", "inpaint", "condition_weight", "float"),
    Key("Soft inpainting schedule bias", "soft", "schedule_bias", "float", always=True),
    Key("Soft inpainting preservation strength", "soft", "preservation", "float", always=True),
    Key("Soft inpainting transition contrast boost", "soft", "contrast_boost", "float", always=True),
    Key("Soft inpainting mask influence", "soft", "mask_influence", "float", always=True),
    Key("Soft inpainting difference threshold", "soft", "difference_threshold", "float", always=True),
    Key("Soft inpainting difference contrast", "soft", "difference_contrast", "float", always=True),
)
_SIDES = ("left", "right", "up", "down")
_SAME = ("", "Use same sampler", "Use same scheduler", "Use same checkpoint")  # what A1111 reads absent keys as
_ONCE_BY_STEPS = re.compile(r"v1\.[0-7]\.")  # versions of A1111 whose refiners switched at a share of the steps


def written_pass(step: Pass) -> Pass:
    """A pass without its pictures, and without what has no effect in a pass of its kind."""
    step = dataclasses.replace(step, image=None, images=(), mask=None, colours_of=None)
    if step.source == "image":
        return step
    unused = ["resize_mode", "exact_steps", "match_colours", "background", "inpaint", "outpaint"]
    if step.source == "noise":
        unused += ["upscaler", "noise_multiplier", "extra_noise", "denoising_strength"]
    plain = Pass()
    return dataclasses.replace(step, **{name: getattr(plain, name) for name in unused})


def pass_fields(passes: tuple[Pass, ...], masked: bool) -> dict[str, Any]:
    """What distinguishes these passes from one that starts from noise. `masked`: the first one has a mask."""
    first, second = passes[0], passes[1] if len(passes) > 1 else None
    fields: dict[str, Any] = {}
    only_read = first.source == "image" and first.denoising_strength == 0 and not masked
    if second is not None and (first.source == "noise" or only_read):  # a finished picture may be the first one
        fields |= _hires_fields(first, second)
    elif first.source == "image":
        fields |= _image_fields(first, masked)
    refiner = first.refiner or (second.refiner if second else None)
    if refiner is not None:
        fields |= {"Refiner": refiner.checkpoint, "Refiner switch at": refiner.switch_at}
        fields |= {"Refiner switch by sampling steps": True} if refiner.by_steps else {}
        if second is not None:
            where = (
                "both passes" if first.refiner and second.refiner else "first pass" if first.refiner else "second pass"
            )
            fields["Hires refiner"] = where
    if first.tiles is not None:
        fields |= {"Tile size": first.tiles.size, "Tile overlap": first.tiles.overlap}
    return fields


def _image_fields(step: Pass, masked: bool) -> dict[str, Any]:
    inpaint = step.inpaint
    fields: dict[str, Any] = {"Denoising strength": step.denoising_strength}
    if masked or inpaint != Inpaint():
        fields["Mask blur"] = inpaint.mask_blur[0]
        if inpaint.mask_blur[1] != inpaint.mask_blur[0]:
            fields["Mask blur y"] = inpaint.mask_blur[1]
    if step.outpaint != Outpaint():
        sides = ((side, getattr(step.outpaint, side)) for side in _SIDES)
        fields["Outpainting"] = " ".join(f"{side} {pixels}" for side, pixels in sides if pixels)
    places = {"pass": (step, Pass()), "inpaint": (inpaint, Inpaint()), "soft": (inpaint.soft, None)}
    if inpaint.soft is not None:
        fields["Soft inpainting enabled"] = True
    for key in _IMAGE_KEYS:
        own, plain = places[key.place]
        if own is not None and (key.always or getattr(own, key.attribute) != getattr(plain, key.attribute)):
            fields[key.name] = key.write(getattr(own, key.attribute))
    if inpaint.area == "masked":
        fields["Masked area padding"] = inpaint.padding
    return fields


def _hires_fields(first: Pass, second: Pass) -> dict[str, Any]:
    """The second pass in A1111's keys, as far as they go."""
    fields: dict[str, Any] = {
        "Denoising strength": second.denoising_strength,
        **_hires_size(first, second),
        "Hires steps": second.steps,
        "Hires upscaler": second.upscaler,
        "Hires checkpoint": second.checkpoint,
        "Hires sampler": second.sampler if second.sampler != first.sampler else None,
        "Hires schedule type": second.schedule if second.schedule != first.schedule else None,
        "Hires CFG Scale": second.guidance.scale if second.guidance.scale != first.guidance.scale else None,
        "Hires prompt": second.prompt or None,
        "Hires negative prompt": second.negative_prompt or None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _hires_size(first: Pass, second: Pass) -> dict[str, Any]:
    """One factor where it gives the very size, else the size."""
    scale = round(second.width / first.width, 4)
    if (int(first.width * scale), int(first.height * scale)) == (second.width, second.height):
        return {"Hires upscale": scale}
    return {"Hires resize": f"{second.width}x{second.height}"}


def passes_json(passes: tuple[Pass, ...]) -> str:
    """The passes in full, without what is as usual and without pictures."""
    plain = dataclasses.asdict(Pass())
    return json.dumps([_sparse(dataclasses.asdict(step), plain) for step in passes])


def _sparse(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name in PICTURES or value == usual[name]:
            continue
        nested = isinstance(value, dict) and isinstance(usual[name], dict)
        made[name] = _sparse(value, usual[name]) if nested else value
    return made


def read_passes(first: Pass, fields: dict[str, str], split_sampler: SplitSampler | None) -> tuple[Pass, ...]:
    """All passes; the fields that told of them are taken out."""
    is_hires = any(key in fields for key in ("Hires upscale", "Hires upscaler", "Hires resize-1"))
    strength = take(fields, "Denoising strength", read_float, None)
    size, overlap = take(fields, "Tile size", int, None), take(fields, "Tile overlap", int, Tiles.overlap)
    if size is not None:
        first = dataclasses.replace(first, tiles=Tiles(size, overlap))
    refiner, where = _read_refiner(fields), take(fields, "Hires refiner", str, "second pass")
    passes: tuple[Pass, ...]
    if strength is not None and is_hires:
        second = dataclasses.replace(_read_hires(first, strength, fields, split_sampler), tiles=None)
        passes = (
            dataclasses.replace(first, refiner=refiner if where in ("first pass", "both passes") else None),
            dataclasses.replace(second, refiner=refiner if where != "first pass" else None),
        )
    elif strength is not None:
        passes = (_read_image(dataclasses.replace(first, refiner=refiner), strength, fields),)
    else:
        passes = (dataclasses.replace(first, refiner=refiner),)
    try:
        passes = from_dict({"passes": json.loads(fields[PASSES])}).passes or passes
        del fields[PASSES]
    except (KeyError, ValueError, RecursionError, InvalidRequest):
        return passes  # there are no others, or they are unreadable and stay in the rest
    return passes


def _read_refiner(fields: dict[str, str]) -> Refiner | None:
    name = take(fields, "Refiner", str, "")
    switch = take(fields, "Refiner switch at", read_float, 0.8)
    by_steps = take(fields, "Refiner switch by sampling steps", read_bool, None)
    if by_steps is None:
        by_steps = bool(_ONCE_BY_STEPS.match(fields.get("Version", "")))
    return Refiner(name, switch, by_steps) if name and name != "None" else None


def _read_image(first: Pass, strength: float, fields: dict[str, str]) -> Pass:
    """A pass of img2img or inpainting, without its pictures."""
    across = take(fields, "Mask blur", int, Inpaint.mask_blur[0])
    along = take(fields, "Mask blur y", int, across)
    values = take_all(_IMAGE_KEYS, fields)
    soft = take(fields, "Soft inpainting enabled", read_bool, False) or "soft" in values
    inpaint = Inpaint(
        mask_blur=(across, along),
        soft=SoftInpaint(**values.get("soft", {})) if soft else None,
        **values.get("inpaint", {}),
    )
    outpaint = take(fields, "Outpainting", _read_outpaint, Outpaint())
    own = values.get("pass", {})
    return dataclasses.replace(
        first, source="image", denoising_strength=strength, inpaint=inpaint, outpaint=outpaint, **own
    )


def _read_outpaint(text: str) -> Outpaint:
    words = text.split()
    sides = dict(zip(words[::2], (int(number) for number in words[1::2]), strict=True))
    if not set(sides) <= set(_SIDES):
        raise ValueError(text)
    return Outpaint(**sides)


def _read_hires(first: Pass, strength: float, fields: dict[str, str], split_sampler: SplitSampler | None) -> Pass:
    """The second pass of A1111's hires fix; what it does not say is as in the first."""
    scale = take(fields, "Hires upscale", read_float, 2.0)
    width, height = take(fields, "Hires resize-1", int, 0), take(fields, "Hires resize-2", int, 0)
    if not width and not height:
        scale = min(max(scale, 0.0), 64.0)
        width, height = int(first.width * scale), int(first.height * scale)
    sampler, schedule = take(fields, "Hires sampler", str, ""), take(fields, "Hires schedule type", str, "")
    if split_sampler and sampler not in _SAME and not schedule:
        sampler, schedule = split_sampler(sampler)
    checkpoint = take(fields, "Hires checkpoint", str, "")
    guidance_scale = take(fields, "Hires CFG Scale", read_float, first.guidance.scale)
    return dataclasses.replace(
        first,
        source="previous",
        denoising_strength=strength,
        width=width or height * first.width // max(1, first.height),
        height=height or width * first.height // max(1, first.width),
        steps=take(fields, "Hires steps", int, 0) or first.steps,
        sampler=first.sampler if sampler in _SAME else sampler,
        schedule=first.schedule if schedule in _SAME else schedule,
        guidance=dataclasses.replace(first.guidance, scale=guidance_scale),
        upscaler=take(fields, "Hires upscaler", str, "Latent"),
        checkpoint=None if checkpoint in _SAME else checkpoint,
        prompt=take(fields, "Hires prompt", str, "") or None,
        negative_prompt=take(fields, "Hires negative prompt", str, "") or None,
    )
