"""What is not masked stays: blending at every network call, inside the denoiser that the sampler sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from webui.request import SoftInpaint

if TYPE_CHECKING:
    from webui.diffusion.laws import NoisingLaw
    from webui.extend import Denoiser

Blend: TypeAlias = Callable[[Tensor, float], Tensor]  # denoised [B, C, h, w], sigma -> the same with what is kept


def hard_blend(clean: Tensor, mask: Tensor) -> Blend:
    """Outside of the mask [B, 1, h, w] the clean latents [B, C, h, w] take the place of what was denoised.

    As x there stays clean latents plus the noise of the start, every noise level is met without adding noise again.
    """

    def blend(denoised: Tensor, sigma: float) -> Tensor:
        return denoised * mask + clean * (1 - mask)

    return blend


def soft_blend(clean: Tensor, mask: Tensor, soft: SoftInpaint, law: NoisingLaw) -> Blend:
    """Each cell is kept in a share that falls with the noise level, the earlier the more it is masked.

    Source: differential diffusion (Levin & Fried 2023, arXiv:2306.00950) gives every pixel its own strength: a half
    masked cell is held while the noise is strong, and let go when only details are left to draw. The new share,
    mask ** (sigma ** bias · preservation), and the mixing of magnitudes are those of A1111's soft inpainting.
    Laws whose signal shrinks are asked for the sigma of the same signal-to-noise ratio.
    """

    def blend(denoised: Tensor, sigma: float) -> Tensor:
        level = math.exp(-law.half_log_snr(sigma)) if sigma > 0 else 0.0
        share = mask.clamp(0, 1) ** (level**soft.schedule_bias * soft.preservation)
        return mixed(clean, denoised, torch.where(mask <= 0, 0.0, share), soft.contrast_boost)  # 0 ** 0 is 1

    return blend


def mixed(first: Tensor, second: Tensor, share: Tensor, exponent: float) -> Tensor:
    """Vectors along C of two latents, mixed linearly, with lengths that are mixed as powers of `exponent`.

    A linear mix of two unlike vectors is too short, which shows as lost contrast. `share` [B, 1, h, w] is the second's.
    """
    line = torch.lerp(first, second, share.expand_as(first))
    power = [vectors.double().norm(dim=1, keepdim=True) ** exponent for vectors in (first, second)]
    wanted = torch.lerp(power[0], power[1], share.double()) ** (1 / exponent)
    made = line * (wanted / (line.double().norm(dim=1, keepdim=True) + 1e-5)).to(line)
    made = torch.where(share == 0, first, made)  # exactly, where nothing is mixed
    return torch.where(share == 1, second, made)


class KeepingDenoiser:
    """A denoiser inside a blend, and the negative estimate that CFG++ samplers ask for, blended likewise."""

    def __init__(self, inner: Denoiser, negative: Callable[[], Tensor], blend: Blend):
        self._inner, self._negative, self._blend = inner, negative, blend
        self._sigma = 0.0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """One blended estimate."""
        self._sigma = sigma
        return self._blend(self._inner(x, sigma), sigma)

    def last_negative(self) -> Tensor:
        """See `GuidedDenoiser.last_negative`."""
        return self._blend(self._negative(), self._sigma)
