"""Where schedules are registered, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from webui.diffusion.laws import NoisingLaw
from webui.registry import Registry
from webui.request import SamplerOptions

Schedule: TypeAlias = Callable[[int, NoisingLaw, SamplerOptions], list[float]]

SCHEDULES: Registry[Schedule] = Registry("schedule")
"""Schedules by the label that A1111 shows.

Each is `f(steps, law, options) -> sigmas`: `steps` ≥ 1 levels, strictly falling, and a final 0.0. Facts: `name`
(A1111's internal name), `default_rho` (-1: none) and `needs_law` (spaced over the law's training levels).
"""


def bounds(law: NoisingLaw, options: SamplerOptions) -> tuple[float, float]:
    """Smallest and largest sigma of a schedule: the options' where given (0 counts as not given), else the law's."""
    return options.sigma_min or law.sigma_min, options.sigma_max or law.sigma_max


def spread(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced numbers, the ends included; of one, the first."""
    if count == 1:
        return [first]
    return [first + (last - first) * index / (count - 1) for index in range(count)]
