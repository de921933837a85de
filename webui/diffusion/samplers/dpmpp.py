"""DPM-Solver++: exponential integrators of the denoised latents, as an ODE (2M) and as SDEs.

With h the step in half log-SNR and eta the share of noise, the SDE's exact step for constant denoised latents is
x·(target/sigma)·e^(-eta·h) + denoised·signal·(1 - e^(-(1 + eta)·h)) + noise·target·√(1 - e^(-2·eta·h)).
Source: Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095; the stochastic forms after k-diffusion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from webui.diffusion.samplers.base import (
    SAMPLERS,
    Denoiser,
    Run,
    StepInfo,
    move,
    split_by_ratio,
)

if TYPE_CHECKING:
    from torch import Tensor


@SAMPLERS.register("DPM++ 2M", "k_dpmpp_2m", "dpmpp_2m", order=2, default_schedule="Karras")
def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Two-step multistep DPM-Solver++. Source: arXiv:2211.01095, algorithm 2."""
    total, law, old, old_sigma = len(sigmas) - 1, run.law, None, 0.0
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = ahead = denoise(x, sigma)
        if old is not None and target > 0:
            here = law.half_log_snr(sigma)
            step, last = law.half_log_snr(target) - here, here - law.half_log_snr(old_sigma)
            ahead = denoised + (denoised - old) * (step / (2 * last))
        x = move(law, x, sigma, target, ahead)
        old, old_sigma = denoised, sigma
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


@SAMPLERS.register(
    "DPM++ SDE",
    *("k_dpmpp_sde", "dpmpp_sde", "dpmpp_sde_gpu"),
    order=2,
    evaluations_per_step=2,
    default_schedule="Karras",
    eta=1.0,
    stochastic=True,
    brownian=True,
    options=("eta", "s_noise"),
)
def dpmpp_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """One-step second-order DPM-Solver++ with ancestral noise at the middle and at the end. Source: k-diffusion."""
    total, eta, law = len(sigmas) - 1, run.eta(1.0), run.law
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if target == 0:
            x = denoised
        else:
            middle = law.from_half_log_snr((law.half_log_snr(sigma) + law.half_log_snr(target)) / 2)
            there = denoise(_down_and_up(run, x, sigma, middle, denoised, eta), middle)
            x = _down_and_up(run, x, sigma, target, there, eta)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _down_and_up(run: Run, x: Tensor, sigma: float, target: float, denoised: Tensor, eta: float) -> Tensor:
    cut = split_by_ratio(run.law, sigma, target, eta)
    x = move(run.law, x, sigma, cut.down, denoised)
    return x * cut.keep + run.brownian_noise(sigma, target) * cut.add if cut.add > 0 else x


@SAMPLERS.register(
    "DPM++ 2M SDE",
    *("k_dpmpp_2m_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu"),
    order=2,
    default_schedule="Exponential",
    eta=1.0,
    stochastic=True,
    brownian=True,
    options=("eta", "s_noise"),
)
def dpmpp_2m_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Two-step multistep SDE-DPM-Solver++, the correction of midpoint kind. Source: arXiv:2211.01095, equation 15."""
    return _multistep_sde(denoise, x, sigmas, run, "midpoint")


@SAMPLERS.register(
    "DPM++ 2M SDE Heun",
    *("k_dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu"),
    order=2,
    default_schedule="Exponential",
    eta=1.0,
    stochastic=True,
    brownian=True,
    options=("eta", "s_noise"),
)
def dpmpp_2m_sde_heun(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """DPM++ 2M SDE with the correction integrated exactly. Source: k-diffusion's solver type "heun"."""
    return _multistep_sde(denoise, x, sigmas, run, "heun")


@SAMPLERS.register(
    "DPM++ 3M SDE",
    *("k_dpmpp_3m_sde", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu"),
    order=2,
    default_schedule="Exponential",
    discard_penultimate=True,
    eta=1.0,
    stochastic=True,
    brownian=True,
    options=("eta", "s_noise"),
)
def dpmpp_3m_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Three-step multistep SDE-DPM-Solver++: a parabola through the last three denoised latents.

    The first step, of first order, keeps the whole at second order.
    Source: k-diffusion, extending arXiv:2211.01095.
    """
    return _multistep_sde(denoise, x, sigmas, run, "third")


def _multistep_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run, kind: str) -> Tensor:
    total, eta, law = len(sigmas) - 1, run.eta(1.0), run.law
    known: list[Tensor] = []  # denoised latents, newest first
    steps: list[float] = []  # the steps in half log-SNR that led to them
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        known = [denoised, *known[:2]]
        if target == 0:
            x = denoised
        else:
            h = law.half_log_snr(target) - law.half_log_snr(sigma)
            signal, grown = law.signal(target), -math.expm1(-h * (1 + eta))
            x = x * (target / sigma * math.exp(-h * eta)) + denoised * (signal * grown)
            for weight, difference in _corrections(known, steps, h, h * (1 + eta), kind):
                x = x + difference * (signal * weight)
            if eta > 0:
                share = math.sqrt(-math.expm1(-2 * h * eta))
                x = x + run.brownian_noise(sigma, target) * (target * share)
            steps = [h, *steps[:1]]
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _corrections(
    known: Sequence[Tensor], steps: Sequence[float], h: float, h_eta: float, kind: str
) -> list[tuple[float, Tensor]]:
    """What earlier denoised latents add to a step, as weights and differences."""
    if not steps:
        return []
    first = (known[0] - known[1]) * (h / steps[0])  # change over this step, by the last one
    if kind == "midpoint":
        return [(-math.expm1(-h_eta) / 2, first)]
    second_weight = math.expm1(-h_eta) / h_eta + 1
    if kind == "heun" or len(steps) < 2:
        return [(second_weight, first)]
    before = (known[1] - known[2]) * (h / steps[1])
    near, far = steps[0] / h, steps[1] / h
    bend = (first - before) / (near + far)
    return [(second_weight, first + bend * near), (0.5 - second_weight / h_eta, bend)]
