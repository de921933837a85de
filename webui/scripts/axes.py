"""The axes of the X/Y/Z plot: what each changes in a request. Names and order are A1111's, then come our own.

A value of the first pass that a second pass shares (its steps are "the same") changes in both, as in A1111.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial
from typing import Any, TypeAlias

from webui.errors import InvalidRequest
from webui.request import GenerationRequest, Pass, Refiner, replace
from webui.scripts import values
from webui.scripts.values import split_list

# The request, the cell's value and all values of the axis -> the request of the cell.
Apply: TypeAlias = Callable[[GenerationRequest, Any, Sequence[Any]], GenerationRequest]
NOISE = {"cpu": "CPU", "gpu": "CUDA", "nv": "CUDA", "cuda": "CUDA"}


@dataclass(frozen=True)
class Axis:
    """One thing that can differ from cell to cell. `menu` names the list that its values come from.

    `kind` is how values are written: "int", "float", "bool", "size", "text", "choice", "order" or "setting".
    """

    name: str
    kind: str
    apply: Apply
    menu: str = ""
    tab: str = ""  # where it stands in A1111's menu; empty: everywhere
    problem: str = ""  # why it cannot be used here

    def read(self, text: str) -> list[Any]:
        """The values of a field. Raises InvalidRequest."""
        if self.problem:
            raise InvalidRequest(f"The axis {self.name} cannot be used: {self.problem}")
        found = _READERS.get(self.kind, split_list)(text)
        if not found:
            raise InvalidRequest(f"The axis {self.name} has no values.", "At least one was wanted.")
        return list(found)

    def label(self, value: Any) -> str:
        """A value as the grid's legend says it."""
        if isinstance(value, tuple):
            return "x".join(map(str, value)) if self.kind == "size" else ", ".join(value)
        if isinstance(value, float):
            value = f"{value:.6g}"
        return str(value) if self.kind in ("text", "choice", "setting") else f"{self.name}: {value}"


_READERS: dict[str, Callable[[str], Sequence[Any]]] = {
    "int": values.whole_numbers,
    "float": values.decimals,
    "bool": values.booleans,
    "size": values.sizes,
    "order": lambda text: _orders(split_list(text)),
}


def _orders(parts: Sequence[str]) -> list[tuple[str, ...]]:
    if len(parts) > 7:
        raise InvalidRequest(f"{len(parts)} parts have {factorial(len(parts))} orders.", "At most 7 parts were wanted.")
    return list(permutations(parts))


# How a value gets into a request ---------------------------------------------------------------------------------


def _whole(field: str) -> Apply:
    return lambda request, value, _: replace(request, **{field: value})


def _passes(request: GenerationRequest, change: Callable[[int, Pass], Pass]) -> GenerationRequest:
    return replace(request, passes=tuple(change(index, step) for index, step in enumerate(request.passes)))


def _shared(get: Callable[[Pass], Any], put: Callable[[Pass, Any], Pass]) -> Apply:
    """Changes the first pass, and those that have the same value as it."""

    def apply(request: GenerationRequest, value: Any, _: Sequence[Any]) -> GenerationRequest:
        before = get(request.passes[0])
        return _passes(request, lambda index, step: put(step, value) if get(step) == before else step)

    return apply


def _first(field: str) -> Apply:
    return _shared(lambda step: getattr(step, field), lambda step, value: dataclasses.replace(step, **{field: value}))


def _part(part: str, field: str) -> Apply:
    def put(step: Pass, value: Any) -> Pass:
        return dataclasses.replace(step, **{part: dataclasses.replace(getattr(step, part), **{field: value})})

    return _shared(lambda step: getattr(getattr(step, part), field), put)


def _chosen(field: str, sources: tuple[str, ...], where: str) -> Apply:
    """Changes the passes that start from one of `sources`. Raises InvalidRequest where there is none."""

    def apply(request: GenerationRequest, value: Any, _: Sequence[Any]) -> GenerationRequest:
        if not any(step.source in sources for step in request.passes):
            raise InvalidRequest(f"The {field.replace('_', ' ')} changes nothing here.", "", f"It works {where}.")

        def change(index: int, step: Pass) -> Pass:
            return dataclasses.replace(step, **{field: value}) if step.source in sources else step

        return _passes(request, change)

    return apply


def _hires(field: str) -> Apply:
    return _chosen(field, ("previous",), "with hires fix only: switch that on")


def _picture(field: str) -> Apply:
    return _chosen(field, ("image",), "where a picture is made from another one")


_AGAIN = "with hires fix, or where a picture is made from another one"


def _denoising(request: GenerationRequest, value: float, given: Sequence[Any]) -> GenerationRequest:
    source = "image" if request.passes[0].source == "image" else "previous"
    return _chosen("denoising_strength", (source,), _AGAIN)(request, value, given)


def _mask_weight(request: GenerationRequest, value: float, _: Sequence[Any]) -> GenerationRequest:
    return _in_mask(request, condition_weight=value)


