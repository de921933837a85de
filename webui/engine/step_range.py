"""In which steps of a pass an adapter is on: `start=`, `stop=`, `step=a-b`, counted as sd-webui-lora-block-weight does.

A whole number is a number of steps that were done before, a number below 1 a share of the steps of the pass. 1 counts
as 0, because A1111's counter stands at 0 in the first two steps.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webui.errors import InvalidRequest

NEARLY = 1 + 1e-6  # noise levels that differ by less are one step's: some samplers take them through a logarithm
NAMES = ("start", "stop", "step")


@dataclass(frozen=True)
class StepRange:
    """On after `start` steps were done, off after `stop` (None: never)."""

    start: float = 0.0
    stop: float | None = None

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Whether (step from 0, steps of the pass) lies within."""
        step, steps = place
        return _counted(self.start, steps) <= step < (steps if self.stop is None else _counted(self.stop, steps))


ALWAYS = StepRange()


def step_range(named: Mapping[str, str]) -> StepRange:
    """What the named arguments of a directive say. Raises InvalidRequest for what means nothing."""
    start, stop = named.get("start"), named.get("stop")
    if "step" in named:
        if "-" not in named["step"] or "start" in named or "stop" in named:
            raise InvalidRequest(f"The steps are {named['step']!r}.", "Write step=5-10, or start=5 and stop=10.")
        start, _, stop = named["step"].partition("-")
    found = StepRange(_number(start or "0"), None if stop is None else _number(stop))
    if found.stop is not None and (found.start < 1) == (found.stop < 1) and found.stop < found.start:
        raise InvalidRequest(f"It stops at step {stop} before it starts at {start}.", "stop is the later one.")
    return found


def step_at(sigmas: Sequence[float], sigma: float) -> int:
    """The step, from 0, that a noise level belongs to in a pass over falling `sigmas`.

    A level between two steps counts as the later one, as A1111 counts second evaluations.
    """
    return min(bisect_left(sigmas, -sigma * NEARLY, key=lambda level: -level), max(0, len(sigmas) - 2))


def _counted(value: float, steps: int) -> int:
    whole = max(1, round(value * steps)) if 0 < value < 1 else int(value)
    return 0 if whole == 1 else whole


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 100_000:
        raise InvalidRequest(f"{text!r} is no step.", "A number of steps, or a share of them below 1, was wanted.")
    return value
