"""Samplers and schedules by the names that clients use, old joined ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException

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


def _find(name: str, entries: Names) -> Mapping[str, Any] | None:
    wanted = name.casefold()
    for entry in entries:
        if wanted in (spelling.casefold() for spelling in _spellings(entry)):
            return entry
    return None


def _spellings(entry: Mapping[str, Any]) -> list[str]:
    return [entry["name"], *entry["aliases"], *filter(None, [entry["facts"].get("name")])]
