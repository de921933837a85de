"""First-order samplers: Euler and its ancestral form, DDIM, DDPM, LCM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from webui.diffusion.samplers.base import (
    SAMPLERS,
    Denoiser,
    Run,
    Split,
    StepInfo,
    churned,
    move,
    renoised,
    slope,
    split,
    split_by_ratio,
)

if TYPE_CHECKING:
    from torch import Tensor


@SAMPLERS.register(
    "Euler a",
    *("k_euler_a", "k_euler_ancestral", "euler_ancestral", "euler_a"),
    order=1,
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    options=("eta", "s_noise"),
)
def euler_ancestral(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Euler's step down, then noise back up. Source: k-diffusion; for rectified flow the law's own split."""
    return _ancestral(denoise, x, sigmas, run, run.eta(1.0), split)


@SAMPLERS.register("Euler", "k_euler", order=1, options=("s_churn", "s_tmin", "s_tmax", "s_noise"))
def euler(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Euler's method on the probability-flow ODE. Source: Karras et al. 2022, algorithm 2 without its correction."""
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        x, raised_sigma = churned(x, sigma, total, run)
        denoised = denoise(x, raised_sigma)
        x = x + slope(x, raised_sigma, denoised) * (target - raised_sigma) if target > 0 else denoised
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register("DDIM", "k_ddim", order=1, default_schedule="DDIM", eta=0.0, options=("eta", "s_noise"))
def ddim(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Denoising diffusion implicit models, eta 0 by default. Source: Song et al. 2021, arXiv:2010.02502, eq. 12."""
    return _ancestral(denoise, x, sigmas, run, run.eta(0.0), split_by_ratio)


@SAMPLERS.register("DDPM", stochastic=True, options=("s_noise",))
def ddpm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """A draw from the posterior of each step, with its smaller variance. Source: Ho et al. 2020, arXiv:2006.11239.

    Algorithm 2, whose step is DDIM's with eta 1.
    """
    return _ancestral(denoise, x, sigmas, run, 1.0, split_by_ratio)


@SAMPLERS.register("LCM", "k_lcm", stochastic=True, options=("s_noise",))
def lcm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Denoise fully, noise anew. Source: Luo et al. 2023, arXiv:2310.04378, algorithm 3.

    The boundary condition's scales are 1 and 0 to within 1e-5 at the timesteps in use, and left out.
    """
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        x = run.law.noised(denoised, run.step_noise(), target) if target > 0 else denoised
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    run: Run,
    eta: float,
    cut: Callable[..., Split],
) -> Tensor:
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        step = cut(run.law, sigma, target, eta)
        x = renoised(move(run.law, x, sigma, step.down, denoised), step, run.step_noise)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x
