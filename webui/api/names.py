"""Samplers and schedules by the names that clients use, old joined ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException

from webui.errors import InvalidRequest

Names = Sequence[Mapping[str, Any]]


def sampler_and_schedule(sampler: str, schedule: str | None, samplers: Names, schedules: Names) -> tuple[str, str]:
    """Names of ours for what a client calls them, old joined ones ("DPM++ 2M Karras") included.

    An unknown schedule means Automatic; an unknown sampler is a 400.
    """
    found = _find(sampler, samplers)
    if found is None:
        for entry in schedules:
            for spelling in _spellings(entry):
                if sampler.casefold().endswith(f" {spelling.casefold()}"):
                    found = found or _find(sampler[: -len(spelling) - 1], samplers)
                    schedule = schedule if schedule and _find(schedule, schedules) else entry["name"]
            if found:
                break
    if found is None:
        raise HTTPException(400, "Sampler not found")
    known = _find(schedule, schedules) if schedule else None
    if known is None:
        return found["name"], "Automatic"
    # "DPM++ 2M Karras": where the schedule is the sampler's own, A1111 says Automatic
    joined = _find(sampler, samplers) is None
    is_usual = found["facts"].get("default_schedule") == known["name"]
    return found["name"], "Automatic" if joined and is_usual else known["name"]


def check_names(sampler: str, schedule: str, samplers: Names, schedules: Names) -> None:
    """Raise InvalidRequest for a name that no job would find, joined ones ("DPM++ 2M Karras") understood.

    Nothing is raised while there are no names: the worker that tells them may still be starting.
    """
    if schedules and schedule and _find(schedule, schedules) is None:
        raise InvalidRequest(f"There is no schedule named {schedule!r}.", _known(schedules))
    folded = sampler.casefold()
    ends = [f" {spelling.casefold()}" for entry in schedules for spelling in _spellings(entry)]
    stems = [sampler[: -len(end)] for end in ends if folded.endswith(end)]
    if samplers and not any(_find(name, samplers) for name in (sampler, *stems)):
        raise InvalidRequest(f"There is no sampler named {sampler!r}.", _known(samplers))


def _known(entries: Names) -> str:
    return f"Known: {', '.join(entry['name'] for entry in entries)}."


def _find(name: str, entries: Names) -> Mapping[str, Any] | None:
    wanted = name.casefold()
    for entry in entries:
        if wanted in (spelling.casefold() for spelling in _spellings(entry)):
            return entry
    return None


def _spellings(entry: Mapping[str, Any]) -> list[str]:
    return [entry["name"], *entry["aliases"], *filter(None, [entry["facts"].get("name")])]
