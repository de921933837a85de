"""Where a pass starts: nothing, a picture of the request, or what the pass before has left, in this pass's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.engine.control import heed
from webui.engine.enlarge import enlarger
from webui.engine.passes import PassPlan
from webui.engine.pictures import SourcePicture, read_source
from webui.engine.plan import PicturePlan
from webui.engine.surroundings import Drawn, Surroundings, decoded, decoded_pictures, encoded_pictures
from webui.families.channels import blank_channels, edit_channels, inpaint_channels
from webui.imaging.convert import to_tensor
from webui.imaging.resize import Enlarge, covering, resized, stretched
from webui.request import LATENT_UPSCALERS


@dataclass(frozen=True)
class Beginning:
    """What noise is added to: `clean` latents [B, C, h, w]; `mask` [B, 1, h, w] in [0, 1], 1 = repaint, or None.

    `sources` are the pictures that an image pass starts from; `channels` [B or 1, C', h, w] what the network of an
    inpainting or editing checkpoint sees beside the latents.
    """

    clean: Tensor
    mask: Tensor | None = None
    sources: tuple[SourcePicture, ...] = ()
    channels: Tensor | None = None


def sources_of(given: Surroundings, pictures: Sequence[PicturePlan], number: int) -> tuple[SourcePicture, ...]:
    """The pictures of the request that pass `number` starts from, each read once a job; none for other passes."""
    step = given.plan.passes[number]
    settings = step.settings
    if settings.source != "image":
        return ()
    found = []
    for picture in pictures:
        key = number, picture.index % len(settings.sources)
        if key not in given.sources:
            enlarge, factor = _enlarger(given, step), step.base.facts.factor
            given.sources[key] = read_source(settings, key[1], factor, enlarge, given.report.note)
        found.append(given.sources[key])
    return tuple(found)


def leave(given: Surroundings, number: int, before: Drawn) -> Drawn:
    """What the pass before has left, as pass `number` wants it: pictures for a model that enlarges them or for a
    checkpoint with other latents. The former pass's checkpoint is still loaded."""
    step, former = given.plan.passes[number], given.plan.passes[number - 1]
    fits = step.base.facts.latents.matches(former.base.facts.latents)
    if before.latents is not None and fits and step.settings.upscaler in LATENT_UPSCALERS:
        return before
    return Drawn(pictures=decoded_pictures(given, before))


def untouched(given: Surroundings, number: int, sources: Sequence[SourcePicture], before: Drawn) -> Drawn:
    """What a pass of strength 0 leaves: its pictures in the wanted size, and nothing lost by encoding them."""
    step = given.plan.passes[number].settings
    if sources:
        size = step.width, step.height
        return Drawn(pictures=tuple(s.paste.original if s.paste else stretched(s.picture, size) for s in sources))
    if before.latents is not None:
        return Drawn(_resized_latents(before.latents, given.plan.passes[number]))
    return Drawn(pictures=_enlarged(given, number, before.pictures))


def begin(
    given: Surroundings,
    pictures: Sequence[PicturePlan],
    number: int,
    sources: tuple[SourcePicture, ...],
    before: Drawn | None,
) -> Beginning:
    """The start of pass `number`, whose checkpoint is the loaded one."""
    step, rows = given.plan.passes[number], len(pictures)
    if sources:
        return _from_sources(given, step, sources)
    if before is None or step.settings.source == "noise":
        clean = torch.zeros(rows, *step.latent_shape, device=given.session.device)
    elif before.latents is not None:
        clean = _resized_latents(before.latents, step)
    elif step.settings.upscaler not in LATENT_UPSCALERS:
        clean = encoded_pictures(given, _enlarged(given, number, before.pictures))
    else:
        factor = step.base.facts.factor
        whole = [stretched(p, (p.width // factor * factor, p.height // factor * factor)) for p in before.pictures]
        clean = _resized_latents(encoded_pictures(given, whole), step)
    return Beginning(clean, channels=_channels_without_picture(given, step, clean))


def channels_for(given: Surroundings, step: PassPlan, beginning: Beginning) -> Tensor | None:
    """What the loaded checkpoint sees beside the latents, when another one has begun the pass."""
    if beginning.sources:
        return _picture_channels(given, step, beginning.sources)
    return _channels_without_picture(given, step, beginning.clean)


def _channels_without_picture(given: Surroundings, step: PassPlan, clean: Tensor) -> Tensor | None:
    model = given.session.model
    if model.facts.variant == "edit" and step.settings.source == "previous":
        return torch.cat([edit_channels(model, pixels[None]) for pixels in decoded(given, Drawn(clean))])
    return blank_channels(model, step.settings.width, step.settings.height)


def _from_sources(given: Surroundings, step: PassPlan, sources: tuple[SourcePicture, ...]) -> Beginning:
    clean = encoded_pictures(given, [source.picture for source in sources])
    if clean.shape[1:] != step.latent_shape:  # resize mode "latent"
        clean = F.interpolate(clean, step.latent_shape[1:], mode="bilinear", align_corners=False)
    masks = [source.mask for source in sources if source.mask is not None]
    mask = torch.cat([_latent_mask(one, step) for one in masks]).to(clean) if masks else None
    return Beginning(clean, mask, sources, _picture_channels(given, step, sources))


def _latent_mask(mask: Image.Image, step: PassPlan) -> Tensor:
    """A mask in the size of the latents, [1, 1, h, w]; cells are whole or not at all unless soft ones are wanted."""
    _, height, width = step.latent_shape
    cells = np.asarray(mask.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    inpaint = step.settings.inpaint
    if inpaint.round_mask and inpaint.soft is None:
        cells = np.around(cells)
    return torch.from_numpy(cells)[None, None]


def _picture_channels(given: Surroundings, step: PassPlan, sources: Sequence[SourcePicture]) -> Tensor | None:
    model, inpaint = given.session.model, step.settings.inpaint
    if model.facts.variant == "text":
        return None
    made: dict[int, Tensor] = {}
    for source in sources:
        if id(source) in made:
            continue
        picture = to_tensor(stretched(source.picture, (step.settings.width, step.settings.height)))
        if model.facts.variant == "edit":
            made[id(source)] = edit_channels(model, picture)
            continue
        mask = torch.ones_like(picture[:, :1])
        if source.mask is not None:
            mask = to_tensor(source.mask)[:, :1]
        if inpaint.round_mask and inpaint.soft is None:
            mask = (mask > 0.5).to(picture)
        made[id(source)] = inpaint_channels(model, picture, mask, inpaint.condition_weight)
    return torch.cat([made[id(source)] for source in sources])


def _resized_latents(latents: Tensor, step: PassPlan) -> Tensor:
    """Latents [B, C, h, w] in the size of the pass: interpolated, then cut evenly where proportions differ (A1111)."""
    _, height, width = step.latent_shape
    if latents.shape[2:] == (height, width):
        return latents
    mode, antialias = LATENT_UPSCALERS[step.settings.upscaler]
    inner = covering((latents.shape[3], latents.shape[2]), (width, height))
    latents = F.interpolate(latents, (inner[1], inner[0]), mode=mode, antialias=antialias)
    top, left = (inner[1] - height) // 2, (inner[0] - width) // 2
    return latents[:, :, top : top + height, left : left + width]


def _enlarged(given: Surroundings, number: int, pictures: Sequence[Image.Image]) -> tuple[Image.Image, ...]:
    """Pictures in the size of the pass, cut evenly where proportions differ."""
    step = given.plan.passes[number]
    with given.report.stage("enlarge"):
        enlarge = _enlarger(given, step)
        return tuple(resized(p, (step.settings.width, step.settings.height), "crop", enlarge) for p in pictures)


def _enlarger(given: Surroundings, step: PassPlan) -> Enlarge:
    session = given.session
    return enlarger(step.settings.upscaler, session.settings.paths, session.device, lambda: heed(given.control))
