"""What a run gives to each of its passes, and what a pass leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from webui.diffusion.noise import NoiseSource
from webui.engine.adapters import AdapterUse
from webui.engine.control import Control, Reporter
from webui.engine.passes import Base, PassPlan
from webui.engine.pictures import SourcePicture
from webui.engine.plan import PicturePlan, Plan
from webui.engine.seamless import seamless
from webui.engine.session import Session
from webui.imaging.convert import to_pictures, to_tensor


@dataclass(frozen=True)
class Stage:
    """What a picture was after pass number `after`, whose colours were already those of its source or not."""

    image: Image.Image
    after: int
    matched: bool = True


@dataclass(frozen=True)
class Surroundings:
    """The plan, and everything around it. `sources` are pictures of the request that were read already, `stages` what
    pictures were on their way, by their index and a name, where it is to be kept."""

    plan: Plan
    session: Session
    report: Reporter
    control: Control
    lean: bool = False  # memory ran out before: decode and encode in small tiles
    told: set[str] = field(default_factory=set)
    sources: dict[tuple[int, int], SourcePicture] = field(default_factory=dict)
    stages: dict[tuple[int, str], Stage] = field(default_factory=dict)

    def use(self, base: Base, adapters: Sequence[AdapterUse]) -> None:
        """Make a checkpoint the loaded one, with these adapters and no others; the one before stays if it can."""
        with self.report.stage("load"):
            self.session.load(base.checkpoint, base.vae, keep=True)
        with self.report.stage("attach"):
            for note in self.session.adapters.switch(adapters):
                if note not in self.told:
                    self.told.add(note)
                    self.report.note(note)

    def seamless(self) -> AbstractContextManager[None]:
        """Within the block the loaded networks draw pictures that continue across their edges, if that is wanted."""
        model = self.session.model
        return seamless(model.unet, model.vae) if self.plan.request.tiling else nullcontext()


@dataclass(frozen=True)
class Drawn:
    """What a pass leaves: latents [B, C, h, w], or finished pictures where it ended in pixels. One of the two."""

    latents: Tensor | None = None
    pictures: tuple[Image.Image, ...] = ()


def decoded(given: Surroundings, drawn: Drawn) -> list[Tensor]:
    """Pictures [3, H, W] in [0, 1] on the CPU; the checkpoint of the pass must be the loaded one."""
    if drawn.latents is None:
        return [to_tensor(picture)[0] for picture in drawn.pictures]
    with given.report.stage("decode"), given.seamless():
        return list(given.session.decode(drawn.latents, given.lean))


def decoded_pictures(given: Surroundings, drawn: Drawn) -> tuple[Image.Image, ...]:
    """The same as pictures of 8 bits, as they would be saved."""
    if drawn.latents is None:
        return drawn.pictures
    return tuple(picture for pixels in decoded(given, drawn) for picture in to_pictures(pixels))


def encoded_pictures(given: Surroundings, pictures: Sequence[Image.Image]) -> Tensor:
    """Latents [B, C, h, w] of pictures of one size; each is encoded by itself, equal ones once."""
    known: dict[int, Tensor] = {}
    for picture in pictures:
        if id(picture) not in known:
            known[id(picture)] = given.session.encode_picture(to_tensor(picture), given.lean)
    return torch.cat([known[id(picture)] for picture in pictures])


def noise_source(given: Surroundings, pictures: Sequence[PicturePlan], step: PassPlan) -> NoiseSource:
    """Noise of each picture from its own seeds; neighbours never change it."""
    request, factor = given.plan.request, step.base.facts.factor
    width, height = request.resize_seed_from or (0, 0)
    return NoiseSource(
        [picture.seed for picture in pictures],
        step.latent_shape,
        kind=request.noise_source,
        variation_seeds=[picture.variation_seed for picture in pictures],
        variation_strength=request.variation_strength,
        resize_from=(height // factor, width // factor) if width and height else None,
        seed_delta=step.settings.options.noise_seed_delta,
        device=given.session.device,
    )
