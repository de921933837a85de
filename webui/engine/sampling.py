"""One pass: what the network is told, where it starts, and the sampler between the hooks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.diffusion.conditioning import Conditioning, Part, Prompt, Span, join_prompts
from webui.diffusion.guidance import guided
from webui.diffusion.noise import NoiseSource
from webui.diffusion.samplers import SAMPLERS
from webui.diffusion.samplers.base import Run, StepInfo
from webui.engine.control import Control, Reporter, heed
from webui.engine.plan import PassPlan, PicturePlan, Plan
from webui.engine.preview import PREVIEW_FORMAT, Previewer
from webui.engine.prompts import PromptSpan
from webui.engine.session import Session
from webui.errors import InvalidRequest
from webui.extend import Start, Step
from webui.families.channels import CONCAT, blank_channels, edit_channels
from webui.families.predictor import network_predictor
from webui.imaging.convert import to_tensor
from webui.imaging.files import load_picture

if TYPE_CHECKING:
    from webui.diffusion.laws import NoisingLaw
    from webui.extend import Predictor


@dataclass(frozen=True)
class Surroundings:
    """What a run gives to each of its passes."""

    plan: Plan
    session: Session
    report: Reporter
    control: Control
    previewer: Previewer | None = None


def sample(given: Surroundings, pictures: Sequence[PicturePlan], number: int, previous: Tensor | None) -> Tensor:
    """Run pass `number` for `pictures` together; `previous` are the latents of the pass before. [B, C, h, w] each.

    Raises Cancelled or BatchSkipped within one network call of the wish, ExtensionError by the extension's name.
    """
    step, session = given.plan.passes[number], given.session
    law = session.model.facts.law(step.settings.width, step.settings.height)
    with given.report.stage("encode"):
        heed(given.control)
        picture = _source_picture(step)
        clean = _clean_latents(step, picture, previous, session, len(pictures))
        prompts = _prompts(given, pictures, number, picture)
    with given.report.stage("sample"):
        if step.steps == 0:
            return clean
        noise = _noise(given.plan, pictures, step, session)
        latents = law.noised(clean, noise.initial(), step.sigmas[0])
        start = given.plan.hooks.edit_start(Start(latents, step.sigmas, number))
        return _run_sampler(given, number, _predictor(given, law), prompts, start, noise, law)


def _source_picture(step: PassPlan) -> Tensor | None:
    """The picture [1, 3, H, W] that an image pass starts from, in the pass's size."""
    if step.settings.source != "image":
        return None
    try:
        data = base64.b64decode((step.settings.image or "").rpartition(",")[2], validate=True)
    except binascii.Error:
        raise InvalidRequest("The picture to start from is no base64 text.") from None
    pixels = to_tensor(load_picture(data))
    size = step.settings.height, step.settings.width
    if pixels.shape[2:] != size:
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return pixels


def _clean_latents(
    step: PassPlan, picture: Tensor | None, previous: Tensor | None, session: Session, rows: int
) -> Tensor:
    """What noise is added to, [B, C, h, w]: nothing, a picture, or the pass before in this pass's size."""
    if picture is not None:
        return session.encode_picture(picture).expand(rows, -1, -1, -1)
    if step.settings.source == "previous" and previous is not None:
        size = step.latent_shape[1:]
        if previous.shape[2:] == size:
            return previous
        return F.interpolate(previous, size, mode="bilinear", align_corners=False)
    return torch.zeros(rows, *step.latent_shape, device=session.device)


def _prompts(
    given: Surroundings, pictures: Sequence[PicturePlan], number: int, picture: Tensor | None
) -> tuple[Prompt, Prompt]:
    """Positive and negative prompt of the whole group."""
    pairs = [_picture_prompts(given, one, number) for one in pictures]
    positive, negative = (join_prompts([pair[side] for pair in pairs]) for side in (0, 1))
    step, model = given.plan.passes[number].settings, given.session.model
    channels = blank_channels(model, step.width, step.height)
    if channels is None:
        return positive, negative
    if model.facts.variant == "edit" and picture is not None:
        channels = edit_channels(model, picture.to(model.device))
    told = {CONCAT: channels}
    return positive.map(lambda c: c.with_extras(**told)), negative.map(lambda c: c.with_extras(**told))


