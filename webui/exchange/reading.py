"""What reading gives: a request, and a list of what it cannot say. `Draft` collects both, value by value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.exchange.documents import as_boolean, as_integer, as_number, as_text, shown
from webui.exchange.names import file_stem, nearest_sampler, sampler_and_schedule, schedule_name
from webui.request import GenerationRequest, Guidance, Pass, Refiner, SamplerOptions

NO_PLACE = "There is no such option here."


@dataclass(frozen=True)
class Untranslated:
    """One value, or one node of a workflow, that the request does not say, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """A request and what was left out of it."""

    request: GenerationRequest
    left_out: tuple[Untranslated, ...] = ()


@dataclass(frozen=True)
class PictureInfo:
    """All that a picture file says of how it was made.

    `program` is the one that wrote it, or None; `infotext` its text as it was stored; `items` all metadata by name;
    width and height in pixels. Without a request the file says nothing that was understood of how it was drawn;
    `postprocessing` is what Extras did to it since, by A1111's names.
    """

    program: str | None
    infotext: str
    request: GenerationRequest | None
    left_out: tuple[Untranslated, ...]
    items: Mapping[str, str]
    width: int
    height: int
    format: str
    postprocessing: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """All of it as JSON-able values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Attribute:
    """Where a value goes, how it is read, and its bounds."""

    place: str  # "request", "pass", "guidance" or "options"
    read: Callable[[Any], Any]
    low: float = 0.0
    high: float = 0.0


def _model(value: Any) -> str | None:
    name = as_text(value)
    return file_stem(name) or None if name else None


_ATTRIBUTES = {
    "prompt": _Attribute("request", as_text),
    "negative_prompt": _Attribute("request", as_text),
    "checkpoint": _Attribute("request", _model),
    "vae": _Attribute("request", _model),
    "seed": _Attribute("request", as_integer, 0, 2**64 - 1),
    "variation_seed": _Attribute("request", as_integer, 0, 2**64 - 1),
    "variation_strength": _Attribute("request", as_number, 0, 1),
    "clip_skip": _Attribute("request", as_integer, 1, 12),
    "batch_size": _Attribute("request", as_integer, 1, 64),
    "tiling": _Attribute("request", as_boolean),
    "emphasis": _Attribute("request", as_text),
    "noise_source": _Attribute("request", as_text),
    "width": _Attribute("pass", as_integer, 16, 16384),
    "height": _Attribute("pass", as_integer, 16, 16384),
    "steps": _Attribute("pass", as_integer, 1, 1000),
    "denoising_strength": _Attribute("pass", as_number, 0, 1),
    "scale": _Attribute("guidance", as_number, -100, 100),
    "rescale": _Attribute("guidance", as_number, 0, 1),
    "image_scale": _Attribute("guidance", as_number, -100, 100),
    "eta": _Attribute("options", as_number, 0, 10),
    "noise_seed_delta": _Attribute("options", as_integer, 0, 2**32 - 1),
}


@dataclass
class Draft:
    """A request in the making. `put` takes what fits and lists what does not."""

    values: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"request": {"noise_source": "CPU"}, "pass": {}, "guidance": {}, "options": {}}
    )
    left_out: list[Untranslated] = field(default_factory=list)

    def put(self, attribute: str, value: Any, name: str | None = None) -> bool:
        """Set one attribute; what cannot be read or is out of bounds is listed under `name`. None says nothing."""
        if value is None:
            return False
        if attribute in ("sampler", "schedule"):
            return self._put_name(attribute, value, name or attribute)
        kind = _ATTRIBUTES[attribute]
        read = kind.read(value)
        if read is None or (kind.high and not kind.low <= read <= kind.high):
            self.leave_out(name or attribute, value, "The value cannot be used here.")
            return False
        self.values[kind.place][attribute] = read
        return True

    def leave_out(self, name: str, value: Any, reason: str = NO_PLACE) -> None:
        """List something that the request does not say."""
        self.left_out.append(Untranslated(shown(name), shown(value), reason))

    def put_all(self, data: Mapping[str, Any], attributes: Mapping[str, str], silent: Iterable[str] = ()) -> None:
        """Put what the table knows, list the rest; `silent` keys say nothing about the picture, nor do empty values."""
        silent = frozenset(silent)
        for name, value in data.items():
            if name in attributes:
                self.put(attributes[name], value, name)
            elif name not in silent and value not in (None, "", [], {}, False, "None"):
                self.leave_out(name, value)

    def get(self, attribute: str, default: Any = None) -> Any:
        """What was put, or the default."""
        place = "pass" if attribute in ("sampler", "schedule") else _ATTRIBUTES[attribute].place
        return self.values[place].get(attribute, default)

    def append_prompt(self, text: str) -> None:
        """Write something behind the prompt, such as a LoRA."""
        prompt = self.get("prompt", "")
        self.values["request"]["prompt"] = f"{prompt} {text}" if prompt else text

    def put_refiner(self, model: Any, switch_at: Any, name: str) -> None:
        """A second checkpoint that takes over at that share of the steps; None and "None" say that there is none."""
        stem, share = _model(model), as_number(switch_at)
        if stem is None or stem == "None":
            return
        if share is None or not 0 <= share <= 1:
            self.leave_out(name, model, "When it takes over is not told.")
        else:
            self.values["pass"]["refiner"] = Refiner(stem, share, by_steps=True)

    def first_pass(self) -> Pass:
        """The pass as far as it is known; it starts from a picture where a denoising strength was put."""
        values = dict(self.values["pass"])
        if "denoising_strength" in values:
            values["source"] = "image"
        guidance, options = Guidance(**self.values["guidance"]), SamplerOptions(**self.values["options"])
        return Pass(**values, guidance=guidance, options=options)

    def finish(self, *later: Pass) -> Reading:
        """The request of what was put, with further passes behind the first."""
        request = GenerationRequest(passes=(self.first_pass(), *later), **self.values["request"])
        return Reading(request, tuple(self.left_out))

    def _put_name(self, attribute: str, value: Any, name: str) -> bool:
        text = as_text(value)
        if attribute == "schedule":
            found = schedule_name(text) if text else None
            if found:
                self.values["pass"]["schedule"] = found
        else:
            pair = sampler_and_schedule(text) if text else None
            found = pair[0] if pair else None
            if pair:
                self.values["pass"]["sampler"] = pair[0]
                if pair[1] and "schedule" not in self.values["pass"]:
                    self.values["pass"]["schedule"] = pair[1]
        near = nearest_sampler(text) if text and attribute == "sampler" and not found else None
        if near:
            self.values["pass"]["sampler"] = near
            self.leave_out(name, value, f"There is no sampler of that name here; {near} stands.")
        elif not found:
            self.leave_out(name, value, f"There is no {attribute} of that name here.")
        return found is not None
