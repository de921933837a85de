"""`alwayson_scripts`: what this program has itself, and extensions, by the titles and arguments that clients use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException

from webui.api import controlnet
from webui.api.fields import GenerationFields
from webui.engine.extensions import Extensions
from webui.errors import InvalidRequest
from webui.extend import Option
from webui.request import AestheticGradients, GenerationRequest, SoftInpaint

BOTH = ("txt2img", "img2img")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class AlwaysOn:
    """One script that takes part in every job. `options` stand in the order of its arguments.

    `fills` gives values for fields that the client did not send; `edit` changes what the infotext said.
    """

    title: str
    options: tuple[Option, ...] = ()
    tabs: tuple[str, ...] = BOTH
    fills: Callable[[Values], dict[str, Any]] = lambda values: {}
    edit: Callable[[GenerationRequest, Values], GenerationRequest] = lambda request, values: request


def scripts_for(extensions: Extensions) -> tuple[AlwaysOn, ...]:
    """Those of this program and those of the loaded extensions."""
    return (*NATIVE, *(_of_extension(one.name, one.options) for one in extensions if one.options))


def apply(
    fields: GenerationFields, tab: str, base: GenerationRequest, extensions: Extensions, selectable: Sequence[str]
) -> tuple[dict[str, Any], GenerationRequest]:
    """Values for fields that were not sent, and `base` with what scripts change in it.

    Raises HTTPException 422 for a title that is not known or belongs in `script_name`, InvalidRequest for arguments.
    """
    known = {one.title.casefold(): one for one in scripts_for(extensions) if tab in one.tabs}
    fills: dict[str, Any] = {}
    for title, said in fields.alwayson_scripts.items():
        name = title.casefold()
        if name in selectable:
            raise HTTPException(422, "Cannot have a selectable script in the always on scripts params")
        if name in WITHOUT_EFFECT:
            continue
        if name == controlnet.TITLE.casefold():
            controlnet.refuse_units(said.get("args") if isinstance(said, Mapping) else said)
            continue
        if name not in known:
            raise HTTPException(422, f"Always on script {title} not found")
        script = known[name]
        given = said.get("args") if isinstance(said, Mapping) else said
        if given is None:
            continue
        values = _values(script, given)
        fills |= script.fills(values)
        base = script.edit(base, values)
    return fills, base


def _values(script: AlwaysOn, given: Any) -> dict[str, Any]:
    """The arguments by name: given by position, or as one object by their keys or labels in any case. Those that are
    missing have their defaults. Raises InvalidRequest for a name that is none: it would be left out silently."""
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], Mapping):
        given = given[0]
    if isinstance(given, list):
        given = {option.key: value for option, value in zip(script.options, given, strict=False)}
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"The arguments of {script.title} are {given!r:.60}.", "A list was wanted.")
    keys = {name.casefold(): option.key for option in script.options for name in (option.label, option.key)}
    unknown = next((name for name in given if str(name).casefold() not in keys), None)
    if unknown is not None:
        known = ", ".join(option.key for option in script.options)
        raise InvalidRequest(f"{script.title} has no argument {unknown!r:.60}.", f"Known: {known}.")
    given = {keys[str(name).casefold()]: value for name, value in given.items()}
    return {option.key: _value(option, given.get(option.key)) for option in script.options}


def _value(option: Option, value: Any) -> Any:
    """A value in the option's type, where it can be read as such. Raises InvalidRequest."""
    if value is None:
        return option.default
    if isinstance(option.default, bool):
        return option.check({0: False, 1: True}.get(value, value) if isinstance(value, int) else value)
    if isinstance(value, str) and not isinstance(option.default, str):
        return option.read(value)
    if isinstance(option.default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return option.check(value)


# What this program has itself --------------------------------------------------------------------------------------


def _soft(request: GenerationRequest, values: Values) -> GenerationRequest:
    if not values["enabled"]:
        return request
    numbers = {name: value for name, value in values.items() if name != "enabled"}
    first, *others = request.passes
    inpaint = dataclasses.replace(first.inpaint, soft=SoftInpaint(**numbers))
    return dataclasses.replace(request, passes=(dataclasses.replace(first, inpaint=inpaint), *others))


def _aesthetic(request: GenerationRequest, values: Values) -> GenerationRequest:
    if values["embedding"] in ("", "None"):
        return request
    return dataclasses.replace(request, aesthetic=AestheticGradients(**values))


def _refiner(values: Values) -> dict[str, Any]:
    if not values["enabled"] or values["checkpoint"] in ("", "None"):
        return {}
    return {"refiner_checkpoint": values["checkpoint"], "refiner_switch_at": values["switch_at"]}


def _seed(values: Values) -> dict[str, Any]:
    if not values["extras"]:
        return {"seed": values["seed"]}
    return {name: value for name, value in values.items() if name != "extras"}


def _of_extension(name: str, options: tuple[Option, ...]) -> AlwaysOn:
    def edit(request: GenerationRequest, values: Values) -> GenerationRequest:
        return dataclasses.replace(request, extensions={**request.extensions, name: dict(values)})

    return AlwaysOn(name, options, edit=edit)


def _slider(key: str, label: str, default: float, low: float, high: float, step: float) -> Option:
    return Option(key, label, default, low, high, step)


NATIVE = (
    AlwaysOn(
        "Soft Inpainting",
        (
            Option("enabled", "Soft inpainting", False),
            _slider("schedule_bias", "Schedule bias", 1.0, 0.0, 8.0, 0.1),
            _slider("preservation", "Preservation strength", 0.5, 0.0, 8.0, 0.05),
            _slider("contrast_boost", "Transition contrast boost", 4.0, 1.0, 32.0, 0.5),
            _slider("mask_influence", "Mask influence", 0.0, 0.0, 1.0, 0.05),
            _slider("difference_threshold", "Difference threshold", 0.5, 0.0, 8.0, 0.25),
            _slider("difference_contrast", "Difference contrast", 2.0, 0.0, 8.0, 0.25),
        ),
        ("img2img",),
        edit=_soft,
    ),
    AlwaysOn(
        "Aesthetic embeddings",
        (
            _slider("weight", "Aesthetic weight", 0.9, 0.0, 1.0, 0.01),
            Option("steps", "Aesthetic steps", 5, 0, 50, 1),
            Option("learning_rate", "Aesthetic learning rate", 0.0001),
            Option("slerp", "Slerp interpolation", False),
            Option("embedding", "Aesthetic imgs embedding", "None"),
            Option("text", "Aesthetic text for imgs", ""),
            _slider("text_angle", "Slerp angle", 0.1, 0.0, 1.0, 0.01),
            Option("text_negative", "Is negative text", False),
        ),
        edit=_aesthetic,
    ),
    AlwaysOn(
        "Refiner",
        (
            Option("enabled", "Refiner", False),
            Option("checkpoint", "Checkpoint", ""),
            _slider("switch_at", "Switch at", 0.8, 0.01, 1.0, 0.01),
        ),
        fills=_refiner,
    ),
    AlwaysOn(
        "Sampler",
        (
            Option("steps", "Sampling steps", 20, 1, 1000, 1),
            Option("sampler_name", "Sampling method", "Euler a"),
            Option("scheduler", "Schedule type", "Automatic"),
        ),
        fills=dict,
    ),
    AlwaysOn(
        "Seed",
        (
            Option("seed", "Seed", -1),
            Option("extras", "Extra", False),
            Option("subseed", "Variation seed", -1),
            _slider("subseed_strength", "Variation strength", 0.0, 0.0, 1.0, 0.01),
            Option("seed_resize_from_w", "Resize seed from width", 0, 0, 2048, 8),
            Option("seed_resize_from_h", "Resize seed from height", 0, 0, 2048, 8),
        ),
        fills=_seed,
    ),
)
# Titles of A1111's own scripts that take no arguments, so nothing can be asked for by naming them.
WITHOUT_EFFECT = ("hypertile", "comments", "extra options")
