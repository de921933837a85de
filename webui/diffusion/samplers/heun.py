"""Samplers that look at the middle or the end of a step before they take it: Heun, DPM2, Restart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.samplers.base import (
    SAMPLERS,
    Denoiser,
    Run,
    StepInfo,
    churned,
    move,
    raised,
    renoised,
    slope,
    split,
)

if TYPE_CHECKING:
    from torch import Tensor

CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")


@SAMPLERS.register("Heun", "k_heun", order=2, evaluations_per_step=2, options=CHURN)
def heun(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Heun's second-order method. Source: Karras et al. 2022, arXiv:2206.00364, algorithm 2."""
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        x, raised_sigma = churned(x, sigma, total, run)
        x, denoised = _heun_step(denoise, x, raised_sigma, target)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _heun_step(denoise: Denoiser, x: Tensor, sigma: float, target: float) -> tuple[Tensor, Tensor]:
    denoised = denoise(x, sigma)
    if target == 0:
        return denoised, denoised
    here = slope(x, sigma, denoised)
    moved = x + here * (target - sigma)
    there = slope(moved, target, denoise(moved, target))
    return x + (here + there) * ((target - sigma) / 2), denoised


@SAMPLERS.register("HeunPP2", "k_heunpp2", order=1, evaluations_per_step=3, options=CHURN)
def heunpp2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Heun with a second look ahead; later slopes weigh their sigma over the first one.

    First order only, but the weights favour what is known best. Source: the Heun++ sampler of the Forge and ComfyUI
    users.
    """
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        x, raised_sigma = churned(x, sigma, total, run)
        denoised = denoise(x, raised_sigma)
        ahead = [level for level in sigmas[index + 1 : index + 3] if level > sigmas[-1]]
        slopes, place, level = [slope(x, raised_sigma, denoised)], x, raised_sigma
        for later in ahead:
            place = place + slopes[-1] * (later - level)
            level = later
            slopes.append(slope(place, level, denoise(place, level)))
        whole = (len(ahead) + 1) * sigmas[0]
        mean = slopes[0] * (1 - sum(ahead) / whole)
        for later, found in zip(ahead, slopes[1:], strict=True):
            mean = mean + found * (later / whole)
        x = x + mean * (target - raised_sigma)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register(
    "DPM2",
    *("k_dpm_2", "dpm_2", "kdpm_2"),
    order=2,
    evaluations_per_step=2,
    default_schedule="Karras",
    discard_penultimate=True,
    options=CHURN,
)
def dpm_2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """The midpoint rule with the middle taken in log(sigma).

    Source: Lu et al. 2022, arXiv:2206.00927, DPM-Solver-2, with the churn of Karras et al. 2022.
    """
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        x, raised_sigma = churned(x, sigma, total, run)
        denoised = denoise(x, raised_sigma)
        x = _midpoint(denoise, x, raised_sigma, target, denoised)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register(
    "DPM2 a",
    *("k_dpm_2_a", "k_dpm_2_ancestral", "dpm_2_ancestral", "kdpm_2_a"),
    order=2,
    evaluations_per_step=2,
    default_schedule="Karras",
    discard_penultimate=True,
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    options=("eta", "s_noise"),
)
def dpm_2_ancestral(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """DPM2 down to a lower level, then noise back up. Source: k-diffusion."""
    total, eta = len(sigmas) - 1, run.eta(1.0)
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        cut = split(run.law, sigma, target, eta)
        x = renoised(_midpoint(denoise, x, sigma, cut.down, denoised), cut, run.step_noise)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _midpoint(denoise: Denoiser, x: Tensor, sigma: float, target: float, denoised: Tensor) -> Tensor:
    if target == 0:
        return denoised
    middle = math.sqrt(sigma * target)
    moved = x + slope(x, sigma, denoised) * (middle - sigma)
    return x + slope(moved, middle, denoise(moved, middle)) * (target - sigma)


@SAMPLERS.register(
    "DPM++ 2S a",
    *("k_dpmpp_2s_a", "dpmpp_2s_ancestral", "dpmpp_2s_a"),
    order=2,
    evaluations_per_step=2,
    default_schedule="Karras",
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    options=("eta", "s_noise"),
)
def dpmpp_2s_ancestral(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """The exponential midpoint rule in half log-SNR, made ancestral.

    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 1 with r = 1/2; the noise after k-diffusion.
    """
    total, eta, law = len(sigmas) - 1, run.eta(1.0), run.law
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        cut = split(law, sigma, target, eta)
        if cut.down == 0:
            x = denoised
        else:
            middle = law.from_half_log_snr((law.half_log_snr(sigma) + law.half_log_snr(cut.down)) / 2)
            there = denoise(move(law, x, sigma, middle, denoised), middle)
            x = move(law, x, sigma, cut.down, there)
        x = renoised(x, cut, run.step_noise)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register(
    "Restart", "k_restart", evaluations_per_step=2, default_schedule="Karras", stochastic=True, options=("s_noise",)
)
def restart(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Heun's method that goes back up once or twice from a low noise level, to forget its errors.

    From 20 steps on, 9 of them (from 36 on, twice a quarter) are spent between sigmas near 0.1 and 2, and the levels
    follow Karras' schedule between the given ends; with fewer steps it is Heun's method. Settings as A1111 has them.
    Source: Xu et al. 2023, arXiv:2306.14878, algorithm 1.
    """
    pairs = restart_steps(sigmas, run.law)
    level = pairs[0][0]
    for index, (sigma, target) in enumerate(pairs):
        if sigma > level:
            x = raised(run.law, x, level, sigma, run.step_noise())
        x, denoised = _heun_step(denoise, x, sigma, target)
        level = target
        run.on_step(StepInfo(index, len(pairs), sigma, x, denoised))
    return x


def restart_steps(sigmas: Sequence[float], law: NoisingLaw) -> list[tuple[float, float]]:
    """The steps of `restart` as pairs of sigmas, as many as the given sigmas have steps."""
    steps = len(sigmas) - 1
    if steps < 20 or sigmas[-2] <= 0:
        return list(pairwise(sigmas))
    length, times = (9, 1) if steps < 36 else (steps // 4, 2)
    levels = [*_karras(sigmas[0], sigmas[-2], steps - length * times), sigmas[-1]]
    low, high = (_nearest(levels, law.from_half_log_snr(-math.log(ratio))) for ratio in (0.1, 2.0))
    if high >= low:
        return list(pairwise(sigmas))
    again = list(pairwise(_karras(levels[high], levels[low], length + 1)))
    pairs = list(pairwise(levels))
    return pairs[:low] + again * times + pairs[low:]


def _karras(high: float, low: float, count: int, rho: float = 7.0) -> list[float]:
    first, last = high ** (1 / rho), low ** (1 / rho)
    return [(first + (last - first) * index / (count - 1)) ** rho for index in range(count)]


def _nearest(levels: Sequence[float], sigma: float) -> int:
    return min(range(len(levels)), key=lambda index: abs(levels[index] - sigma))
