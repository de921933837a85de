"""What a user asked for, as plain data: JSON-able, versioned, nothing resolved, no torch."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webui.errors import InvalidRequest

REQUEST_VERSION = 1
SEED_MAXIMUM = 2**32 - 1
RESIZE_MODES = ("stretch", "crop", "fill", "latent")  # in A1111's order
MASKED_CONTENTS = ("fill", "original", "latent noise", "latent nothing")  # in A1111's order
LATENT_UPSCALERS = {  # name -> mode of interpolation, antialiased
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}


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
class SoftInpaint:
    """A mask of degrees instead of yes and no; the numbers are those of A1111's soft inpainting.

    `schedule_bias` and `preservation` say how long a half masked cell is kept: mask ** (sigma ** schedule_bias ·
    preservation) of it is new, little while the noise is strong and all of it at the end. `contrast_boost` keeps the
    contrast where old and new are mixed. The other three decide which finished pixels are taken over: by how much the
    mask counts beside the change, by which change half of a pixel is taken, and how sharply.
    """

    schedule_bias: float = 1.0
    preservation: float = 0.5
    contrast_boost: float = 4.0
    mask_influence: float = 0.0
    difference_threshold: float = 0.5
    difference_contrast: float = 2.0


@dataclass(frozen=True)
class Inpaint:
    """How a mask is used. Without a mask (`Pass.mask`, `from_alpha` or `Pass.outpaint`) nothing here counts."""

    mask_blur: tuple[int, int] = (4, 4)  # deviation in pixels along x and y
    invert: bool = False  # repaint what is not masked
    masked_content: str = "original"  # "fill", "original", "latent noise" or "latent nothing"
    area: str = "whole"  # "whole" picture, or "masked": the region around the mask at the size of the pass
    padding: int = 32  # pixels around that region
    from_alpha: bool = False  # the mask is the picture's own transparency
    round_mask: bool = True  # cells of latents are repainted or not, nothing between
    condition_weight: float = 1.0  # how much of the masked picture is hidden from inpainting checkpoints
    soft: SoftInpaint | None = None


@dataclass(frozen=True)
class Outpaint:
    """Pixels by which the source picture grows at each side before the pass; what is new is masked."""

    left: int = 0
    right: int = 0
    up: int = 0
    down: int = 0


@dataclass(frozen=True)
class Refiner:
    """A second checkpoint that takes over within a pass, keeping the latents.

    `switch_at` is the share, 0 to 1, of noise levels that the first one gets, as in A1111; of steps with `by_steps`.
    """

    checkpoint: str
    switch_at: float = 0.8
    by_steps: bool = False


@dataclass(frozen=True)
class Tiles:
    """Network calls see overlapping squares of the picture, so any size is possible. Sides in pixels."""

    size: int = 0  # 0: the checkpoint's native size
    overlap: int = 64


@dataclass(frozen=True)
class Pass:
    """One denoising run. txt2img is one pass from noise; later passes start from the one before.

    An image pass makes its picture from `image`; where `images` holds more, picture number i of the job starts from
    the i-th, round and round. `upscaler` names what enlarges: in a "previous" pass one of LATENT_UPSCALERS or a
    model's name, in an image pass a model's name (others mean Lanczos). At strength 0 a picture stays as it is.
    """

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
    mask: str | None = None  # base64 picture, white (or where it has alpha: opaque) = repaint
    images: tuple[str, ...] = ()  # further base64 pictures to start from
    resize_mode: str = "stretch"  # "stretch", "crop", "fill" or "latent": how an image gets the size of the pass
    upscaler: str = "Latent"
    exact_steps: bool = False  # an image pass runs all of `steps`, not only strength · steps
    noise_multiplier: float = 1.0  # on the noise that an image pass starts with
    extra_noise: float = 0.0  # added to the start beyond what the schedule says
    match_colours: bool = False  # give the result the colours of the image it was made from
    colours_of: str | None = None  # base64 picture whose colours it takes instead
    background: str = "#ffffff"  # what shows through a transparent image
    inpaint: Inpaint = field(default_factory=Inpaint)
    outpaint: Outpaint = field(default_factory=Outpaint)
    prompt: str | None = None  # None: the request's
    negative_prompt: str | None = None
    checkpoint: str | None = None  # None: the request's
    refiner: Refiner | None = None
    tiles: Tiles | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """All pictures that an image pass starts from, as base64."""
        return (*([self.image] if self.image else []), *self.images)

    @property
    def masked(self) -> bool:
        """Whether only a part is to be repainted."""
        return self.source == "image" and bool(self.mask or self.inpaint.from_alpha or self.outpaint != Outpaint())


@dataclass(frozen=True)
class AestheticGradients:
    """Steering the text encoder towards pictures before it reads a prompt (Gallego 2022). The words and defaults are
    those of A1111's extension.

    A copy of the encoder takes `steps` towards the mean of pictures in `embedding`; `weight` of what it then makes of
    the prompt is mixed in. `text` shifts the pictures' mean: by `text_angle` of the way towards the words, or with
    `text_negative` away from them.
    """

    embedding: str = ""  # a file of models/aesthetic_embeddings
    weight: float = 0.9
    steps: int = 5
    learning_rate: float = 0.0001
    slerp: bool = False  # mix along the sphere instead of the straight line
    text: str = ""
    text_negative: bool = False
    text_angle: float = 0.1


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
    aesthetic: AestheticGradients | None = None
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
    for one in dataclasses.fields(kind):
        if one.name not in data and one.default is one.default_factory is dataclasses.MISSING:
            raise InvalidRequest(f"{where} has no field {one.name!r}.", "It must be given.")
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
        value = float(value) if abs(value) < 2**1000 else math.inf
    wanted = Mapping if origin is not None else hint
    if not isinstance(value, wanted) or (hint is not bool and isinstance(value, bool)):
        raise InvalidRequest(f"{where} is {value!r}.", f"{getattr(hint, '__name__', 'an object')} was wanted.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{where} is {value!r}.", "A finite number was wanted.")
    return dict(value) if origin is not None else value


def check(request: GenerationRequest) -> GenerationRequest:
    """Refuse values no model could serve, before any work. Returns the request unchanged."""
    if not request.passes:
        raise InvalidRequest("The request has no pass.", "At least one was wanted.")
    for step in request.passes:
        _check_pass(step)
    _bound("The batch size", request.batch_size, 1, 64)
    _bound("The batch count", request.count, 1, 10000)
    _bound("Clip skip", request.clip_skip, 1, 12)
    _bound("The seed", request.seed, -1, 2**64 - 1)
    _bound("The variation strength", request.variation_strength, 0, 1)
    if request.aesthetic is not None:
        _check_aesthetic(request.aesthetic)
    for name, options in request.extensions.items():
        if not isinstance(options, Mapping):
            raise InvalidRequest(f"The options of the extension {name!r} are {options!r}.", "Wanted: an object.")
    words = [("prompt", request.prompt), ("negative prompt", request.negative_prompt)]
    others = [text or "" for step in request.passes for text in (step.prompt, step.negative_prompt)]
    words += [("prompt of a pass", text) for text in others]
    for name, text in words:
        if len(text) > 1_000_000:
            raise InvalidRequest(f"The {name} has {len(text)} characters.", "At most 1,000,000 are read.")
    return request


def _check_pass(step: Pass) -> None:
    _bound("The width", step.width, 16, 16384)
    _bound("The height", step.height, 16, 16384)
    _bound("The number of steps", step.steps, 1, 1000)
    _bound("The guidance scale", step.guidance.scale, -100, 100)
    _bound("The denoising strength", step.denoising_strength, 0, 1)
    _bound("The noise multiplier", step.noise_multiplier, 0, 10)
    _bound("The extra noise", step.extra_noise, 0, 10)
    _one_of("The source of a pass", step.source, ("noise", "image", "previous"))
    if not re.fullmatch("#[0-9a-fA-F]{6}", step.background):
        raise InvalidRequest(f"The background colour is {step.background!r}.", "Wanted: such as #ffffff.")
    _one_of("The resize mode", step.resize_mode, RESIZE_MODES)
    _one_of("The masked content", step.inpaint.masked_content, MASKED_CONTENTS)
    _one_of("The inpaint area", step.inpaint.area, ("whole", "masked"))
    for blur in step.inpaint.mask_blur:
        _bound("The mask blur", blur, 0, 256)
    _bound("The padding", step.inpaint.padding, 0, 4096)
    _bound("The condition weight", step.inpaint.condition_weight, 0, 1)
    for pixels in dataclasses.astuple(step.outpaint):
        _bound("The pixels to add at a side", pixels, 0, 4096)
    if step.refiner is not None:
        _bound("The refiner's share", step.refiner.switch_at, 0, 1)
    if step.tiles is not None:
        _bound("The tile size", step.tiles.size, 0, 16384)
        _bound("The overlap of tiles", step.tiles.overlap, 0, 4096)
    if step.inpaint.soft is not None:
        _bound("The contrast boost", step.inpaint.soft.contrast_boost, 0.01, 64)
        for number in dataclasses.astuple(step.inpaint.soft):
            _bound("A number of soft inpainting", number, 0, 64)


def _check_aesthetic(options: AestheticGradients) -> None:
    if not options.embedding:
        raise InvalidRequest("The aesthetic gradients name no embedding.", "Choose one, or leave them out.")
    _bound("The aesthetic weight", options.weight, 0, 1)
    _bound("The number of aesthetic steps", options.steps, 0, 1000)
    _bound("The aesthetic learning rate", options.learning_rate, 0, 1)
    _bound("The aesthetic text's angle", options.text_angle, 0, 1)
    if len(options.text) > 10_000:
        raise InvalidRequest(f"The aesthetic text has {len(options.text)} characters.", "At most 10,000 are read.")


def _bound(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        found = f"{value:g}" if isinstance(value, float) or abs(value) < 1e300 else "far too large"
        raise InvalidRequest(f"{name} is {found}.", f"It must be from {low:g} to {high:g}.")


def _one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InvalidRequest(f"{name} is {value!r}.", f"Choices: {', '.join(choices)}.")


def replace(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    """A copy with some fields changed (`dataclasses.replace`, by a name that reads well here)."""
    return dataclasses.replace(request, **changes)
