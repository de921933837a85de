"""Guidance: from network calls about single texts to the one estimate that a sampler sees.

`guided` puts a predictor and two prompts together to a denoiser. Everything about classifier-free guidance is here:
composition (AND), prompts that change by step, intervals, skipped negatives, rescaling, picture guidance.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from webui.diffusion.conditioning import Conditioning, Part, Prompt, repeat_to_match, stack, stackable
from webui.request import Guidance

if TYPE_CHECKING:
    from webui.diffusion.laws import NoisingLaw

Predictor: TypeAlias = Callable[[Tensor, float, Conditioning], Tensor]
CONCAT = "concat"


class GuidedDenoiser:
    """`denoiser(x, sigma) -> denoised` [B, C, H, W]. It counts its `calls`: prompts change by network evaluation."""

    def __init__(
        self,
        predictor: Predictor,
        positive: Prompt,
        negative: Prompt,
        guidance: Guidance,
        sigmas: Sequence[float],
        law: NoisingLaw,
        always_negative: bool = False,
        calls: int = 0,
    ):
        self._predict, self._law = predictor, law
        self._positive, self._negative = positive, negative
        self._guidance = guidance
        self._always_negative = always_negative
        self._rising = [-sigma for sigma in sigmas[:-1]]
        self.calls = calls
        self._last_negative: Tensor | None = None

    def last_negative(self) -> Tensor:
        """The negative prompt's estimate in the latest call, or that call's positive one when it was not computed."""
        if self._last_negative is None:
            raise ValueError("the denoiser has not been called yet")
        return self._last_negative

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """One guided estimate at noise level `sigma`."""
        evaluation, self.calls = self.calls, self.calls + 1
        positive, negative = self._positive.at(evaluation), self._negative.at(evaluation)[0]
        step = min(bisect_left(self._rising, -sigma), max(0, len(self._rising) - 1))
        if not self._wants_negative(step, sigma, positive):
            return self._unguided(x, sigma, positive, negative)
        if self._guidance.image_scale is not None and CONCAT in negative.conditioning.extras:
            return self._edited(x, sigma, positive, negative)
        made = self._calls_for(x, sigma, [*(part.conditioning for part in positive), negative.conditioning])
        base, texts = made[-1], made[:-1]
        self._last_negative = base
        return self._rescaled(x, sigma, base, texts, positive)

    def _unguided(self, x: Tensor, sigma: float, positive: Sequence[Part], negative: Part) -> Tensor:
        """The positive prompt alone; the first text stands for the negative one (A1111). CFG++ still gets the real."""
        asked = [part.conditioning for part in positive]
        made = self._calls_for(x, sigma, [*asked, negative.conditioning] if self._always_negative else asked)
        texts = made[: len(asked)]
        self._last_negative = made[-1] if self._always_negative else texts[0]
        return texts[0] if len(texts) == 1 else _composed(texts[0], texts, positive, 1.0)

    def _wants_negative(self, step: int, sigma: float, positive: Sequence[Part]) -> bool:
        guidance = self._guidance
        if guidance.scale == 1.0 and len(positive) == 1 and positive[0].weight == 1.0 and guidance.image_scale is None:
            return False
        share = step / max(1, len(self._rising))
        if not guidance.start <= share <= guidance.end:
            return False
        if guidance.skip_early > 0 and share <= guidance.skip_early:
            return False
        return not (sigma < guidance.minimum_sigma and step % 2)

    def _calls_for(self, x: Tensor, sigma: float, conditionings: Sequence[Conditioning]) -> list[Tensor]:
        """The network's estimates [B, C, H, W] for several conditionings, in one call where shapes allow it."""
        rows = x.shape[0]
        if len(conditionings) == 1:
            return [self._predict(x, sigma, conditionings[0].expanded(rows))]
        matched = repeat_to_match(conditionings)
        if not stackable(matched):
            return [self._predict(x, sigma, conditioning.expanded(rows)) for conditioning in conditionings]
        together = stack([conditioning.expanded(rows) for conditioning in matched])
        made = self._predict(x.repeat(len(matched), 1, 1, 1), sigma, together)
        return list(made.split(rows))

    def _rescaled(
        self, x: Tensor, sigma: float, base: Tensor, texts: Sequence[Tensor], parts: Sequence[Part]
    ) -> Tensor:
        """Guidance, then the spread of the unguided network output put back in part (Lin et al. 2023, section 3.4)."""
        guided = _composed(base, texts, parts, self._guidance.scale)
        if self._guidance.rescale <= 0:
            return guided
        plain = _composed(base, texts, parts, 1.0)
        output, wanted = (self._law.prediction(made, x, sigma) for made in (guided, plain))
        spread = wanted.std((1, 2, 3), keepdim=True) / output.std((1, 2, 3), keepdim=True).clamp(min=1e-8)
        return self._law.denoised(torch.lerp(output, output * spread, self._guidance.rescale), x, sigma)

    def _edited(self, x: Tensor, sigma: float, positive: Sequence[Part], negative: Part) -> Tensor:
        """Two scales, for the text and for the picture (Brooks et al. 2022, equation 3)."""
        channels = negative.conditioning.extras[CONCAT]
        blind = negative.conditioning.with_extras(**{CONCAT: torch.zeros_like(channels)})
        asked = [part.conditioning for part in positive]
        *texts, seeing, base = self._calls_for(x, sigma, [*asked, negative.conditioning, blind])
        self._last_negative = base
        picture = (seeing - base) * (self._guidance.image_scale or 0.0)
        return base + picture + self._rescaled(x, sigma, seeing, texts, positive) - seeing


def _composed(base: Tensor, texts: Sequence[Tensor], parts: Sequence[Part], scale: float) -> Tensor:
    """base + scale·Σ weight·(text - base) (Liu et al. 2022 for several texts)."""
    total = base
    for text, part in zip(texts, parts, strict=True):
        total = total + (text - base) * (_column(part.weight, base) * scale)
    return total


def _column(weight: float | tuple[float, ...], like: Tensor) -> float | Tensor:
    if isinstance(weight, float | int):
        return float(weight)
    return torch.tensor(weight, dtype=like.dtype, device=like.device).view(-1, 1, 1, 1)


def guided(
    predictor: Predictor,
    positive: Prompt,
    negative: Prompt,
    guidance: Guidance,
    sigmas: Sequence[float],
    *,
    law: NoisingLaw,
    always_negative: bool = False,
    calls: int = 0,
) -> GuidedDenoiser:
    """The denoiser of a run over `sigmas` (N + 1 falling floats). Rescaling wants the law, to see network outputs.

    A guidance scale of 1 leaves the negative prompt out, and so do the guidance interval, "skip early" and the smallest
    sigma where they apply. With `always_negative` (samplers with the fact `needs_negative`) it is computed there too,
    for `last_negative` only: the estimate stays the same. `calls` were made of the one before it, if any.
    """
    return GuidedDenoiser(predictor, positive, negative, guidance, sigmas, law, always_negative, calls)
