"""Counts what jobs do, for GET /metrics, and writes their beginnings and ends into the log.

Like the recorder it listens to the service: the listener only puts the job's id into a queue, and one thread looks at
the job afterwards. Steps that went by between two looks are counted with their mean duration.
"""

from __future__ import annotations

import builtins
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from webui import errors
from webui.errors import NotFound
from webui.logs import fields
from webui.metrics import LONG, OTHER, SHORT, Counter, Gauge, Histogram, Metrics, Sample
from webui.workers.service import JobService
from webui.workers.views import JobView, ServiceStatus

log = logging.getLogger(__name__)

SAMPLE_STAGE, LOAD_STAGE = "sample", "load"
SHORTEST_LOAD = 0.05  # seconds; what is shorter found the model loaded already
REMEMBERED = 1000  # jobs that are over: a later change of one does not count again


@dataclass
class _Seen:
    """What is known of a job that is not over."""

    state: str = ""
    loading_since: float | None = None
    place: tuple[int, int] | None = None  # batch and step at the last look, while it samples
    looked: float = 0.0  # when the place changed last
    pictures: int = 0


class JobCounters:
    """One thread between the jobs and the metrics."""

    def __init__(self, service: JobService, metrics: Metrics | None = None, log_prompts: bool = False):
        self._service, self.metrics, self._log_prompts = service, metrics or Metrics(), log_prompts
        self._changes: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: dict[str, _Seen] = {}
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._began = time.time()
        self._thread = threading.Thread(target=self._run, name="counters", daemon=True)
        self._unsubscribe: Callable[[], None] = lambda: None
        self._declare()

    def _declare(self) -> None:
        add = self.metrics.add
        about = "Jobs that were taken in, by task."
        self.submitted = add(Counter("emulsion_jobs_submitted_total", about, ("task",)))
        about = "Jobs that are over, by task and how they ended."
        self.ended = add(Counter("emulsion_jobs_ended_total", about, ("task", "state")))
        about = "Jobs that failed, by kind of error."
        self.failures = add(Counter("emulsion_job_errors_total", about, ("error",)))
        self.pictures = add(Counter("emulsion_pictures_total", "Pictures that were made, by task.", ("task",)))
        self.wait = add(Histogram("emulsion_job_wait_seconds", "From taking a job in to its beginning.", LONG))
        self.duration = add(Histogram("emulsion_job_seconds", "From a job's beginning to its end.", LONG, ("task",)))
        self.steps = add(Histogram("emulsion_step_seconds", "One step of sampling.", SHORT))
        self.loads = add(Histogram("emulsion_load_seconds", "Loading models at the beginning of a job.", LONG))
        about = "Jobs that run now."
        add(Gauge("emulsion_jobs_running", about, lambda: [((), self._running())]))
        declare_status(self.metrics, self._service.status)

    def _running(self) -> int:
        return sum(seen.state == "running" for seen in tuple(self._seen.values()))

    def start(self) -> None:
        """Begin to listen."""
        self._unsubscribe = self._service.subscribe(self._changes.put)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Count what has happened so far, and end the thread."""
        self._unsubscribe()
        self._changes.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (job_id := self._changes.get()) is not None:
            if not job_id or job_id in self._over:
                continue
            try:
                self._look(job_id)
            except NotFound:
                self._seen.pop(job_id, None)
            except Exception:
                if not self._service.draining:  # else the queue may be closed by now
                    log.exception("a job could not be counted")

    def _look(self, job_id: str) -> None:
        now, view = time.monotonic(), self._service.job(job_id)
        seen = self._seen.setdefault(job_id, _Seen())
        if not seen.state and view.created >= self._began:  # else it was left over by an earlier run of the program
            self.submitted.add(1, view.task)
            log.info("job %s waits: %s for %s", job_id, view.task, view.tab, extra=self._fields(view))
        if seen.state != "running" and view.started is not None:
            self.wait.observe(view.started - view.created)
            log.info("job %s begins", job_id, extra=fields(job=job_id))
        self._advance(view, seen, now)
        seen.state = view.state
        if view.over:
            self._end(view)
            self._seen.pop(job_id)
            self._over.append(job_id)

    def _advance(self, view: JobView, seen: _Seen, now: float) -> None:
        """Pictures, and the seconds of steps and of loading since the last look."""
        if len(view.results) > seen.pictures:
            self.pictures.add(len(view.results) - seen.pictures, view.task)
            seen.pictures = len(view.results)
        if view.stage == LOAD_STAGE:
            seen.loading_since = seen.loading_since or now
        elif seen.loading_since is not None and (took := now - seen.loading_since) >= SHORTEST_LOAD:
            self.loads.observe(took)
        seen.loading_since = seen.loading_since if view.stage == LOAD_STAGE else None
        place = (view.batch, view.step) if view.stage == SAMPLE_STAGE else None
        if place == seen.place:
            return
        if place and seen.place and place[0] == seen.place[0] and place[1] > seen.place[1]:
            steps = place[1] - seen.place[1]
            self.steps.observe((now - seen.looked) / steps, times=steps)
        seen.place, seen.looked = place, now

    def _end(self, view: JobView) -> None:
        self.ended.add(1, view.task, view.state)
        seconds = (view.finished or 0.0) - view.started if view.started is not None else 0.0
        if view.started is not None:
            self.duration.observe(max(0.0, seconds), view.task)
        if view.state == "failed":
            self.failures.add(1, known_error(view.error_type))
        told = fields(job=view.id, client=view.client or None, task=view.task, state=view.state)
        found = f" ({known_error(view.error_type)})" if view.state == "failed" else ""
        text = "job %s is over after %.2f s: %s%s, %d pictures"
        log.info(text, view.id, seconds, view.state, found, len(view.results), extra=told)

    def _fields(self, view: JobView) -> dict[str, dict[str, object]]:
        told: dict[str, object] = {"job": view.id, "client": view.client or None, "task": view.task}
        if self._log_prompts:
            told |= {"prompt": view.request.prompt, "negative_prompt": view.request.negative_prompt}
        return fields(**told)


def declare_status(metrics: Metrics, status: Callable[[], ServiceStatus]) -> None:
    """What the service says of itself at the moment of asking."""

    def gauge(name: str, about: str, read: Callable[[ServiceStatus], Iterable[Sample]], *labels: str) -> Gauge:
        return metrics.add(Gauge(name, about, lambda: read(status()), labels))

    gauge("emulsion_jobs_waiting", "Jobs that wait now.", lambda now: [((), now.waiting)])
    gauge("emulsion_worker_state", "1 for the state that the worker is in.", lambda now: [((now.worker,), 1)], "state")
    gauge("emulsion_worker_memory_bytes", "Memory of the worker.", lambda now: [((), now.memory)])
    about = "Times that a worker process was replaced."
    gauge("emulsion_worker_restarts_total", about, lambda now: [((), now.restarts)]).kind = "counter"
    gauge("emulsion_graphics_memory_bytes", "Memory of the graphics card.", _graphics, "kind")


def _graphics(now: ServiceStatus) -> list[Sample]:
    system = now.graphics.get("system") or {}
    return [((kind,), system[kind]) for kind in ("used", "free", "total") if kind in system]


def known_error(name: str | None) -> str:
    """The name of an error of this program or of Python, "other" for anything else: extensions may make up any."""
    return name if name and (hasattr(errors, name) or hasattr(builtins, name)) else OTHER
