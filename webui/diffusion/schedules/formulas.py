"""Schedules given by a formula between the smallest and the largest sigma."""

from __future__ import annotations

import math

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.schedules.quantiles import beta_places
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
