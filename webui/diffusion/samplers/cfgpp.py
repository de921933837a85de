"""CFG++: the guided estimate says where to go, the negative prompt's estimate what the noise was.

Their guidance scale lies between 0 and 1. A1111 divides the usual scale by 12.5 for them, and so do all of these.
Source: Chung et al. 2024, "CFG++", arXiv:2406.08070, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.samplers.base import SAMPLERS, Denoiser, Run, Split, StepInfo, renoised, split, split_by_ratio

if TYPE_CHECKING:
    from torch import Tensor

GUIDANCE = 1 / 12.5


@SAMPLERS.register(
    "DDIM CFG++",
    *("ddim_cfgpp", "ddim_cfg_pp"),
    order=1,
    default_schedule="DDIM",
    eta=0.0,
    needs_negative=True,
    guidance_multiplier=GUIDANCE,
    options=("eta", "s_noise"),
)
def ddim_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """DDIM whose noise is that of the negative prompt's estimate."""
    return _steps(denoise, x, sigmas, run, run.eta(0.0), split_by_ratio)


@SAMPLERS.register(
    "Euler CFG++",
    *("euler_cfg_pp", "k_euler_cfg_pp"),
    order=1,
    needs_negative=True,
    guidance_multiplier=GUIDANCE,
)
def euler_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Euler's method whose noise is that of the negative prompt's estimate."""
    return _steps(denoise, x, sigmas, run, 0.0, split)


@SAMPLERS.register(
    "Euler a CFG++",
    *("euler_ancestral_cfg_pp", "k_euler_ancestral_cfg_pp"),
    order=1,
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    needs_negative=True,
    guidance_multiplier=GUIDANCE,
    options=("eta", "s_noise"),
)
def euler_ancestral_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Euler CFG++ down to a lower level, then noise back up."""
    return _steps(denoise, x, sigmas, run, run.eta(1.0), split)


def _steps(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run, eta: float, cut_by: Callable[..., Split]
) -> Tensor:
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        cut = cut_by(run.law, sigma, target, eta)
        moved = _moved(run.law, x, sigma, cut.down, denoised, run.last_negative(denoised))
        x = renoised(moved, cut, run.step_noise)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register(
    "DPM++ 2M CFG++",
    *("dpmpp_2m_cfg_pp", "k_dpmpp_2m_cfg_pp"),
    order=2,
    default_schedule="Karras",
    needs_negative=True,
    guidance_multiplier=GUIDANCE,
)
def dpmpp_2m_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """DPM++ 2M made from CFG++'s step; the correction starts at the last negative estimate. Source: ComfyUI."""
    total, law, old, last = len(sigmas) - 1, run.law, None, 0.0
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        negative = run.last_negative(denoised)
        x = _moved(law, x, sigma, target, denoised, negative)
        if target > 0:
            h = law.half_log_snr(target) - law.half_log_snr(sigma)
            if old is not None:
                x = x + (denoised - old) * (law.signal(target) * -math.expm1(-h) * h / (2 * last))
            last = h
        old = negative
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _moved(law: NoisingLaw, x: Tensor, sigma: float, target: float, denoised: Tensor, negative: Tensor) -> Tensor:
    """`move` with the guided estimate as data and the noise of the negative one."""
    return denoised * law.signal(target) + (x - negative * law.signal(sigma)) * (target / sigma)
