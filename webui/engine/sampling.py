"""One pass: where it starts, the sampler between the hooks, and what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from webui.diffusion.guidance import GuidedDenoiser, guided
from webui.diffusion.samplers import SAMPLERS
from webui.diffusion.samplers.base import Run, StepInfo
from webui.engine.control import heed
from webui.engine.copies import BEFORE_COLOURS, BEFORE_HIRES, keep_stage
from webui.engine.encode import group_prompts
from webui.engine.keep import KeepingDenoiser, hard_blend, soft_blend
from webui.engine.passes import PassPlan
from webui.engine.pictures import SourcePicture, changed_mask, finished
from webui.engine.plan import PicturePlan
from webui.engine.preview import PREVIEW_FORMAT, Previewer
from webui.engine.refine import SwitchingDenoiser
from webui.engine.start import Beginning, begin, channels_for, leave, sources_of, untouched
from webui.engine.surroundings import Drawn, Surroundings, decoded_pictures, noise_source
from webui.engine.tiles import tiled
from webui.extend import Start, Step
from webui.families.predictor import network_predictor
from webui.imaging.soft_mask import difference_mask

if TYPE_CHECKING:
    from PIL import Image

    from webui.diffusion.conditioning import Conditioning
    from webui.diffusion.laws import NoisingLaw
    from webui.diffusion.noise import NoiseSource
    from webui.extend import Predictor


def sample(given: Surroundings, pictures: Sequence[PicturePlan], number: int, before: Drawn | None) -> Drawn:
    """Run pass `number` for `pictures` together; `before` is what the pass before has left.

    Raises Cancelled or BatchSkipped within one network call of the wish, ExtensionError by the extension's name.
    """
    step = given.plan.passes[number]
    heed(given.control)
    sources = sources_of(given, pictures, number)
    if before is not None and step.settings.source == "previous":
        wanted = given.plan.request.save and given.session.settings["save_before_hires"]
        if wanted and given.plan.passes[number - 1].steps:  # else it is a picture that there is already
            keep_stage(given, pictures, number - 1, BEFORE_HIRES, decoded_pictures(given, before))
        before = leave(given, number, before)
    if step.steps == 0:
        return untouched(given, number, sources, before or Drawn())
    given.use(step.base, pictures[0].pass_adapters[number])
    law = step.base.facts.law(step.settings.width, step.settings.height)
    with ExitStack() as surrounded:
        surrounded.enter_context(given.seamless())
        with given.report.stage("encode"):
            heed(given.control)
            beginning = begin(given, pictures, number, sources, before)
        noise = noise_source(given, pictures, step)
        first = noise.initial()
        beginning = _with_masked_content(beginning, step, first)
        latents = _noised(beginning.clean, first, step, law)
        denoiser = _denoiser(given, pictures, number, beginning, law, surrounded)
        with given.report.stage("sample"):
            start = given.plan.hooks.edit_start(Start(latents, step.sigmas, number))
            latents = _run_sampler(given, number, denoiser, start, beginning, noise, law)
    return _finish(given, pictures, number, beginning, latents)


def _with_masked_content(beginning: Beginning, step: PassPlan, noise: Tensor) -> Beginning:
    """What the masked part starts as: the picture (filled or not), unit noise, or nothing."""
    content, mask = step.settings.inpaint.masked_content, beginning.mask
    if mask is None or not content.startswith("latent"):
        return beginning
    clean = beginning.clean * (1 - mask)
    return replace(beginning, clean=clean + noise * mask if content == "latent noise" else clean)


def _noised(clean: Tensor, noise: Tensor, step: PassPlan, law: NoisingLaw) -> Tensor:
    if step.settings.source == "noise":
        return law.noised(clean, noise, step.sigmas[0])
    noise = noise * step.settings.noise_multiplier
    latents = law.noised(clean, noise, step.sigmas[0])
    return latents + noise * step.settings.extra_noise if step.settings.extra_noise else latents


def _denoiser(
    given: Surroundings,
    pictures: Sequence[PicturePlan],
    number: int,
    beginning: Beginning,
    law: NoisingLaw,
    surrounded: ExitStack,
) -> GuidedDenoiser | SwitchingDenoiser:
    """Guidance around the network, and around the refiner's once it is its turn."""
    step = given.plan.passes[number]
    refiner = step.refiner
    if refiner is None:
        return _guided(given, pictures, number, beginning.channels, law)

    def second(calls: int) -> GuidedDenoiser:
        # Adapters are made for one kind of checkpoint; a refiner of another kind would refuse them.
        same = refiner.base.facts.family == step.base.facts.family
        given.use(refiner.base, pictures[0].pass_adapters[number] if same else ())
        surrounded.enter_context(given.seamless())
        own_law = refiner.base.facts.law(step.settings.width, step.settings.height)
        alike = refiner.base.facts.variant == step.base.facts.variant
        channels = beginning.channels if alike else channels_for(given, step, beginning)
        return _guided(given, pictures, number, channels, own_law, refiner=True, calls=calls)

    return SwitchingDenoiser(_guided(given, pictures, number, beginning.channels, law), refiner.sigma, second)


