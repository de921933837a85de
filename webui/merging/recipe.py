"""What a merge is made of: plain data, checked at the door. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from webui.errors import InvalidRequest
from webui.imaging.names import safe_name
from webui.merging.methods import METHODS

PRECISIONS = ("keep", "fp32", "fp16", "bf16", "fp8")  # fp8: the network's matrices; the rest is fp16
LARGEST = 10.0  # of alpha, block weights and strengths, either way
LONGEST_PATTERN = 1000
MOST_LORAS = 32


@dataclass(frozen=True)
class LoraUse:
    """A LoRA to bake in: its strength for the network, and for the text encoders (None: the same)."""

    name: str
    strength: float = 1.0
    text: float | None = None


@dataclass(frozen=True)
class Recipe:
    """One merge. `models` are one to three checkpoints by name, as the method wants; `blocks` see `blocks.py`.

    `vae` and `loras` are baked in; tensors whose names `discard` (a regular expression) finds are left out;
    `copy_metadata` takes over what the first model's metadata say, `write_recipe` notes what the result was made of.
    """

    method: str
    models: tuple[str, ...]
    name: str
    alpha: float = 0.5
    blocks: tuple[float, ...] = ()
    vae: str = ""
    loras: tuple[LoraUse, ...] = ()
    precision: str = "fp16"
    discard: str = ""
    copy_metadata: bool = True
    write_recipe: bool = True


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """The recipe that plain data describe, as they come from JSON or from the command line.

    Raises InvalidRequest naming what does not fit.
    """
    unknown = set(values) - {field.name for field in fields(Recipe)}
    if unknown:
        known = ", ".join(field.name for field in fields(Recipe))
        raise InvalidRequest(f"A merge has no {sorted(unknown)[0]!r}.", f"It has: {known}.")
    method = METHODS.find(_text(values, "method", "Weighted sum"))
    models = tuple(_texts(values.get("models"), "models"))
    wanted = method.facts["models"]
    if len(models) != wanted:
        raise InvalidRequest(
            f"{method.name} was given {len(models)} model{'' if len(models) == 1 else 's'}.",
            f"It takes {wanted}.",
        )
    precision = _text(values, "precision", "fp16").lower()
    if precision not in PRECISIONS:
        raise InvalidRequest(f"The precision is {precision!r}.", f"Known: {', '.join(PRECISIONS)}.")
    return Recipe(
        method=method.name,
        models=models,
        name=_name(_text(values, "name", "")),
        alpha=_number(values.get("alpha", 0.5), "alpha"),
        blocks=_blocks(values.get("blocks") or ()),
        vae=_text(values, "vae", ""),
        loras=_loras(values.get("loras") or ()),
        precision=precision,
        discard=_pattern(_text(values, "discard", "")),
        copy_metadata=_flag(values, "copy_metadata"),
        write_recipe=_flag(values, "write_recipe"),
    )


def _text(values: Mapping[str, Any], key: str, default: str) -> str:
    value = values.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or "\0" in value:
        raise InvalidRequest(f"{key} of the merge is no text.")
    return value.strip()


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise InvalidRequest(f"{key} of the merge is no list of names.")
    return [one.strip() for one in value if one.strip()]


def _flag(values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key, True)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{key} of the merge is {value!r:.40}.", "Wanted: true or false.")
    return value


def _number(value: Any, what: str) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise InvalidRequest(f"{what} is {value!r:.40}.", f"A number from -{LARGEST:g} to {LARGEST:g} was wanted.")
    return number


def _name(text: str) -> str:
    stem = text.removesuffix(".safetensors").strip()
    if not stem:
        raise InvalidRequest("The merge has no name.", "Wanted: the name of the file that it becomes.")
    if stem != safe_name(stem):
        raise InvalidRequest(
            f"A file cannot be called {stem!r:.80}.", f"A plain name was wanted, such as {safe_name(stem)!r}."
        )
    return stem


def _blocks(value: Any) -> tuple[float, ...]:
    """Numbers in a list, or in a text with commas."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, Sequence) or len(value) > 64:
        raise InvalidRequest("The block weights are no list of numbers.")
    return tuple(_number(one, f"Block weight {place}") for place, one in enumerate(value, 1))


def _pattern(text: str) -> str:
    if len(text) > LONGEST_PATTERN:
        raise InvalidRequest(f"The pattern of weights to discard has {len(text)} characters.")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidRequest(f"The pattern of weights to discard cannot be read: {error}.") from None
    return text


def _loras(value: Any) -> tuple[LoraUse, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MOST_LORAS:
        raise InvalidRequest("The LoRAs are no list.", f"Up to {MOST_LORAS} of them, each {{name, strength, text}}.")
    return tuple(_lora(one) for one in value)


def _lora(value: Any) -> LoraUse:
    """`name`, `name:strength` or `name:strength:text`, or the same as an object."""
    if isinstance(value, str):
        value = dict(zip(("name", "strength", "text"), split_numbers(value)))
    if not isinstance(value, Mapping) or set(value) - {"name", "strength", "text"}:
        raise InvalidRequest(f"{value!r:.80} is no LoRA to bake in.", "Wanted: {name, strength, text}.")
    name = _text(value, "name", "")
    if not name:
        raise InvalidRequest("A LoRA to bake in has no name.")
    text = value.get("text")
    return LoraUse(
        name,
        _number(value.get("strength", 1.0), f"The strength of {name}"),
        None if text is None else _number(text, f"The text strength of {name}"),
    )


def split_numbers(text: str) -> list[str]:
    """A name and up to two numbers behind it, with colons between. A colon inside a name stays in it."""
    parts = text.split(":")
    name = [parts.pop(0)]
    while len(parts) > 2 or (parts and not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*", parts[0])):
        name.append(parts.pop(0))
    return [":".join(name), *parts]
