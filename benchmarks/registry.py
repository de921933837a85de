"""The list of benchmarks, what each is given, and the rows it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.registry import Registry


@dataclass(frozen=True)
class Setting:
    """How to measure: `work` is a folder for large files, `repeats` the timed calls of each case, `size` the picture's
    side in pixels."""

    work: Path
    repeats: int = 3
    threads: int = 2
    size: int = 512


@dataclass(frozen=True)
class Row:
    """One case: median `seconds` of wall clock, their range, median `processor` seconds of all threads, and `others`,
    the share of the processors' time that other processes took.

    `ratio` (and `processor_ratio`, which a busy machine disturbs less) is to the case `against` of the same run;
    `facts` are further figures.
    """

    benchmark: str
    case: str
    seconds: float
    low: float
    high: float
    processor: float
    calls: int
    others: float
    ratio: float | None = None
    processor_ratio: float | None = None
    against: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


Benchmark = Callable[[Setting], Iterable[Row]]
BENCHMARKS: Registry[Benchmark] = Registry("benchmark")
