"""Samplers: how a run walks down its sigmas. `resolve_names` reads the names that people and files use."""

from __future__ import annotations

# isort: off
# the order of these imports is the order in which samplers are shown
from webui.diffusion.samplers import dpmpp, euler, heun, singlestep, multistep  # noqa: F401
from webui.diffusion.samplers import predictor_corrector, cfgpp, exponential  # noqa: F401

# isort: on
from webui.diffusion.samplers.base import SAMPLERS, Denoiser, Run, Sampler, StepInfo

__all__ = ["SAMPLERS", "Denoiser", "Run", "Sampler", "StepInfo", "resolve_names"]


def resolve_names(sampler: str, schedule: str | None = None) -> tuple[str, str]:
    """Shown names of a sampler and a schedule, from any spelling.

    Old strings that end in a schedule ("DPM++ 2M Karras") are split; a schedule in the string that is the sampler's own
    becomes Automatic. A schedule given apart from it wins. Raises InvalidRequest for an unknown name.
    """
    from webui.diffusion.schedules import SCHEDULES

    given = SCHEDULES.find(schedule).name if schedule else "Automatic"
    if sampler in SAMPLERS:
        return SAMPLERS.find(sampler).name, given
    folded = sampler.casefold()
    for entry in SCHEDULES:
        for spelling in (entry.name, *entry.aliases):
            stem = sampler[: -len(spelling) - 1]
            if folded.endswith(f" {spelling.casefold()}") and stem in SAMPLERS:
                found = SAMPLERS.find(stem)
                own = found.facts.get("default_schedule", "Uniform") == entry.name
                return found.name, given if given != "Automatic" else ("Automatic" if own else entry.name)
    return SAMPLERS.find(sampler).name, given
