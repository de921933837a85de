"""Timing calls side by side, with the share of the processors that other processes took meanwhile.

Every case lives in a process of its own, as the peers would, and the cases are called in turn.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeAlias

import psutil

from benchmarks.registry import Row, Setting

Case: TypeAlias = Callable[[Setting], Callable[[], Any]]  # prepares once, returns what is timed
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Sample:
    """One call: wall-clock seconds, seconds of processor time of all its threads, and the share of all processors'
    time that went to other processes. `facts` is what the call returned, if that was a dictionary."""

    seconds: float
    processor: float
    others: float
    facts: dict[str, Any] = field(default_factory=dict)


def timed(function: Callable[[], Any]) -> Sample:
    """Call once and time it."""
    process, cores = psutil.Process(), os.cpu_count() or 1
    own, busy, start = _own(process), _busy(), time.perf_counter()
    returned = function()
    seconds, processor = time.perf_counter() - start, _own(process) - own
    others = (_busy() - busy - processor) / (seconds * cores)
    return Sample(seconds, processor, min(1.0, max(0.0, others)), returned if isinstance(returned, dict) else {})


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _busy() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


class Contender:
    """A process that has one case prepared and calls it on demand."""

    def __init__(self, case: Case, setting: Setting):
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(case, setting, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()  # prepared

    def call(self) -> Sample:
        """Call the case once in its process. Raises EOFError when that process died."""
        self.pipe.send("call")
        return self.pipe.recv()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pipe.close()
        self.process.join(10)
        self.process.terminate()


def _serve(case: Case, setting: Setting, pipe: Connection) -> None:
    import torch

    torch.set_num_threads(setting.threads)
    with torch.inference_mode():
        function = case(setting)
        pipe.send("prepared")
        while True:
            try:
                pipe.recv()
            except EOFError:  # the other side is done
                return
            pipe.send(timed(function))


def side_by_side(
    benchmark: str, cases: Mapping[str, Case], setting: Setting, against: str = "", warm_up: bool = True
) -> list[Row]:
    """Call every case in turn, `setting.repeats` times around; a row for each, with ratios to the case `against`."""
    contenders: dict[str, Contender] = {}
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    try:
        for name, case in cases.items():
            contenders[name] = Contender(case, setting)
        for lap in range(setting.repeats + warm_up):
            for name, contender in contenders.items():
                sample = contender.call()
                if lap or not warm_up:
                    samples[name].append(sample)
    finally:
        for contender in contenders.values():
            contender.__exit__(None, None, None)
    return rows(benchmark, samples, against)


def interleaved(cases: Mapping[str, Callable[[], Any]], repeats: int, warm_up: bool = True) -> dict[str, list[Sample]]:
    """Call cases of this process in turn, `repeats` times around: for small things that do not disturb each other."""
    if warm_up:
        for function in cases.values():
            function()
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, function in cases.items():
            samples[name].append(timed(function))
    return samples


def rows(benchmark: str, samples: Mapping[str, list[Sample]], against: str = "") -> list[Row]:
    """A row for each case, with ratios to the case `against`."""
    return with_ratios([row(benchmark, name, taken) for name, taken in samples.items()], against)


def row(benchmark: str, case: str, taken: list[Sample]) -> Row:
    """Medians of one case."""
    seconds = [sample.seconds for sample in taken]
    return Row(
        benchmark,
        case,
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        statistics.median(sample.processor for sample in taken),
        len(taken),
        statistics.median(sample.others for sample in taken),
        facts=taken[-1].facts,
    )


def with_ratios(found: list[Row], against: str) -> list[Row]:
    """The rows with their ratio to the row of the case `against`, if there is one."""
    base = next((each for each in found if each.case == against), None)
    if base is None:
        return found
    return [
        each
        if each is base
        else replace(
            each,
            ratio=each.seconds / base.seconds,
            processor_ratio=each.processor / base.processor if base.processor else None,
            against=against,
        )
        for each in found
    ]
