"""Samplers that correct each step once they have seen where it led, without another evaluation: UniPC, SA-Solver."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.samplers.base import SAMPLERS, Denoiser, Run, StepInfo, lagrange_weights, weighted

if TYPE_CHECKING:
    from torch import Tensor

Seen: TypeAlias = tuple[float, "Tensor"]
"""A place in half log-SNR and the denoised latents seen there."""

SA_PREDICTOR, SA_CORRECTOR = 3, 3  # evaluations used from the past; the corrector has the new one besides


@SAMPLERS.register("UniPC", "k_unipc", "uni_pc", order=3)
def unipc(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Unified predictor-corrector of third order, B(h) = h. Source: Zhao et al. 2023, arXiv:2302.04867, alg. 3."""
    return _unipc(denoise, x, sigmas, run, lambda h: h)


@SAMPLERS.register("UniPC bh2", "k_unipc_bh2", "uni_pc_bh2", "unipc_bh2", order=3)
def unipc_bh2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """UniPC with B(h) = 1 - e^-h, which is better with guidance. Source: as of UniPC."""
    return _unipc(denoise, x, sigmas, run, lambda h: -math.expm1(-h))


def _unipc(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run, scale: Callable[[float], float]) -> Tensor:
    """B(h) only matters where one coefficient is left, which the paper sets to 1/2; others are exact integrals."""
    total, law = len(sigmas) - 1, run.law
    seen: list[Seen] = []  # newest first
    start, order = x, 0
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        here = law.half_log_snr(sigma)
        if seen:
            old = sigmas[index - 1]
            if order == 1:
                h = here - seen[0][0]
                x = _carried(law, start, old, sigma, _halved(h, seen[0][1], denoised - seen[0][1], scale(h)))
            else:
                x = _adams(law, start, old, sigma, [(here, denoised), *seen[:order]])
        seen = [(here, denoised), *seen[:2]]
        left = total - index if sigmas[-1] == 0 else 3  # low orders at the end where it goes to 0, as published
        start, order = x, min(3, len(seen), left)
        if target == 0:
            x = denoised
        elif order == 2:
            h = law.half_log_snr(target) - here
            change = (denoised - seen[1][1]) * (h / (here - seen[1][0]))
            x = _carried(law, x, sigma, target, _halved(h, denoised, change, scale(h)))
        else:
            x = _adams(law, x, sigma, target, seen[:order])
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _halved(h: float, denoised: Tensor, change: Tensor, scale: float) -> Tensor:
    return denoised * -math.expm1(-h) + change * (scale / 2)


def _carried(law: NoisingLaw, x: Tensor, sigma: float, target: float, integral: Tensor) -> Tensor:
    return x * (target / sigma) + integral * law.signal(target)


@SAMPLERS.register(
    "SA-Solver", "sa_solver", "k_sa_solver", order=3, eta=1.0, stochastic=True, options=("eta", "s_noise")
)
def sa_solver(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Stochastic Adams method: predictor of order 3, corrector of order 4, noise in the middle of the way.

    Noise of share eta is added between a fifth and four fifths of the training levels; the correction keeps the noise
    of the step that it corrects. Source: Xue et al. 2023, arXiv:2309.05019, algorithm 1.
    """
    total, law = len(sigmas) - 1, run.law
    seen: list[Seen] = []  # newest first
    start, eta, noise = x, 0.0, None
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        here = law.half_log_snr(sigma)
        if seen:
            x = _adams(law, start, sigmas[index - 1], sigma, [(here, denoised), *seen[:SA_CORRECTOR]], eta, noise)
        seen = [(here, denoised), *seen[: max(SA_PREDICTOR, SA_CORRECTOR) - 1]]
        start = x
        if target == 0:
            x = denoised
        else:
            eta = run.eta(1.0) if 0.2 <= law.index(target) / (len(law.sigmas) - 1) <= 0.8 else 0.0
            noise = run.step_noise() if eta > 0 else None
            x = _adams(law, x, sigma, target, seen[:SA_PREDICTOR], eta, noise)
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def _adams(
    law: NoisingLaw,
    x: Tensor,
    sigma: float,
    target: float,
    seen: Sequence[Seen],
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """The exact step from `sigma` to `target` for denoised latents that are a polynomial through `seen`.

    `eta` is the paper's tau: with noise of that share the step in half log-SNR counts 1 + eta² times.
    """
    start = law.half_log_snr(sigma)
    h = law.half_log_snr(target) - start
    reach = h * (1 + eta**2)
    # reach·∫ u^k·e^(-reach·(1 - u)) du from 0 to 1, by parts
    integrals = [-math.expm1(-reach)]
    for power in range(1, len(seen)):
        integrals.append(1 - power / reach * integrals[-1])
    weights = lagrange_weights([(place - start) / h for place, _ in seen], integrals)
    moved = x * (target / sigma * math.exp(-(eta**2) * h))
    moved = moved + weighted([denoised for _, denoised in seen], weights) * law.signal(target)
    if noise is None:
        return moved
    return moved + noise * (target * math.sqrt(-math.expm1(-2 * eta**2 * h)))
