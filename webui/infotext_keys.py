"""Keys of infotexts: how values are written as text and read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """One infotext key and the attribute it stands for, in a place such as "request", "pass" or "guidance"."""

    name: str
    place: str
    attribute: str
    kind: str  # "int", "float", "bool", "text", "size", "list", "noise" or a key of CHOICES
    always: bool = False  # written even at its default

    def write(self, value: Any) -> Any:
        """The value as the text wants it."""
        if self.kind == "size":
            return f"{value[0]}x{value[1]}"
        if self.kind == "list":
            return json.dumps(list(value), ensure_ascii=False)
        if self.kind in CHOICES:
            return CHOICES[self.kind].get(value, value)
        return _NOISE_NAMES.get(value, value) if self.kind == "noise" else value

    def read(self, fields: Mapping[str, str]) -> Any:
        """The value. Raises KeyError where the key is absent, ValueError where the text does not fit."""
        if self.kind == "size":
            return int(fields[f"{self.name}-1"]), int(fields[f"{self.name}-2"])
        if self.kind in CHOICES:
            return {shown: value for value, shown in CHOICES[self.kind].items()}[fields[self.name]]
        return READERS[self.kind](fields[self.name])

    def names(self) -> tuple[str, ...]:
        """The keys in fields that were read."""
        return (f"{self.name}-1", f"{self.name}-2") if self.kind == "size" else (self.name,)


def take_all(keys: tuple[Key, ...], fields: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The values of all keys that are there and readable, by place and attribute; they leave the fields."""
    values: dict[str, dict[str, Any]] = {}
    for key in keys:
        try:
            value = key.read(fields)
        except (KeyError, ValueError, RecursionError):
            continue  # absent, or unreadable and so left in the rest
        values.setdefault(key.place, {})[key.attribute] = value
        for name in key.names():
            del fields[name]
    return values


def take_postprocessing(fields: dict[str, str]) -> dict[str, str]:
    """What Extras did to the finished picture, by A1111's names; it leaves the fields, as it is no part of a request.

    It stands behind a request's fields where a file holds one text only.
    """
    found: dict[str, str] = {}
    for name in [name for name in fields if _POSTPROCESSING.fullmatch(name)]:
        value, place = fields.pop(name), name[-2:]
        if place == "-2" and name[:-2] in found:
            found[name[:-2]] += f"x{value}"  # a size, which reading has taken apart
        else:
            found[name.removesuffix("-1")] = value
    return found


def take(fields: dict[str, str], key: str, kind: Callable[[str], Any], default: Any) -> Any:
    """The value of a field, which leaves the fields, or the default where it is absent or unreadable."""
    try:
        value = kind(fields[key])
    except (KeyError, ValueError):
        return default
    del fields[key]
    return value


def read_float(text: str) -> float:
    """A finite number. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def read_bool(text: str) -> bool:
    """True or False in any case. Raises KeyError."""
    return {"true": True, "false": False}[text.strip().lower()]


def _read_list(text: str) -> tuple[str, ...]:
    values = json.loads(text)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(text)
    return tuple(values)


_NOISE_NAMES = {"CUDA": "NV"}
_POSTPROCESSING = re.compile(r"Postprocess .+|Max side length|(GFPGAN|CodeFormer) (visibility|weight)")
CHOICES: dict[str, dict[Any, str]] = {  # kind -> value: as A1111 writes it
    "mask mode": {False: "Inpaint masked", True: "Inpaint not masked"},
    "area": {"whole": "Whole picture", "masked": "Only masked"},
    "resize mode": {
        "stretch": "Just resize",
        "crop": "Crop and resize",
        "fill": "Resize and fill",
        "latent": "Just resize (latent upscale)",
    },
}
READERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": read_float,
    "bool": read_bool,
    "text": str,
    "list": _read_list,
    "noise": lambda text: {"CPU": "CPU", "NV": "CUDA", "GPU": "CUDA"}.get(text, text),
}
