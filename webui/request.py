"""What a user asked for, as plain data: JSON-able, versioned, nothing resolved, no torch."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.errors import InvalidRequest

REQUEST_VERSION = 1
SEED_MAXIMUM = 2**32 - 1


@dataclass(frozen=True)
class Guidance:
    """How strongly the prompt steers. Fractions are shares of the pass's steps, 0 to 1."""

    scale: float = 7.0
    rescale: float = 0.0  # 0 none, 1 full (Lin et al. 2023, section 3.4)
    start: float = 0.0  # guidance interval; outside it only the positive prompt is computed
    end: float = 1.0
    skip_early: float = 0.0  # "skip uncond early": share of first steps without the negative prompt
    minimum_sigma: float = 0.0  # every second step below this sigma skips the negative prompt (s_min_uncond)
    image_scale: float | None = None  # second scale of instruct-pix2pix checkpoints


@dataclass(frozen=True)
class SamplerOptions:
    """Fine settings of the sampler; None means the sampler's own default."""

    eta: float | None = None
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float | None = None  # None: no upper bound
    s_noise: float = 1.0
    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float | None = None
    discard_penultimate: bool | None = None
    noise_seed_delta: int = 0  # A1111's ENSD: added to the seed of the noise drawn during sampling


@dataclass(frozen=True)
class Pass:
    """One denoising run. txt2img is one pass from noise; later passes start from the one before."""

    source: str = "noise"  # "noise", "image" or "previous"
    width: int = 512
    height: int = 512
    sampler: str = "Euler a"
    schedule: str = "Automatic"
    steps: int = 20
    guidance: Guidance = field(default_factory=Guidance)
    options: SamplerOptions = field(default_factory=SamplerOptions)
    denoising_strength: float = 1.0
    image: str | None = None  # base64 picture, for source "image"
    mask: str | None = None  # base64 picture, white = repaint


@dataclass(frozen=True)
class GenerationRequest:
    """One job. `seed` -1 is drawn when the plan is made and written into the result."""

    prompt: str = ""
    negative_prompt: str = ""
    styles: tuple[str, ...] = ()
    checkpoint: str | None = None  # name, title, file name or hash; None: the one in settings
    vae: str = "Automatic"
    clip_skip: int = 1
    seed: int = -1
    variation_seed: int = -1
    variation_strength: float = 0.0
    resize_seed_from: tuple[int, int] | None = None  # width, height
    noise_source: str = "CPU"  # "CPU", or "CUDA": the same numbers an NVIDIA card would draw (Philox)
    batch_size: int = 1  # pictures computed together
    count: int = 1  # batches, one after the other
    emphasis: str = "Original"  # "None", "Ignore", "Original", "No norm"
    comma_backtrack: int = 20
    tiling: bool = False
    passes: tuple[Pass, ...] = (Pass(),)
    extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    save: bool = True  # write pictures to the output folder
    version: int = REQUEST_VERSION

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back to an equal request."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> GenerationRequest:
    """Read `to_json`'s output. Raises InvalidRequest naming the field that does not fit."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"The request is not JSON: {error}.") from None
    return from_dict(data)


def from_dict(data: Any) -> GenerationRequest:
    """Build a request from plain values; missing fields take their defaults, unknown ones are errors."""
    request = _build(GenerationRequest, data, "request")
    if request.version != REQUEST_VERSION:
        raise InvalidRequest(
            f"The request has version {request.version}.", f"This program reads version {REQUEST_VERSION}."
        )
    return request


def _build(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise InvalidRequest(f"{where} is {type(data).__name__}.", "An object was wanted.")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(data) - {f.name for f in dataclasses.fields(kind)})
    if unknown:
        raise InvalidRequest(f"{where} has no field {unknown[0]!r}.", f"Known: {', '.join(hints)}.")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidRequest(f"{where} is {value!r}.", "A list was wanted.")
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise InvalidRequest(f"{where} has {len(value)} entries.", f"{len(arguments)} were wanted.")
        return tuple(_convert(a, v, where) for a, v in zip(arguments, value, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = Mapping if origin is not None else hint
    if not isinstance(value, wanted) or (hint is not bool and isinstance(value, bool)):
        raise InvalidRequest(f"{where} is {value!r}.", f"{getattr(hint, '__name__', 'an object')} was wanted.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{where} is {value!r}.", "A finite number was wanted.")
    return dict(value) if origin is not None else value


def check(request: GenerationRequest) -> GenerationRequest:
    """Refuse values no model could serve, before any work. Returns the request unchanged."""

    def bound(name: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise InvalidRequest(f"{name} is {value:g}.", f"It must be from {low:g} to {high:g}.")

    if not request.passes:
        raise InvalidRequest("The request has no pass.", "At least one was wanted.")
    for step in request.passes:
        bound("The width", step.width, 16, 16384)
        bound("The height", step.height, 16, 16384)
        bound("The number of steps", step.steps, 1, 1000)
        bound("The guidance scale", step.guidance.scale, -100, 100)
        bound("The denoising strength", step.denoising_strength, 0, 1)
        if step.source not in ("noise", "image", "previous"):
            raise InvalidRequest(f"A pass starts from {step.source!r}.", "It starts from noise, image or previous.")
    bound("The batch size", request.batch_size, 1, 64)
    bound("The batch count", request.count, 1, 10000)
    bound("Clip skip", request.clip_skip, 1, 12)
    bound("The seed", request.seed, -1, 2**64 - 1)
    bound("The variation strength", request.variation_strength, 0, 1)
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if len(text) > 1_000_000:
            raise InvalidRequest(f"The {name} has {len(text)} characters.", "At most 1,000,000 are read.")
    return request


def replace(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    """A copy with some fields changed (`dataclasses.replace`, by a name that reads well here)."""
    return dataclasses.replace(request, **changes)