def _in_mask(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    if not any(step.masked for step in request.passes):
        raise InvalidRequest("There is no mask whose settings could change.", "", "Such axes are for inpainting.")
    return _passes(
        request, lambda _, step: dataclasses.replace(step, inpaint=dataclasses.replace(step.inpaint, **changes))
    )


def _search_and_replace(negative_only: bool) -> Apply:
    """The first value is what is searched for; every value takes its place."""

    def apply(request: GenerationRequest, value: str, given: Sequence[Any]) -> GenerationRequest:
        old = given[0]
        own = [(step.prompt or "", step.negative_prompt or "") for step in request.passes]
        texts = [request.negative_prompt, *(negative for _, negative in own)]
        texts += [] if negative_only else [request.prompt, *(prompt for prompt, _ in own)]
        if not any(old in text for text in texts):
            raise InvalidRequest(
                f"{old!r} is {'not in the' if negative_only else 'in neither the prompt nor the'} negative prompt.",
                "The first value was wanted there: it is what the others replace.",
            )

        def change(_: int, step: Pass) -> Pass:
            changed: dict[str, Any] = {
                "negative_prompt": step.negative_prompt and step.negative_prompt.replace(old, value)
            }
            if not negative_only:
                changed["prompt"] = step.prompt and step.prompt.replace(old, value)
            return dataclasses.replace(step, **changed)

        prompt = request.prompt if negative_only else request.prompt.replace(old, value)
        negative = request.negative_prompt.replace(old, value)
        return _passes(replace(request, prompt=prompt, negative_prompt=negative), change)

    return apply


def _order(request: GenerationRequest, value: tuple[str, ...], _: Sequence[Any]) -> GenerationRequest:
    """Puts the parts of a prompt into another order; what stands between them stays."""
    prompt, places = request.prompt, []
    for part in value:
        place = prompt.find(part)
        if place < 0:
            raise InvalidRequest(f"{part!r} is not in the prompt.", "All values of Prompt order were wanted there.")
        places.append((place, part))
    made, end = "", 0
    for (place, old), new in zip(sorted(places), value, strict=True):
        made += prompt[end:place] + new
        end = max(end, place + len(old))
    return replace(request, prompt=made + prompt[end:])


def _size(request: GenerationRequest, value: tuple[int, int], _: Sequence[Any]) -> GenerationRequest:
    """The first pass in this size; later ones grow with it, as by a factor."""
    first = request.passes[0]

    def change(_: int, step: Pass) -> Pass:
        width = round(step.width * value[0] / first.width)
        return dataclasses.replace(step, width=width, height=round(step.height * value[1] / first.height))

    return _passes(request, change)


def _styles(request: GenerationRequest, value: str, _: Sequence[Any]) -> GenerationRequest:
    return replace(request, styles=(*request.styles, *split_list(value)))


def _noise_source(request: GenerationRequest, value: str, _: Sequence[Any]) -> GenerationRequest:
    if value.casefold() not in NOISE:
        raise InvalidRequest(f"The noise source is {value!r}.", "Choices: CPU, GPU, NV.")
    return replace(request, noise_source=NOISE[value.casefold()])


def _refiner(field: str) -> Apply:
    def apply(request: GenerationRequest, value: Any, _: Sequence[Any]) -> GenerationRequest:
        if field == "checkpoint":
            if value.casefold() == "none":
                return _passes(request, lambda _, step: dataclasses.replace(step, refiner=None))
            last = len(request.passes) - 1
            owners = [index for index, step in enumerate(request.passes) if step.refiner] or [last]
        else:
            owners = [index for index, step in enumerate(request.passes) if step.refiner]
            if not owners:
                raise InvalidRequest("There is no refiner whose switch could move.", "", "Choose a refiner first.")

        def change(index: int, step: Pass) -> Pass:
            own = dataclasses.replace(step.refiner or Refiner(""), **{field: value})
            return dataclasses.replace(step, refiner=own) if index in owners else step

        return _passes(request, change)

    return apply


def _vae(request: GenerationRequest, value: str, _: Sequence[Any]) -> GenerationRequest:
    usual = {"automatic": "Automatic", "auto": "Automatic", "none": "None"}
    return replace(request, vae=usual.get(value.casefold(), value))


def _nothing(request: GenerationRequest, value: Any, _: Sequence[Any]) -> GenerationRequest:
    return request


# The axes --------------------------------------------------------------------------------------------------------

_NO_FACES = "no face restorer is installed; an extension can bring one, and Extras uses it."
_NO_MERGING = "token merging is not part of this program; pictures would differ and the gain is small."
_NO_OPTION = "samplers and schedules here do not have this option."

AXES: tuple[Axis, ...] = (
    Axis("Nothing", "text", _nothing),
    Axis("Seed", "int", _whole("seed")),
    Axis("Var. seed", "int", _whole("variation_seed")),
    Axis("Var. strength", "float", _whole("variation_strength")),
    Axis("Steps", "int", _first("steps")),
    Axis("Hires steps", "int", _hires("steps"), tab="txt2img"),
    Axis("CFG Scale", "float", _part("guidance", "scale")),
    Axis("Image CFG Scale", "float", _part("guidance", "image_scale"), tab="img2img"),
    Axis("Prompt S/R", "text", _search_and_replace(negative_only=False)),
    Axis("Prompt order", "order", _order),
    Axis("Sampler", "choice", _first("sampler"), "sampler"),
    Axis("Hires sampler", "choice", _hires("sampler"), "sampler", tab="txt2img"),
    Axis("Checkpoint name", "choice", _whole("checkpoint"), "checkpoint"),
    Axis("Negative Guidance minimum sigma", "float", _part("guidance", "minimum_sigma")),
    Axis("Sigma Churn", "float", _part("options", "s_churn")),
    Axis("Sigma min", "float", _part("options", "s_tmin")),
    Axis("Sigma max", "float", _part("options", "s_tmax")),
    Axis("Sigma noise", "float", _part("options", "s_noise")),
    Axis("Schedule type", "choice", _first("schedule"), "schedule"),
    Axis("Schedule min sigma", "float", _part("options", "sigma_min")),
    Axis("Schedule max sigma", "float", _part("options", "sigma_max")),
    Axis("Schedule rho", "float", _part("options", "rho")),
    Axis("Beta schedule alpha", "float", _nothing, problem=_NO_OPTION),
    Axis("Beta schedule beta", "float", _nothing, problem=_NO_OPTION),
    Axis("Eta", "float", _part("options", "eta")),
    Axis("Clip skip", "int", _whole("clip_skip")),
    Axis("Denoising", "float", _denoising),
    Axis("Initial noise multiplier", "float", _picture("noise_multiplier")),
    Axis("Extra noise", "float", _chosen("extra_noise", ("image", "previous"), _AGAIN)),
    Axis("Hires upscaler", "choice", _hires("upscaler"), "hires_upscaler", tab="txt2img"),
    Axis("Cond. Image Mask Weight", "float", _mask_weight, tab="img2img"),
    Axis("VAE", "choice", _vae, "vae"),
    Axis("Styles", "choice", _styles, "styles"),
    Axis("UniPC Order", "int", _nothing, problem=_NO_OPTION),
    Axis("Face restore", "choice", _nothing, problem=_NO_FACES),
    Axis("Token merging ratio", "float", _nothing, problem=_NO_MERGING),
    Axis("Token merging ratio high-res", "float", _nothing, problem=_NO_MERGING),
    Axis("Always discard next-to-last sigma", "bool", _part("options", "discard_penultimate")),
    Axis("SGM noise multiplier", "bool", _nothing, problem=_NO_OPTION),
    Axis("Refiner checkpoint", "choice", _refiner("checkpoint"), "refiner_checkpoint"),
    Axis("Refiner switch at", "float", _refiner("switch_at")),
    Axis("RNG source", "choice", _noise_source, "noise_source"),
    Axis(
        "FP8 mode",
        "choice",
        _nothing,
        problem="weights are used in the precision of their file, or in that of --precision.",
    ),
    Axis("Size", "size", _size),
    # from here on our own
    Axis("Negative S/R", "text", _search_and_replace(negative_only=True)),
    Axis("Hires schedule type", "choice", _hires("schedule"), "schedule", tab="txt2img"),
    Axis("Hires checkpoint", "choice", _hires("checkpoint"), "checkpoint", tab="txt2img"),
    Axis("CFG rescale", "float", _part("guidance", "rescale")),
    Axis("CFG start", "float", _part("guidance", "start")),
    Axis("CFG end", "float", _part("guidance", "end")),
    Axis("Skip early CFG", "float", _part("guidance", "skip_early")),
    Axis("ENSD", "int", _part("options", "noise_seed_delta")),
    Axis("Emphasis", "choice", _whole("emphasis"), "emphasis"),
    Axis("Tiling", "bool", _whole("tiling")),
    Axis("Mask blur", "int", lambda request, value, _: _in_mask(request, mask_blur=(value, value)), tab="img2img"),
    Axis("Masked padding", "int", lambda request, value, _: _in_mask(request, padding=value), tab="img2img"),
    Axis(
        "Masked content", "choice", lambda r, value, _: _in_mask(r, masked_content=value), "masked_content", "img2img"
    ),
    Axis("Resize mode", "choice", _picture("resize_mode"), "resize_mode", tab="img2img"),
    Axis("Setting", "setting", _nothing),  # name=value; changed in the settings of the cell, not in its request
)
_BY_NAME = {axis.name.casefold(): axis for axis in AXES}


def find_axis(name: str) -> Axis:
    """The axis of a name. Raises InvalidRequest naming them all."""
    axis = _BY_NAME.get(name.strip().casefold())
    if axis is None:
        raise InvalidRequest(f"There is no axis named {name!r}.", f"Known: {', '.join(a.name for a in AXES)}.")
    return axis


def axes_of(tab: str) -> list[Axis]:
    """The axes that a tab offers, in A1111's order: its API names them by number."""
    return [axis for axis in AXES if axis.tab in ("", tab)]