def _picture_prompts(given: Surroundings, picture: PicturePlan, number: int) -> tuple[Prompt, Prompt]:
    """One picture's prompts. Its texts are encoded together and apart from other pictures': they share a length."""
    sides = (picture.positive[number], False), (picture.negative[number], True)
    wanted = list(dict.fromkeys((text, flag) for spans, flag in sides for span in spans for text, _ in span.parts))
    texts, flags = zip(*wanted, strict=True)
    step, request = given.plan.passes[number].settings, given.plan.request
    encoded = given.session.conditionings(texts, flags, request, (step.width, step.height), picture.embeddings)
    edit = given.plan.hooks.edit_conditioning
    found = {key: edit(made, *key) for key, made in zip(wanted, encoded, strict=True)}
    positive, negative = (_prompt(spans, flag, found) for spans, flag in sides)
    return positive, negative


def _prompt(spans: Sequence[PromptSpan], negative: bool, found: dict[tuple[str, bool], Conditioning]) -> Prompt:
    return Prompt(
        tuple(
            Span(span.until_step, tuple(Part(found[text, negative], weight) for text, weight in span.parts))
            for span in spans
        )
    )


def _predictor(given: Surroundings, law: NoisingLaw) -> Predictor:
    """The network inside the hooks; every call first asks whether anybody wants it to stop."""
    network = network_predictor(
        given.session.model, law, given.session.adapters.block_hooks + given.plan.hooks.block_hooks()
    )

    def predict(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        heed(given.control)
        return network(x, sigma, conditioning)

    return given.plan.hooks.wrap_predictor(predict)


def _noise(plan: Plan, pictures: Sequence[PicturePlan], step: PassPlan, session: Session) -> NoiseSource:
    """Noise of each picture from its own seeds; neighbours never change it."""
    request, factor = plan.request, plan.facts.factor
    width, height = request.resize_seed_from or (0, 0)
    return NoiseSource(
        [picture.seed for picture in pictures],
        step.latent_shape,
        kind=request.noise_source,
        variation_seeds=[picture.variation_seed for picture in pictures],
        variation_strength=request.variation_strength,
        resize_from=(height // factor, width // factor) if width and height else None,
        seed_delta=step.settings.options.noise_seed_delta,
        device=session.device,
    )


def _run_sampler(
    given: Surroundings,
    number: int,
    predictor: Predictor,
    prompts: tuple[Prompt, Prompt],
    start: Start,
    noise: NoiseSource,
    law: NoisingLaw,
) -> Tensor:
    """The sampling loop, with the hooks around and after every step."""
    settings = given.plan.passes[number].settings
    sampler = SAMPLERS.find(settings.sampler)
    # CFG++ samplers count the guidance scale in other units, and want the negative estimate whatever the scale is.
    scale = settings.guidance.scale * sampler.facts.get("guidance_multiplier", 1.0)
    guidance = replace(settings.guidance, scale=scale)
    needed = bool(sampler.facts.get("needs_negative"))
    denoiser = guided(predictor, *prompts, guidance, start.sigmas, law=law, always_negative=needed)

    def on_step(info: StepInfo) -> None:
        given.report.step_done()
        if given.previewer is not None:
            data = given.previewer.preview(info.index, info.denoised)
            if data is not None:
                given.report.preview(data, PREVIEW_FORMAT)
        given.plan.hooks.on_step(Step(info.index, info.total, info.sigma, info.denoised, number))
        heed(given.control)

    surroundings = Run(law, noise, settings.options, on_step, denoiser.last_negative)
    return sampler.value(given.plan.hooks.wrap_denoiser(denoiser), start.latents, list(start.sigmas), surroundings)
