"""One pass resolved: names found, sizes rounded, noise levels as floats. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from webui.engine.catalogue import CheckpointFile
from webui.engine.pictures import picture_bytes
from webui.errors import IncompatibleModel, InvalidRequest
from webui.imaging.files import open_picture
from webui.request import Pass, Refiner

if TYPE_CHECKING:
    from webui.families.base import ModelFacts

LARGEST_STRENGTH = 0.999  # of img2img: one whole step must remain
SMALLEST_TILE = 64  # pixels


@dataclass(frozen=True)
class Base:
    """A checkpoint, and the VAE that goes with it: a file of its own, or None for the one inside the checkpoint."""

    checkpoint: CheckpointFile
    vae: CheckpointFile | None
    facts: ModelFacts


@dataclass(frozen=True)
class RefinerPlan:
    """The checkpoint that takes over at the noise level `sigma` and keeps all below."""

    base: Base
    sigma: float


@dataclass(frozen=True)
class PassPlan:
    """One denoising run, resolved. `sigmas` are those that are run, one more than the steps, ending in 0."""

    settings: Pass
    base: Base
    latent_shape: tuple[int, int, int]  # channels, height, width
    sigmas: tuple[float, ...]
    evaluations_per_step: int
    one_at_a_time: bool = False  # the sampler chooses its steps by what it sees: pictures must not share a batch
    refiner: RefinerPlan | None = None

    @property
    def steps(self) -> int:
        """Steps that are really run."""
        return len(self.sigmas) - 1

    @property
    def bases(self) -> tuple[Base, ...]:
        """The checkpoints of this pass."""
        return (self.base, self.refiner.base) if self.refiner else (self.base,)

    @property
    def tile(self) -> int:
        """Pixels along a side of what the network sees at once; 0 for everything."""
        tiles = self.settings.tiles
        return 0 if tiles is None else max(SMALLEST_TILE, tiles.size or self.base.facts.native_size)

    @property
    def seen_size(self) -> tuple[int, int]:
        """Width and height in pixels of what the network sees at once."""
        limit = self.tile or max(self.settings.width, self.settings.height)
        return min(self.settings.width, limit), min(self.settings.height, limit)


FindBase: TypeAlias = Callable[[str], Base]  # by a checkpoint's name


def resolve_pass(step: Pass, base: Base, find: FindBase, index: int, warnings: list[str]) -> PassPlan:
    """Resolve pass number `index`; `base` is the request's checkpoint, `find` knows others.

    Raises InvalidRequest for what contradicts itself, NotFound, DamagedFile or UnsafeFile for a picture that cannot be
    read, IncompatibleModel for a refiner with other latents.
    """
    from webui.diffusion.samplers import SAMPLERS, resolve_names

    _check_source(step, index)
    if step.checkpoint:
        base = find(step.checkpoint)
        step = dataclasses.replace(step, checkpoint=base.checkpoint.title)
    facts = base.facts
    sampler, schedule = resolve_names(step.sampler, step.schedule)
    width, height = (_rounded(side, facts.factor) for side in (step.width, step.height))
    if (width, height) != (step.width, step.height):
        warnings.append(f"The size was rounded to {width}×{height}: multiples of {facts.factor} are possible.")
    if index == 0 and step.tiles is None:
        warnings.extend(_size_warnings(width, height, facts))
    guidance = step.guidance  # only networks that edit pictures know a second scale
    if guidance.image_scale is not None and facts.variant != "edit":
        guidance = dataclasses.replace(guidance, image_scale=None)
    settings = dataclasses.replace(
        step, sampler=sampler, schedule=schedule, width=width, height=height, guidance=guidance
    )
    refiner = None
    if step.refiner is not None and step.refiner.switch_at < 1:
        other = find(step.refiner.checkpoint)
        settings = dataclasses.replace(
            settings, refiner=dataclasses.replace(step.refiner, checkpoint=other.checkpoint.title)
        )
    sigmas = tuple(_sigmas(settings, facts))
    if step.refiner is not None and step.refiner.switch_at < 1:
        refiner = RefinerPlan(other, _switch_sigma(step.refiner, sigmas, facts))
        _check_refiner(other.facts, facts)
    shape = (facts.latent_channels, height // facts.factor, width // facts.factor)
    known = SAMPLERS.find(sampler).facts
    evaluations = int(known.get("evaluations_per_step", 1))
    return PassPlan(settings, base, shape, sigmas, evaluations, bool(known.get("one_at_a_time")), refiner)


def _check_source(step: Pass, index: int) -> None:
    if step.source == "previous" and index == 0:
        raise InvalidRequest("The first pass starts from the previous one.", "It must start from noise or an image.")
    if step.source == "image":
        if not step.sources:
            raise InvalidRequest(f"Pass {index + 1} starts from an image, but there is none.", "Give one in `image`.")
        for picture in (*step.sources, *filter(None, (step.mask, step.colours_of))):
            open_picture(picture_bytes(picture))
    elif step.mask:
        raise InvalidRequest(
            "The request has a mask and no picture to paint in.", "Only passes that start from an image take a mask."
        )


def _check_refiner(refiner: ModelFacts, facts: ModelFacts) -> None:
    if not refiner.latents.matches(facts.latents):
        raise IncompatibleModel(
            f"The refiner is made for {refiner.label}.",
            f"One with the latents of {facts.label} was wanted.",
            "Choose another refiner, or make a second pass with that checkpoint.",
        )


def _rounded(side: int, factor: int) -> int:
    return max(factor, int(side / factor + 0.5) * factor)


def _sigmas(step: Pass, facts: ModelFacts) -> Sequence[float]:
    """The sigmas that are run: for an image `steps · strength` of them, in a later pass all of its `steps` (A1111)."""
    from webui.diffusion.schedules import sigmas_for

    law = facts.law(step.width, step.height)
    strength = min(step.denoising_strength, LARGEST_STRENGTH)
    if step.source == "noise":
        return sigmas_for(step.sampler, step.schedule, step.steps, law, step.options)
    if strength <= 0:
        return (0.0,)
    if step.source == "image" and not step.exact_steps:
        total, run = step.steps, int(strength * step.steps) + 1
    else:
        total, run = int(step.steps / strength), step.steps
    sigmas = sigmas_for(step.sampler, step.schedule, max(total, run), law, step.options)
    return sigmas[max(0, len(sigmas) - 1 - run) :]


def _switch_sigma(refiner: Refiner, sigmas: Sequence[float], facts: ModelFacts) -> float:
    """The noise level at which the refiner takes over.

    A1111 counts the network's levels of training, 999 down to 0, and switches once `switch_at` of them are behind.
    """
    if refiner.by_steps:
        return sigmas[min(len(sigmas) - 1, math.ceil(refiner.switch_at * (len(sigmas) - 1) - 1e-9))]
    law = facts.law()
    levels = len(law.sigmas)
    last = math.floor(levels - 1 - refiner.switch_at * levels + 1e-9)  # the first level that is the refiner's
    return law.at(max(0.0, min(last + 0.5, levels - 1.0)))


def _size_warnings(width: int, height: int, facts: ModelFacts) -> list[str]:
    native = facts.native_size
    ratio = math.sqrt(width * height) / native
    if ratio < 0.7:
        return [f"{width}×{height} is small for {facts.label}, which draws best near {native}×{native}."]
    if ratio > 1.5:
        return [
            f"{width}×{height} is large for {facts.label}, which draws best near {native}×{native}: things may double. "
            "Make a smaller picture and enlarge it afterwards."
        ]
    return []
