"""What the page and HTTP see of a job, and how messages of the worker change it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest, NotFound
from webui.request import GenerationRequest, from_json
from webui.workers.queue import FINISHED, Job
from webui.workers.tasks import GENERATE

COPIES = "copies"  # among what came of a job in its row; nobody but the history asks for them


@dataclass(frozen=True)
class ResultView:
    """One picture. `path` is a file; `saved` says whether it lies in the output folder or will be cleared away."""

    path: str
    infotext: str
    seed: int
    width: int
    height: int
    saved: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)  # more that the engine told: variation seed, checkpoint


@dataclass(frozen=True)
class JobView:
    """One job as it is now. Times are seconds since 1970, `eta` seconds from now, `progress` 0 to 1."""

    id: str
    state: str  # "waiting", "running", "done", "failed" or "cancelled"
    tab: str
    client: str
    request: GenerationRequest  # an empty one where the job is another task
    created: float
    task: str = GENERATE
    values: Mapping[str, Any] = field(default_factory=dict)  # of another task than making pictures from a request
    outcome: Mapping[str, Any] = field(default_factory=dict)  # what came of it besides pictures
    copies: tuple[str, ...] = ()  # files of pictures that were saved beside the results
    started: float | None = None
    finished: float | None = None
    position: int = 0  # 1 is the next to run; 0 does not wait
    progress: float = 0.0
    eta: float | None = None
    stage: str = ""  # what is being done: "load", "encode", "sample", "decode"; empty when not told
    step: int = 0
    steps: int = 0
    batch: int = 0  # counts from 0
    batches: int = 1
    preview: bytes | None = None  # a small JPEG, PNG or WebP file
    preview_id: int = 0  # rises with every preview
    results: tuple[ResultView, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    error_type: str | None = None  # name of a class in errors.py, or of whatever went wrong
    interrupted: bool = False
    skipped: bool = False
    stopping: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing about it will change any more."""
        return self.state in FINISHED


def picture_of(job: JobView, index: int) -> Path:
    """Where picture `index` of a job was put; it may be gone. Raises NotFound for one that never was."""
    if not 0 <= index < len(job.results):
        raise _missing(index)
    return Path(job.results[index].path)


def read_picture(job: JobView, index: int) -> bytes:
    """The file of picture `index` of a job. Raises NotFound."""
    try:
        return picture_of(job, index).read_bytes()
    except OSError:
        raise _missing(index) from None


def _missing(index: int) -> NotFound:
    return NotFound(f"Picture {index + 1} of the job is not there.", "", "It was moved or cleared away.")


@dataclass(frozen=True)
class WorkerStatus:
    """One worker. `state` is "starting", "idle", "busy", "broken" or "stopped"."""

    number: int
    state: str
    device: str = ""
    checkpoint: str | None = None
    current: str | None = None  # the job that it runs
    memory: int = 0  # bytes
    graphics: Mapping[str, Any] = field(default_factory=dict)  # the graphics card's memory, empty without one
    error: str | None = None
    restarts: int = 0
    pid: int | None = None


@dataclass(frozen=True)
class ServiceStatus:
    """The workers and the queue. `worker` is "busy" if any is, else "idle", "starting", "broken" or "stopped".

    Of several workers `current` is the job that has run longest, `checkpoint`, `device` and `graphics` are those of the
    first that is up, `memory` and `restarts` are sums.
    """

    worker: str
    waiting: int
    current: str | None = None
    checkpoint: str | None = None
    device: str = ""
    memory: int = 0  # bytes held by the workers
    graphics: Mapping[str, Any] = field(default_factory=dict)  # the graphics card's memory, empty without one
    error: str | None = None
    restarts: int = 0
    workers: tuple[WorkerStatus, ...] = ()


