"""Schedules: which noise levels a run goes through. `sigmas_for` is what a plan asks."""

from __future__ import annotations

from itertools import pairwise

# isort: off
# the order of these imports is the order in which schedules are shown
from webui.diffusion.laws import NoisingLaw
from webui.diffusion.samplers import SAMPLERS
from webui.diffusion.schedules import levels, formulas, tables  # noqa: F401
from webui.diffusion.schedules.registry import SCHEDULES, Schedule

# isort: on
from webui.errors import InvalidRequest
from webui.request import SamplerOptions

__all__ = ["SCHEDULES", "Schedule", "sigmas_for"]


def sigmas_for(
    sampler: str, schedule: str, steps: int, law: NoisingLaw, options: SamplerOptions | None = None
) -> list[float]:
    """The sigmas of a run: `steps` of them, strictly falling, and a final 0.0.

    "Automatic" is the sampler's own schedule. Samplers that discard the penultimate sigma, or options that say so,
    take one step more of the schedule and leave out its smallest sigma. Raises InvalidRequest for unknown names, for
    bounds that leave nothing between them, and for a schedule that an extension made wrongly.
    """
    options = options or SamplerOptions()
    facts = SAMPLERS.find(sampler).facts
    discard = (
        facts.get("discard_penultimate", False)
        if options.discard_penultimate is None
        else (options.discard_penultimate)
    )
    entry = SCHEDULES.find(schedule)
    if entry.name == "Automatic":
        entry = SCHEDULES.find(facts.get("default_schedule") or "Uniform")
    sigmas = entry.value(steps + 1 if discard else steps, law, options)
    if discard:
        sigmas = [*sigmas[:-2], sigmas[-1]]
    _check(entry.name, sigmas, steps)
    return sigmas


def _check(name: str, sigmas: list[float], steps: int) -> None:
    falling = all(high > low for high, low in pairwise(sigmas))
    if not falling or len(sigmas) != steps + 1 or sigmas[-1] != 0:
        raise InvalidRequest(
            f"The schedule {name!r} gave {len(sigmas)} sigmas from {sigmas[0]:g} to {sigmas[-1]:g}.",
            f"{steps} falling ones and a final 0 were wanted.",
            "Check the smallest and the largest sigma of the sampler's options.",
        )
