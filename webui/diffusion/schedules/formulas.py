"""Schedules given by a formula between the smallest and the largest sigma."""

from __future__ import annotations

import math

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.schedules.registry import SCHEDULES, bounds, spread
from webui.request import SamplerOptions


@SCHEDULES.register("Karras", name="karras", default_rho=7.0, needs_law=False)
def karras(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in sigma^(1/rho), rho 7. Source: Karras et al. 2022, arXiv:2206.00364, equation 5."""
    low, high = bounds(law, options)
    rho = options.rho or 7.0
    return [root**rho for root in spread(high ** (1 / rho), low ** (1 / rho), steps)] + [0.0]


@SCHEDULES.register("Exponential", name="exponential", default_rho=-1, needs_law=False)
def exponential(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in log(sigma). Source: Lu et al. 2022, arXiv:2206.00927, section 3.4."""
    low, high = bounds(law, options)
    return [math.exp(log) for log in spread(math.log(high), math.log(low), steps)] + [0.0]


@SCHEDULES.register("Polyexponential", name="polyexponential", default_rho=1.0, needs_law=False)
def polyexponential(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Steps in log(sigma) that follow a power of their place; rho 1 is the exponential schedule. After k-diffusion."""
    low, high = bounds(law, options)
    rho = options.rho or 1.0
    return [low * (high / low) ** (place**rho) for place in spread(1.0, 0.0, steps)] + [0.0]


@SCHEDULES.register("KL Optimal", "kl_optimal", name="kl_optimal", default_rho=-1, needs_law=False)
def kl_optimal(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in arctan(sigma). Source: Sabour et al. 2024, arXiv:2404.14507, theorem 3.1."""
    low, high = bounds(law, options)
    return [math.tan(angle) for angle in spread(math.atan(high), math.atan(low), steps)] + [0.0]


@SCHEDULES.register("Linear Quadratic", "linear_quadratic", name="linear_quadratic", default_rho=-1, needs_law=False)
def linear_quadratic(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Half of the steps in the first fortieth of the way, linearly, the other half quadratically to the end.

    Source: the schedule of the Mochi 1 video model, as ComfyUI names it; its `threshold_noise` is 0.025.
    """
    high = bounds(law, options)[1]
    if steps == 1:
        return [high, 0.0]
    threshold, linear = 0.025, steps // 2
    rest = steps - linear
    # the quadratic part a·u² + b·u + threshold, u steps after the linear one, starts at its slope and ends at 1
    slope = threshold / linear
    bend = (1 - threshold - slope * rest) / rest**2
    done = [slope * index for index in range(linear)]
    done += [threshold + slope * u + bend * u**2 for u in range(rest)]
    return [high * (1 - part) for part in done] + [0.0]


@SCHEDULES.register("Beta sigmas", "beta_sigmas", name="beta_sigmas", default_rho=-1, needs_law=False)
def beta_sigmas(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Quantiles of the beta distribution over sigma itself: what A1111 1.10 calls Beta."""
    low, high = bounds(law, options)
    return [low + (high - low) * place for place in beta_places(spread(1.0, 0.0, steps))] + [0.0]


def beta_places(shares: list[float], alpha: float = 0.6, beta: float = 0.6) -> list[float]:
    """Quantiles of the beta distribution at `shares`, each from 0 to 1."""
    return [_quantile(share, alpha, beta) for share in shares]


def _quantile(share: float, a: float, b: float) -> float:
    if not 0 < share < 1:
        return min(max(share, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cumulated(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _cumulated(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22), evaluated backwards."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _cumulated(1 - x, b, a)
    fraction = 1.0
    for m in range(40, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    fraction = 1 - (a + b) * x / (a + 1) / fraction
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / (a * fraction)
