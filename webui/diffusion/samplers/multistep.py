"""Linear multistep samplers: they remember slopes of earlier steps instead of looking twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from webui.diffusion.samplers.base import (
    SAMPLERS,
    Denoiser,
    Run,
    StepInfo,
    lagrange_weights,
    slope,
    weighted,
)

if TYPE_CHECKING:
    from torch import Tensor

Weights: TypeAlias = Callable[[tuple[float, ...], float], Sequence[float]]
"""From the sigmas of known slopes, newest first, and the target sigma: each slope's share of the step."""

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@SAMPLERS.register("LMS", "k_lms", order=2)
def lms(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Adams-Bashforth of up to fourth order for uneven steps in sigma. Source: k-diffusion's linear multistep.

    The first step is Euler's, which keeps the whole at second order.
    """
    return _multistep(denoise, x, sigmas, run, uneven_weights, 4)


@SAMPLERS.register("PLMS", "k_plms", "pndm", order=2, default_schedule="DDIM")
def plms(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Pseudo linear multistep: Adams-Bashforth weights for even steps, whatever the steps are.

    The first step looks twice. Source: Liu et al. 2022, arXiv:2202.09778, algorithm 2, started as in latent diffusion.
    """
    return _multistep(denoise, x, sigmas, run, even_weights, 4, start_twice=True)


@SAMPLERS.register("IPNDM", "k_ipndm", order=2)
def ipndm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """PLMS whose order rises from one to four. Source: Zhang & Chen 2023, arXiv:2204.13902, section 3.4."""
    return _multistep(denoise, x, sigmas, run, even_weights, 4)


@SAMPLERS.register("IPNDM_V", "k_ipndm_v", order=2)
def ipndm_v(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """IPNDM with the weights for uneven steps, which are those of LMS. Source: Chen et al. 2024, arXiv:2405.11326.

    Widespread code divides one term of third and fourth order wrongly unless the steps are even; this is the formula.
    """
    return _multistep(denoise, x, sigmas, run, uneven_weights, 4)


@SAMPLERS.register("DEIS", "k_deis", order=2)
def deis(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Slopes as a polynomial of up to second degree in log(sigma), integrated over sigma.

    Source: Zhang & Chen 2023, arXiv:2204.13902, equation 15, with log(sigma) as the variable as in diffusers.
    """
    return _multistep(denoise, x, sigmas, run, logarithmic_weights, 3)


@SAMPLERS.register("Gradient Estimation", "gradient_estimation", "k_gradient_estimation", order=1)
def gradient_estimation(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Euler's step along a slope that is extrapolated from the last two, gamma 2.

    Source: Permenter & Yuan 2024, arXiv:2306.04848, section 5.
    """
    return _multistep(denoise, x, sigmas, run, lambda known, target: (2.0, -1.0) if known[1:] else (1.0,), 2)


def _multistep(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    run: Run,
    weights: Weights,
    order: int,
    start_twice: bool = False,
) -> Tensor:
    slopes: list[Tensor] = []
    total = len(sigmas) - 1
    for index, (sigma, target) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        slopes = [slope(x, sigma, denoised), *slopes[: order - 1]]
        if target == 0:
            x = denoised
        elif start_twice and index == 0:
            there = x + slopes[0] * (target - sigma)
            x = x + (slopes[0] + slope(there, target, denoise(there, target))) * ((target - sigma) / 2)
        else:
            known = tuple(sigmas[index - back] for back in range(len(slopes)))
            x = x + weighted(slopes, [(target - sigma) * share for share in weights(known, target)])
        run.on_step(StepInfo(index, total, sigma, x, denoised))
    return x


def even_weights(known: tuple[float, ...], target: float) -> Sequence[float]:
    """Adams-Bashforth weights of as many slopes as are known, as if the steps were even."""
    return ADAMS_BASHFORTH[len(known) - 1]


@lru_cache(maxsize=4096)
def uneven_weights(known: tuple[float, ...], target: float) -> Sequence[float]:
    """Adams-Bashforth weights for uneven steps: the polynomial through the slopes, integrated over sigma."""
    step = target - known[0]
    nodes = [(sigma - known[0]) / step for sigma in known]  # 0, then before it; the step goes from 0 to 1
    return tuple(lagrange_weights(nodes, [1 / (power + 1) for power in range(len(nodes))]))


@lru_cache(maxsize=4096)
def logarithmic_weights(known: tuple[float, ...], target: float) -> Sequence[float]:
    """Weights of the polynomial in log(sigma) through the slopes, integrated over sigma."""
    last = math.log(target / known[0])
    nodes = [math.log(sigma / known[0]) / last for sigma in known]
    # ∫ u^k dsigma / step with sigma = sigma₀·e^(last·u), u from 0 to 1, by parts
    grown = math.expm1(last)
    integrals = [1.0]
    for power in range(1, len(nodes)):
        integrals.append((math.exp(last) / grown) - power / last * integrals[-1])
    return tuple(lagrange_weights(nodes, integrals))