def _guided(
    given: Surroundings,
    pictures: Sequence[PicturePlan],
    number: int,
    channels: Tensor | None,
    law: NoisingLaw,
    refiner: bool = False,
    calls: int = 0,
) -> GuidedDenoiser:
    step = given.plan.passes[number]
    with given.report.stage("encode"):
        prompts = group_prompts(given, pictures, number, channels, refiner)
    sampler = SAMPLERS.find(step.settings.sampler)
    # CFG++ samplers count the guidance scale in other units, and want the negative estimate whatever the scale is.
    scale = step.settings.guidance.scale * sampler.facts.get("guidance_multiplier", 1.0)
    guidance = replace(step.settings.guidance, scale=scale)
    needed = bool(sampler.facts.get("needs_negative"))
    predictor = _predictor(given, step, law)
    return guided(predictor, *prompts, guidance, step.sigmas, law=law, always_negative=needed, calls=calls)


def _predictor(given: Surroundings, step: PassPlan, law: NoisingLaw) -> Predictor:
    """The network inside the hooks; every call first asks whether anybody wants it to stop, and what is attached."""
    hooks = given.session.adapters.block_hooks + given.plan.hooks.block_hooks()
    network = network_predictor(given.session.model, law, hooks)
    attach = given.session.adapters.follow(step.sigmas)

    def predict(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        heed(given.control)
        attach(sigma)
        return network(x, sigma, conditioning)

    if step.settings.tiles is None:
        return given.plan.hooks.wrap_predictor(predict)
    factor = step.base.facts.factor
    inner = tiled(predict, step.tile // factor, step.settings.tiles.overlap // factor)
    return given.plan.hooks.wrap_predictor(inner)


def _run_sampler(
    given: Surroundings,
    number: int,
    denoiser: GuidedDenoiser | SwitchingDenoiser,
    start: Start,
    beginning: Beginning,
    noise: NoiseSource,
    law: NoisingLaw,
) -> Tensor:
    """The sampling loop, with the hooks around and after every step."""
    settings = given.plan.passes[number].settings
    previewer = _previewer(given)

    def on_step(info: StepInfo) -> None:
        given.report.step_done()
        if previewer is not None:
            data = previewer.preview(info.index, info.denoised)
            if data is not None:
                given.report.preview(data, PREVIEW_FORMAT)
        given.plan.hooks.on_step(Step(info.index, info.total, info.sigma, info.denoised, number))
        heed(given.control)

    seen, negative = given.plan.hooks.wrap_denoiser(denoiser), denoiser.last_negative
    mask, soft = beginning.mask, settings.inpaint.soft
    if mask is not None:
        blend = hard_blend(beginning.clean, mask)
        if soft is not None:
            blend = soft_blend(beginning.clean, mask, soft, law)
        keeping = KeepingDenoiser(seen, negative, blend)
        seen, negative = keeping, keeping.last_negative
    surroundings = Run(law, noise, settings.options, on_step, negative)
    latents = SAMPLERS[settings.sampler](seen, start.latents, list(start.sigmas), surroundings)
    if mask is not None and soft is None:  # stochastic samplers may end with noise that the last call did not see
        latents = hard_blend(beginning.clean, mask)(latents, 0.0)
    return latents


def _previewer(given: Surroundings) -> Previewer | None:
    settings = given.session.settings
    every = settings["preview_every_steps"] if settings["live_previews"] else 0
    return Previewer(given.session.painter(), every) if every > 0 else None


def _finish(
    given: Surroundings, pictures: Sequence[PicturePlan], number: int, beginning: Beginning, latents: Tensor
) -> Drawn:
    """What the pass leaves: latents, or pictures where they are pasted back or take over colours."""
    step = given.plan.passes[number]
    match = step.settings.match_colours
    if not beginning.sources or not (match or beginning.mask is not None):
        return Drawn(latents)
    if step.refiner is not None:  # its VAE decodes no better: the pass ends with its own checkpoint
        given.session.load(step.base.checkpoint, step.base.vae, keep=True)
    made = decoded_pictures(given, Drawn(latents))
    masks = [_soft_mask(step, source, beginning, latents, row) for row, source in enumerate(beginning.sources)]
    parts = list(zip(made, beginning.sources, masks, strict=True))
    if match and given.plan.request.save and given.session.settings["save_before_colours"]:
        before = [finished(picture, source, False, mask) for picture, source, mask in parts]
        keep_stage(given, pictures, number, BEFORE_COLOURS, before)
    return Drawn(pictures=tuple(finished(picture, source, match, mask) for picture, source, mask in parts))


def _soft_mask(
    step: PassPlan, source: SourcePicture, beginning: Beginning, latents: Tensor, row: int
) -> Image.Image | None:
    """The mask of what has changed under soft inpainting; None elsewhere."""
    soft = step.settings.inpaint.soft
    if soft is None or source.paste is None or beginning.mask is None:
        return None
    distance: np.ndarray = (latents[row] - beginning.clean[row]).float().norm(dim=0).cpu().numpy()
    mask = beginning.mask[row, 0].float().cpu().numpy()
    changed = difference_mask(distance, mask, soft, (step.settings.width, step.settings.height))
    return changed_mask(source.paste, changed)
