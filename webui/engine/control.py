"""What people want of a running job, and what the job tells them while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from webui.errors import Cancelled, EmulsionError

OnEvent: TypeAlias = Callable[[dict[str, Any]], None]


class Control(Protocol):
    """Three wishes, set by another thread and read at every network call."""

    interrupted: threading.Event  # end the job now
    skipped: threading.Event  # leave this batch, go on with the next
    stopping: threading.Event  # finish this batch, start no other


class NobodyAsks:
    """A control for runs that nobody can reach, and the simplest one to set in tests."""

    def __init__(self) -> None:
        self.interrupted, self.skipped, self.stopping = threading.Event(), threading.Event(), threading.Event()


class BatchSkipped(EmulsionError):
    """Leaves a batch. Not a failure, and never seen outside the run."""


def heed(control: Control) -> None:
    """Raise Cancelled or BatchSkipped when somebody wishes so."""
    if control.interrupted.is_set():
        raise Cancelled("The job was interrupted.")
    if control.skipped.is_set():
        control.skipped.clear()
        raise BatchSkipped("The batch was skipped.")


class Reporter:
    """Turns what happens into events, with progress and time to go. `steps` are those of one batch."""

    def __init__(self, on_event: OnEvent, steps: int, batches: int, clock: Callable[[], float] = time.perf_counter):
        self._on_event, self._clock = on_event, clock
        self.steps, self.batches = max(1, steps), batches
        self.step, self.batch = 0, 0
        self._sampled = 0  # steps that were really run, by which the speed is known
        self._seconds: dict[str, float] = {}
        self._first = clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tell the stage ("load", "encode", "sample", "decode", "save") and measure it."""
        self._progress(name)
        started = self._clock()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._clock() - started

    def begin_batch(self, batch: int) -> None:
        """Batch number `batch`, counted from 0, begins."""
        self.batch, self.step = batch, 0
        if not self._sampled:
            self._first = self._clock()  # loading does not count in the estimate
        self._progress("sample")

    def step_done(self) -> None:
        """One step is over. Samplers that choose their own steps may take more than were planned."""
        self._sampled += 1
        self.step = min(self.step + 1, self.steps)
        self._progress("sample")

    def note(self, text: str) -> None:
        """Something that people should see."""
        self._on_event({"type": "note", "text": text})

    def preview(self, data: bytes, format: str) -> None:
        """A picture of what the last step saw."""
        self._on_event({"type": "preview", "bytes": data, "format": format})

    def picture(self, **facts: Any) -> None:
        """A finished picture."""
        self._on_event({"type": "picture", **facts})

    def copy(self, path: Path) -> None:
        """A picture that was saved beside the finished ones."""
        self._on_event({"type": "copy", "path": str(path)})

    def timings(self) -> dict[str, float]:
        """Seconds by stage so far."""
        return dict(self._seconds)

    def _progress(self, stage: str) -> None:
        fraction = min(1.0, (self.batch + self.step / self.steps) / self.batches)
        event = {"type": "progress", "stage": stage, "step": self.step, "steps": self.steps, "batch": self.batch}
        self._on_event(event | {"batches": self.batches, "fraction": fraction, "eta": self._eta()})

    def _eta(self) -> float | None:
        """Seconds to go at the speed of the steps so far; None before the first one."""
        if not self._sampled:
            return None
        elapsed = self._clock() - self._first
        left = (self.batches - self.batch) * self.steps - self.step
        return elapsed / self._sampled * left