class RunningJob:
    """A job between its start and its end, kept up to date from the worker's messages."""

    def __init__(self, job: Job):
        self.job, self.request, self.values = job, _request(job), _values(job)
        self.began, self.begun = time.monotonic(), False  # begun: the worker has said that it has it
        self.stage, self.step, self.steps = "", 0, _steps(job, self.request)
        self.batch, self.batches = 0, max(1, self.request.count)
        self.preview: bytes | None = None
        self.preview_id = 0
        self.results: list[ResultView] = []
        self.notes: list[str] = []
        self.outcome: dict[str, Any] = {}
        self.copies: list[str] = []
        self.interrupted = self.skipped = self.stopping = False
        self.interrupted_at: float | None = None  # by the monotonic clock
        self._told: tuple[float, float] | None = None  # when the engine said how many seconds are left, and how many
        self._first: tuple[float, float] | None = None  # moment and progress of the first step, where it does not say

    def progress(self) -> float:
        """Share of all batches' steps that are done."""
        return min(1.0, (self.batch + min(1.0, self.step / max(1, self.steps))) / self.batches)

    def eta(self) -> float | None:
        """Seconds to go: the engine's estimate, or by the speed seen so far; None before two steps were seen."""
        if self._told is not None:
            return max(0.0, self._told[1] - (time.monotonic() - self._told[0]))
        done = self.progress()
        if self._first is None or done <= self._first[1]:
            return None
        speed = (done - self._first[1]) / (time.monotonic() - self._first[0])
        return (1.0 - done) / speed

    def take_in(self, message: Mapping[str, Any], blob: bytes) -> None:
        """What the worker said about it: progress, a preview, a finished picture, a copy, a note or an outcome."""
        self.begun = True
        if message["kind"] == "progress":
            self._on_progress(message)
        elif message["kind"] == "preview":
            self.preview, self.preview_id = blob, self.preview_id + 1
        elif message["kind"] == "picture":
            self.results.append(result_view(message))
        elif message["kind"] == "copy":
            self.copies.append(message["path"])
        elif message["kind"] == "note":
            self.notes.append(message["text"])
        elif message["kind"] == "outcome":
            self.outcome |= message["values"]

    def _on_progress(self, message: Mapping[str, Any]) -> None:
        for name in ("stage", "step", "steps", "batch", "batches"):
            if message.get(name) is not None:
                setattr(self, name, message[name])
        if message.get("eta") is not None:
            self._told = (time.monotonic(), message["eta"])
        if message.get("step") == 0:
            self.skipped = False  # another batch has begun
        if self._first is None and self.step > 0:
            self._first = (time.monotonic(), self.progress())

    def view(self) -> JobView:
        """A snapshot."""
        return JobView(
            id=self.job.id,
            state=self.job.state,
            tab=self.job.tab,
            client=self.job.client,
            request=self.request,
            created=self.job.created,
            task=self.job.task,
            values=self.values,
            outcome=dict(self.outcome),
            copies=tuple(self.copies),
            started=self.job.started,
            progress=self.progress(),
            eta=self.eta(),
            stage=self.stage,
            step=self.step,
            steps=self.steps,
            batch=self.batch,
            batches=self.batches,
            preview=self.preview,
            preview_id=self.preview_id,
            results=tuple(self.results),
            notes=tuple(self.notes),
            interrupted=self.interrupted,
            skipped=self.skipped,
            stopping=self.stopping,
        )


def result_view(values: Mapping[str, Any]) -> ResultView:
    """A picture from the worker's message or the queue's row."""
    return ResultView(
        path=values["path"],
        infotext=values["infotext"],
        seed=values["seed"],
        width=values["width"],
        height=values["height"],
        saved=values.get("saved", True),
        facts=dict(values.get("facts") or {}),
    )


def row_view(job: Job, position: int = 0, eta: float | None = None) -> JobView:
    """A job that waits or is over, from its row in the queue."""
    return JobView(
        id=job.id,
        state=job.state,
        tab=job.tab,
        client=job.client,
        request=_request(job),
        created=job.created,
        task=job.task,
        values=_values(job),
        outcome={name: value for name, value in job.outcome.items() if name != COPIES},
        copies=tuple(job.outcome.get(COPIES, ())),
        started=job.started,
        finished=job.finished,
        position=position,
        progress=1.0 if job.state == "done" else 0.0,
        eta=eta,
        results=tuple(result_view(values) for values in job.results),
        notes=job.notes,
        error=job.error,
        error_type=job.error_type,
        interrupted=job.state == "cancelled",
    )


def _request(job: Job) -> GenerationRequest:
    """The job's request; one that an older version wrote and this one cannot read shows as an empty one."""
    if job.task != GENERATE:
        return GenerationRequest()
    try:
        return from_json(job.request)
    except InvalidRequest:
        return GenerationRequest()


def _values(job: Job) -> dict[str, Any]:
    return {} if job.task == GENERATE else dict(json.loads(job.request))


def _steps(job: Job, request: GenerationRequest) -> int:
    """How many steps are to be expected, until the worker says."""
    return 1 if job.task != GENERATE else max(1, sum(step.steps for step in request.passes))
