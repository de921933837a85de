"""Newer exponential integrators: RES, ER-SDE and SEEDS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from webui.diffusion.samplers.base import SAMPLERS, Denoiser, Run, StepInfo, move, renoised, split

if TYPE_CHECKING:
    from torch import Tensor

ER_SDE_POINTS = 200


@SAMPLERS.register("Res Multistep", "res_multistep", "k_res_multistep", order=2)
def res_multistep(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Refined exponential solver of second order, two-step. Source: Zhang et al. 2023, arXiv:2308.02157, section 4."""
    return _res_multistep(denoise, x, sigmas, run, 0.0)


@SAMPLERS.register(
    "Res Multistep a",
    *("res_multistep_ancestral", "k_res_multistep_ancestral"),
    order=2,
    eta=1.0,
    stochastic=True,
    options=("eta", "s_noise"),
)
def res_multistep_ancestral(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Res Multistep down to a lower level, then noise back up. Source: ComfyUI."""
    return _res_multistep(denoise, x, sigmas, run, run.eta(1.0))


def _res_multistep(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run, eta: float) -> Tensor:
    total, law = len(sigmas) - 1, run.law
    old: Tensor | None = None
    old_sigma, old_down = 0.0, 0.0
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        cut = split(law, sigma, target, eta)
        moved = move(law, x, sigma, cut.down, denoised)
        if old is not None and cut.down > 0:
            h = law.half_log_snr(cut.down) - law.half_log_snr(sigma)
            place = (law.half_log_snr(old_sigma) - law.half_log_snr(old_down)) / h  # where `old` was seen, below 0
            moved = moved + (old - denoised) * (law.signal(cut.down) * _phi_2(h) * h / place)
        x = renoised(moved, cut, run.step_noise)
        old, old_sigma, old_down = denoised, sigma, cut.down
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _phi_2(h: float) -> float:
    """(phi_1 - 1) / z at z = -h, phi_1 = (e^z - 1) / z: the weight of a linear change over a step of h."""
    return (math.expm1(-h) / -h - 1) / -h


@SAMPLERS.register("ER SDE", "er_sde", "k_er_sde", stochastic=True, options=("s_noise",))
def er_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Extended reverse-time SDE solver of third order, with the noise scale of the paper's fifth kind.

    Source: Cui et al. 2023, arXiv:2309.06169, algorithm 3 and equation 17.
    """
    total, law = len(sigmas) - 1, run.law
    ratios = [math.exp(-law.half_log_snr(sigma)) if sigma > 0 else 0.0 for sigma in sigmas]  # sigma / signal
    changes: list[Tensor] = []  # first derivative at this step and the last
    old: Tensor | None = None
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        here, there = ratios[index], ratios[index + 1]
        if target == 0:
            x = denoised
        else:
            signal, shrink = law.signal(target), er_noise_scale(there) / er_noise_scale(here)
            x = x * (target / sigma * here / there * shrink) + denoised * (signal * (1 - shrink))
            if old is not None:
                first, second = _er_integrals(here, there)
                changes = [(denoised - old) / (here - ratios[index - 1]), *changes[:1]]
                x = x + changes[0] * (signal * first)
                if len(changes) > 1:
                    bend = (changes[0] - changes[1]) / ((here - ratios[index - 2]) / 2)
                    x = x + bend * (signal * second)
            added = math.sqrt(max(0.0, there**2 - (here * shrink) ** 2))
            x = x + run.step_noise() * (signal * added)
        old = denoised
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def er_noise_scale(ratio: float) -> float:
    """The paper's phi: how much of a difference at this noise level the solver carries on."""
    return ratio * (math.exp(ratio**0.3) + 10)


def _er_integrals(here: float, there: float) -> tuple[float, float]:
    step, width = there - here, (here - there) / ER_SDE_POINTS
    places = [there + index * width for index in range(ER_SDE_POINTS)]
    inverse = [width / er_noise_scale(place) for place in places]
    scale = er_noise_scale(there)
    moment = sum((place - here) * part for place, part in zip(places, inverse, strict=True))
    return step + scale * sum(inverse), step**2 / 2 + scale * moment


@SAMPLERS.register(
    "SEEDS 2", "seeds_2", order=2, evaluations_per_step=2, eta=1.0, stochastic=True, options=("eta", "s_noise")
)
def seeds_2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Stochastic exponential solver with two stages. Source: Gonzalez et al. 2023, arXiv:2305.14267, SEEDS-2."""
    return _seeds(denoise, x, sigmas, run, (0.5,))


@SAMPLERS.register(
    "SEEDS 3", "seeds_3", order=3, evaluations_per_step=3, eta=1.0, stochastic=True, options=("eta", "s_noise")
)
def seeds_3(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Stochastic exponential solver with three stages. Source: Gonzalez et al. 2023, arXiv:2305.14267, SEEDS-3."""
    return _seeds(denoise, x, sigmas, run, (1 / 3, 2 / 3))


def _seeds(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run, stages: tuple[float, ...]) -> Tensor:
    """Each stage starts from the step's beginning; its noise is that of the stage before, carried on and added to."""
    total, eta, law = len(sigmas) - 1, run.eta(1.0), run.law
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if target == 0:
            x = denoised
            run.on_step(StepInfo(index, total, sigma, x, denoised))
            continue
        start, h = law.half_log_snr(sigma), law.half_log_snr(target) - law.half_log_snr(sigma)
        noise: Tensor | None = None
        change: Tensor | None = None  # of the denoised latents since the step's beginning
        before = 0.0
        for share in (*stages, 1.0):
            level = target if share == 1 else law.from_half_log_snr(start + share * h)
            reach = share * h * (1 + eta)
            place = x * (level / sigma * math.exp(-share * h * eta)) + denoised * (
                law.signal(level) * -math.expm1(-reach)
            )
            if change is not None:
                place = place + change * (law.signal(level) * _seeds_weight(reach, share, before, len(stages)))
            if eta > 0:
                fresh = run.step_noise() * math.sqrt(-math.expm1(-2 * (share - before) * h * eta))
                noise = fresh if noise is None else noise * math.exp(-(share - before) * h * eta) + fresh
                place = place + noise * level
            if share < 1:
                change = denoise(place, level) - denoised
            before = share
        x = place
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _seeds_weight(reach: float, share: float, seen: float, stages: int) -> float:
    """Weight of the change seen at `seen` of the step: exact for linear change, or midpoint with two stages."""
    if stages == 1:
        return -math.expm1(-reach) / (2 * seen)
    return share / seen * (math.expm1(-reach) + reach) / reach
