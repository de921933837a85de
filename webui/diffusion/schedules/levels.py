"""Schedules spaced over the levels that the network was trained with."""

from __future__ import annotations

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.schedules.quantiles import beta_places
from webui.diffusion.schedules.registry import SCHEDULES, bounds, spread
from webui.request import SamplerOptions


def _indices(law: NoisingLaw, options: SamplerOptions) -> tuple[float, float]:
    """First and last index of a falling schedule."""
    low, high = bounds(law, options)
    return law.index(high), law.index(low)


@SCHEDULES.register("Automatic", name="automatic", default_rho=-1, needs_law=False)
def automatic(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """The sampler's own: `sigmas_for` looks it up and comes here for samplers that have none, which means Uniform."""
    return uniform(steps, law, options)


@SCHEDULES.register("Uniform", name="uniform", default_rho=-1, needs_law=True)
def uniform(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in the timestep from the largest level to the smallest, both included."""
    first, last = _indices(law, options)
    return [law.at(index) for index in spread(first, last, steps)] + [0.0]


@SCHEDULES.register("Normal", name="normal", default_rho=-1, needs_law=True)
def normal(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """The same as Uniform, by ComfyUI's name."""
    return uniform(steps, law, options)


@SCHEDULES.register("SGM Uniform", "sgm_uniform", "SGMUniform", name="sgm_uniform", default_rho=-1, needs_law=True)
def sgm_uniform(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in the timestep that leave out the smallest level: what few-step distilled models expect."""
    first, last = _indices(law, options)
    return [law.at(index) for index in spread(first, last, steps + 1)[:-1]] + [0.0]


@SCHEDULES.register("Simple", name="simple", default_rho=-1, needs_law=True)
def simple(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Training levels picked evenly, counted from the largest; for flow models the times = 1, 1 - 1/N, …, 1/N."""
    levels = len(law.sigmas)
    whole = steps <= levels
    places = [index * levels / steps for index in range(steps)]
    return [law.at(levels - 1 - (int(place) if whole else place * (levels - 1) / levels)) for place in places] + [0.0]


@SCHEDULES.register("DDIM", "ddim_uniform", name="ddim", default_rho=-1, needs_law=True)
def ddim(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Training levels picked evenly, counted from the smallest but one. Source: Song et al. 2021, section D.2."""
    levels = len(law.sigmas)
    stride = levels // steps if steps <= levels else (levels - 1) / steps
    first = 1 if 1 + (steps - 1) * stride <= levels - 1 else 0
    return [law.at(first + index * stride) for index in reversed(range(steps))] + [0.0]


@SCHEDULES.register("Beta", name="beta", default_rho=-1, needs_law=True)
def beta(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Quantiles of a beta distribution (0.6, 0.6) over the timestep: denser at both ends.

    This is the paper's and ComfyUI's; A1111 1.10 takes the quantiles over sigma, see "Beta sigmas".
    Source: Lee et al. 2024, arXiv:2407.12173.
    """
    first, last = _indices(law, options)
    places = beta_places([1 - index / steps for index in range(steps)])
    return [law.at(last + (first - last) * place) for place in places] + [0.0]


@SCHEDULES.register("Turbo", name="turbo", default_rho=-1, needs_law=True)
def turbo(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Even steps in the timestep, each at the end of its share: 999, 749, 499, 249 for four steps."""
    levels = len(law.sigmas)
    ends = [levels * (steps - index) / steps for index in range(steps)]
    whole = steps <= levels
    return [law.at((round(end) if whole else end * (levels - 1) / levels + 1) - 1) for end in ends] + [0.0]
