"""Counters, gauges and histograms, and the text that Prometheus reads (exposition format 0.0.4). Plain data.

Every metric names its labels once; a series is one combination of their values. The number of series of a metric is
bounded: beyond it everything is counted under "other", so that nobody from outside can fill the memory with them.
"""

from __future__ import annotations

import bisect
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 500  # of one metric
OTHER = "other"
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
LONG = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)  # seconds

Values = tuple[str, ...]
Sample = tuple[Values, float]


class Metric(ABC):
    """What all kinds share: a name, a sentence about it, and names of labels."""

    kind = "untyped"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()):
        self.name, self.about, self.labels = name, about, tuple(labels)
        self._lock = threading.Lock()

    def lines(self) -> list[str]:
        """The metric in Prometheus' words."""
        about = self.about.replace("\\", "\\\\").replace("\n", "\\n")
        return [f"# HELP {self.name} {about}", f"# TYPE {self.name} {self.kind}", *self._samples()]

    @abstractmethod
    def _samples(self) -> Iterable[str]:
        """The lines of the series."""


class Counter(Metric):
    """A number that only rises, by labels. A counter without labels begins at 0, one with labels with no series."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()):
        super().__init__(name, about, labels)
        self._totals: dict[Values, float] = {} if labels else {(): 0.0}

    def add(self, amount: float = 1, *values: str) -> None:
        """Count `amount` more for these values of the labels."""
        with self._lock:
            key = _bounded(values, self._totals)
            self._totals[key] = self._totals.get(key, 0.0) + amount

    def total(self, *values: str) -> float:
        """What has been counted for these values."""
        with self._lock:
            return self._totals.get(values, 0.0)

    def _samples(self) -> list[str]:
        with self._lock:
            return [_line(self.name, self.labels, values, total) for values, total in self._totals.items()]


class Gauge(Metric):
    """A number as it is at the moment of asking: `read()` gives (values of the labels, number) pairs."""

    kind = "gauge"

    def __init__(self, name: str, about: str, read: Callable[[], Iterable[Sample]], labels: Sequence[str] = ()):
        super().__init__(name, about, labels)
        self._read = read

    def _samples(self) -> list[str]:
        return [_line(self.name, self.labels, values, number) for values, number in self._read()]


class Histogram(Metric):
    """How often a measure fell below each of some limits, and its sum."""

    kind = "histogram"

    def __init__(self, name: str, about: str, buckets: Sequence[float] = SHORT, labels: Sequence[str] = ()):
        super().__init__(name, about, labels)
        self._limits = tuple(buckets)
        self._counts: dict[Values, list[int]] = {}
        self._sums: dict[Values, float] = {}
        if not labels:
            self._observe((), 0.0, 0)

    def observe(self, measure: float, *values: str, times: int = 1) -> None:
        """Take in a measure, `times` over."""
        with self._lock:
            self._observe(_bounded(values, self._counts), measure, times)

    def count(self, *values: str) -> int:
        """How many measures were taken in."""
        with self._lock:
            return sum(self._counts.get(values, ()))

    def _observe(self, key: Values, measure: float, times: int) -> None:
        counts = self._counts.setdefault(key, [0] * (len(self._limits) + 1))
        counts[bisect.bisect_left(self._limits, measure)] += times
        self._sums[key] = self._sums.get(key, 0.0) + measure * times

    def _samples(self) -> list[str]:
        with self._lock:
            series = [(values, list(counts), self._sums[values]) for values, counts in self._counts.items()]
        lines = []
        for values, counts, total in series:
            below = 0
            for limit, count in zip((*map(_number, self._limits), "+Inf"), counts, strict=True):
                below += count
                lines.append(_line(f"{self.name}_bucket", (*self.labels, "le"), (*values, limit), below))
            lines.append(_line(f"{self.name}_sum", self.labels, values, total))
            lines.append(_line(f"{self.name}_count", self.labels, values, below))
        return lines


AnyMetric = TypeVar("AnyMetric", bound=Metric)


class Metrics:
    """All metrics of one program."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, metric: AnyMetric) -> AnyMetric:
        """Take in a metric; one of the same name takes the former's place."""
        self._metrics[metric.name] = metric
        return metric

    def text(self) -> str:
        """Everything, as the format has it."""
        lines = [line for metric in tuple(self._metrics.values()) for line in metric.lines()]
        return "\n".join(lines) + "\n"


def _bounded(values: Values, known: dict[Values, Any]) -> Values:
    return values if values in known or len(known) < MOST_SERIES else (OTHER,) * len(values)


def _line(name: str, labels: Sequence[str], values: Sequence[str], number: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {_number(number)}" if pairs else f"{name} {_number(number)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
    return str(int(number)) if float(number).is_integer() else repr(float(number))
