"""What the extras tab does with one picture: enlarge it by one or two upscalers, restore faces. No torch until then.

Names of fields are those that A1111 writes into the "postprocessing" text of its PNG files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from PIL import Image

from webui.errors import InvalidRequest
from webui.imaging.resize import covering, resized
from webui.paths import Paths
from webui.upscalers.names import find_upscaler
from webui.upscalers.restorers import find_restorer

if TYPE_CHECKING:
    from webui.upscalers.enlarge import Options

MAX_PIXELS = 16384 * 16384  # of a result
NO_UPSCALER = "None"
VISIBILITY_2 = "Postprocess upscaler 2 visibility"  # A1111 does not say it


@dataclass(frozen=True)
class FaceRestoration:
    """One face restorer. `visibility` is its share of the result; `weight` is what it makes of it (CodeFormer's)."""

    name: str = "GFPGAN"
    visibility: float = 1.0
    weight: float = 0.0


@dataclass(frozen=True)
class ExtrasOptions:
    """What to do. With upscaler "None" a picture keeps its size."""

    upscaler: str = NO_UPSCALER
    upscaler_2: str = NO_UPSCALER
    visibility_2: float = 0.0  # share of the second upscaler's result
    mode: str = "by"  # "by" a factor, or "to" a size
    scale: float = 2.0
    max_side: int = 0  # 0: no limit; pixels of the longer side, with mode "by"
    width: int = 512  # the next three with mode "to"
    height: int = 512
    crop: bool = True  # cut what stands over where the proportions differ; else the size is covered
    restorers: tuple[FaceRestoration, ...] = ()
    upscale_first: bool = True  # before faces are restored


RANGES = {"visibility_2": (0, 1), "scale": (0.05, 16), "max_side": (0, 16384), "width": (1, 16384)}
RANGES |= {"height": (1, 16384), "visibility": (0, 1), "weight": (0, 1)}


def read_options(values: Mapping[str, Any]) -> ExtrasOptions:
    """Options of plain data. Raises InvalidRequest naming a field that is unknown, of another type or out of range."""
    restorers = values.get("restorers", ())
    if not isinstance(restorers, list | tuple) or not all(isinstance(one, Mapping) for one in restorers):
        raise InvalidRequest(f"restorers is {restorers!r:.60}.", "A list of {name, visibility, weight} was wanted.")
    plain = {name: value for name, value in values.items() if name != "restorers"}
    options = _checked(ExtrasOptions(), plain)
    if options.mode not in ("by", "to"):
        raise InvalidRequest(f"mode is {options.mode!r}.", 'Wanted: "by" or "to".')
    return dataclasses.replace(options, restorers=tuple(_checked(FaceRestoration(), one) for one in restorers))


def _checked(default: Any, values: Mapping[str, Any]) -> Any:
    found: dict[str, Any] = {}
    fields = {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}
    for name, value in values.items():
        if name not in fields:
            raise InvalidRequest(f"There is no field {name!r}.", f"Known: {', '.join(fields)}.")
        kind = type(fields[name])
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise InvalidRequest(f"{name} is {value!r:.60}.", f"A {kind.__name__} was wanted.")
        low, high = RANGES.get(name, (None, None))
        if low is not None and not low <= value <= high:
            raise InvalidRequest(f"{name} is {value!r}.", f"It must be from {low} to {high}.")
        found[name] = value
    return dataclasses.replace(default, **found)


def check_names(options: ExtrasOptions, paths: Paths) -> None:
    """Raise NotFound for an upscaler or a face restorer that is not there, before any work."""
    for name in (options.upscaler, options.upscaler_2):
        find_upscaler(name, paths)
    for one in options.restorers:
        if one.visibility > 0:
            find_restorer(one.name)


def target_size(options: ExtrasOptions, size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) of the result for a picture of `size`. Raises InvalidRequest beyond the limit."""
    if options.upscaler == NO_UPSCALER:
        return size
    if options.mode == "to":
        target = (options.width, options.height)
        target = target if options.crop else covering(size, target)
    else:
        scale = _scale(options, size)
        target = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    if target[0] * target[1] > MAX_PIXELS:
        wanted = f"At most {MAX_PIXELS / 1e6:.0f} megapixels are made."
        raise InvalidRequest(
            f"The result would have {target[0]}×{target[1]} pixels.", wanted, "Choose a smaller scale."
        )
    return target


def enhance(picture: Image.Image, options: ExtrasOptions, **how: Unpack[Options]) -> tuple[Image.Image, dict[str, str]]:
    """One picture of any mode, finished, and what was done to it by A1111's names.

    `how` is as for `upscalers.enlarge`. Raises NotFound, InvalidRequest, FileErrors, and what `check` raises.
    """
    check_names(options, how["paths"])
    steps = (_upscaled, _restored) if options.upscale_first else (_restored, _upscaled)
    fields: dict[str, str] = {}
    for step in steps:
        picture, more = step(picture, options, how)
        fields |= more
    return picture, fields


def postprocessing_text(fields: Mapping[str, str]) -> str:
    """The fields as A1111 writes them: "key: value, key: value"."""
    return ", ".join(f"{key}: {_quoted(value)}" for key, value in fields.items())


def options_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """The options that made fields, as plain data for `read_options`; what is unreadable is left out.

    An upscaler is named as the fields name it, whether it is here or not.
    """
    found: dict[str, Any] = {}
    width, _, height = fields.get("Postprocess upscale to", "").partition("x")
    texts = {"scale": fields.get("Postprocess upscale by"), "max_side": fields.get("Max side length")}
    texts |= {"visibility_2": fields.get(VISIBILITY_2), "width": width, "height": height}
    for name, text in texts.items():
        with contextlib.suppress(ValueError, TypeError, InvalidRequest):
            value = type(getattr(ExtrasOptions(), name))(text)
            read_options({name: value})
            found[name] = value
    names = {"upscaler": fields.get("Postprocess upscaler"), "upscaler_2": fields.get("Postprocess upscaler 2")}
    found |= {name: text for name, text in names.items() if text}
    if "scale" in found or "width" in found:
        found["mode"] = "by" if "scale" in found else "to"
    if found.get("mode") == "to":
        found["crop"] = "Postprocess crop to" in fields
    restorers = _restorers_of(fields)
    return found | ({"restorers": restorers} if restorers else {})


def _restorers_of(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, text in fields.items():
        restorer, _, part = name.rpartition(" ")
        if part in ("visibility", "weight") and not name.startswith("Postprocess"):
            with contextlib.suppress(ValueError, InvalidRequest):
                value = float(text)
                _checked(FaceRestoration(), {part: value})
                found.setdefault(restorer, {"name": restorer})[part] = value
    return [one for one in found.values() if "visibility" in one]


def with_fields(infotext: str, fields: Mapping[str, str]) -> str:
    """An infotext with the fields at the end of its last line: for formats that hold one text only."""
    text = postprocessing_text(fields)
    return f"{infotext}, {text}" if infotext and text else infotext or text


def _upscaled(picture: Image.Image, options: ExtrasOptions, how: Options) -> tuple[Image.Image, dict[str, str]]:
    if options.upscaler == NO_UPSCALER:
        return picture, {}
    target = target_size(options, picture.size)
    second = options.upscaler_2 != NO_UPSCALER and options.visibility_2 > 0
    names = [options.upscaler, *([options.upscaler_2] if second else [])]
    inner = covering(picture.size, target) if options.mode == "to" and options.crop else target
    results = [_by_one(picture, name, inner, target, part) for name, part in zip(names, _parts(how, len(names)))]
    shown = [find_upscaler(name, how["paths"]).name for name in names]
    fields = _size_fields(options, picture.size, target) | {"Postprocess upscaler": shown[0]}
    if second:
        fields |= {"Postprocess upscaler 2": shown[1], VISIBILITY_2: f"{options.visibility_2:.3g}"}
        return Image.blend(results[0], results[1], options.visibility_2), fields
    return results[0], fields


def _by_one(
    picture: Image.Image, name: str, inner: tuple[int, int], target: tuple[int, int], how: Options
) -> Image.Image:
    """The picture in the size `inner`, of which the middle is cut out where `target` is smaller."""
    from webui.upscalers.enlarge import enlarge_picture

    result = enlarge_picture(picture, name, inner, **how)
    return result if inner == target else resized(result, target, "crop")


def _parts(how: Options, count: int) -> list[Options]:
    from webui.upscalers.enlarge import part_of

    return [part_of(how, index, count) for index in range(count)]


def _size_fields(options: ExtrasOptions, size: tuple[int, int], target: tuple[int, int]) -> dict[str, str]:
    if options.mode == "to":
        fields = {"Postprocess upscale to": f"{options.width}x{options.height}"}
        return fields | ({"Postprocess crop to": f"{target[0]}x{target[1]}"} if options.crop else {})
    fields = {"Postprocess upscale by": f"{options.scale:g}"}
    limited = _scale(options, size) != options.scale
    return fields | ({"Max side length": str(options.max_side)} if limited else {})


def _scale(options: ExtrasOptions, size: tuple[int, int]) -> float:
    if options.max_side and max(size) * options.scale > options.max_side:
        return options.max_side / max(size)
    return options.scale


def _restored(picture: Image.Image, options: ExtrasOptions, how: Options) -> tuple[Image.Image, dict[str, str]]:
    fields: dict[str, str] = {}
    for one in options.restorers:
        if one.visibility <= 0:
            continue
        how.get("check", lambda: None)()
        before = picture.convert("RGB")
        after = find_restorer(one.name)(before, one.weight)
        result = Image.blend(before, after, one.visibility)
        if picture.has_transparency_data:
            result.putalpha(picture.convert("RGBA").getchannel("A"))
        picture = result
        fields[f"{one.name} visibility"] = f"{one.visibility:.3g}"
        if one.weight:
            fields[f"{one.name} weight"] = f"{one.weight:.3g}"
    return picture, fields


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(character in value for character in ',:\n"') else value
