"""One queue, many lanes: hands each job to a free worker, and keeps what is asked of all of them together."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.errors import EmulsionError, WorkerLost
from webui.workers.blobs import Blobs
from webui.workers.changes import Changes
from webui.workers.lane import Lane, Patience
from webui.workers.names import recall, remember
from webui.workers.process import WorkerLink
from webui.workers.queue import DONE, FAILED, Job, JobQueue
from webui.workers.scratch import Scratch
from webui.workers.tasks import GENERATE, TASKS
from webui.workers.views import COPIES, RunningJob

USUAL_SECONDS = 5.0  # of a job, before any was finished
ANY = object()  # a job that names no checkpoint


class Dispatcher:
    """The lanes' keeper (`lane.Keeper`). `changes.lock` guards every attribute.

    `begin(settings)` starts a worker, `own` has the settings of each lane alone, one entry a worker. `names_file` and
    `names_key` remember what can be chosen, see `names.py`.
    """

    def __init__(
        self,
        queue: JobQueue,
        scratch: Scratch,
        blobs: Blobs,
        changes: Changes,
        begin: Callable[[Mapping[str, Any]], WorkerLink],
        settings: Mapping[str, Any],
        own: Sequence[Mapping[str, Any]],
        names_file: Path,
        names_key: str,
    ):
        self._queue, self._scratch, self._blobs, self._changes = queue, scratch, blobs, changes
        self._names_file, self._names_key = names_file, names_key
        self.names: dict[str, Any] = recall(names_file, names_key)
        self.patience = Patience()
        self.durations: list[float] = []  # seconds of the last jobs that were finished
        self.draining = self.stopping = False
        self._load_numbers = itertools.count(1)
        self.lanes = [Lane(number, begin, settings, one, changes, self) for number, one in enumerate(own)]

    def start(self) -> None:
        """Start the workers and return at once."""
        with self._changes.lock:
            for lane in self.lanes:
                lane.start()

    def stop(self, patience: float) -> None:
        """Let the running jobs end at their next step, then end the processes, all at the same time."""
        with self._changes.lock:
            self.stopping = True
            for lane in self.lanes:
                lane.close()
        threads = [threading.Thread(target=lane.stop, args=(patience,)) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._changes.announce()

    @property
    def state(self) -> str:
        """The state of all lanes in one word, that of the lane where there is one."""
        states = {lane.state for lane in self.lanes}
        return next((state for state in ("busy", "idle", "starting", "broken") if state in states), "stopped")

    def running(self) -> list[RunningJob]:
        """The running jobs, the one that has run longest first."""
        return sorted((lane.running for lane in self.lanes if lane.running), key=lambda running: running.began)

    def find(self, job_id: str) -> RunningJob | None:
        """The job of this id if it runs."""
        return next((running for running in self.running() if running.job.id == job_id), None)

    def wish(self, kind: str, mark: str, job_id: str | None, client: str | None = None) -> bool:
        """Pass a wish (interrupt, skip, stop_after) on to a running job; False when none is meant.

        `job_id` None: the one that has run longest; `client`: of this client's alone.
        """
        with self._changes.lock:
            for running in self.running():
                if job_id in (None, running.job.id) and client in (None, running.job.client):
                    next(lane for lane in self.lanes if lane.running is running).wish(kind, mark)
                    self._changes.announce(running.job.id)
                    return True
            return False

    def load(self, checkpoint: str | None, timeout: float) -> None:
        """Have every worker load a checkpoint behind its job, and wait for them. Raises what loading raised."""
        end = time.monotonic() + timeout
        with self._changes.lock:
            if not self._changes.wait_for(
                lambda: self.stopping or all(lane.state != "starting" for lane in self.lanes), timeout
            ):
                raise WorkerLost("The worker process takes too long to start.")
            lanes = [lane for lane in self.lanes if lane.state in ("idle", "busy")]
            if not lanes:
                raise WorkerLost("There is no worker process.", remedy=self.lanes[0].error or "")
            number, restarts = next(self._load_numbers), {lane.number: lane.restarts for lane in lanes}
            for lane in lanes:
                lane.load(number, checkpoint)

            def over(lane: Lane) -> bool:
                return number in lane.loads or lane.restarts != restarts[lane.number]

            self._changes.wait_for(lambda: self.stopping or all(map(over, lanes)), end - time.monotonic())
            missing = WorkerLost("The checkpoint was not loaded.", "", "The worker process ended or took too long.")
            found = [lane.loads.pop(number, str(missing)) for lane in lanes]
            if error := next((error for error in found if error), None):
                raise missing if error == str(missing) else EmulsionError(error)

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Settings for the next jobs and for every later worker."""
        with self._changes.lock:
            for lane in self.lanes:
                lane.change(values)

    def assign(self) -> None:
        """Give waiting jobs to idle workers; where no worker starts, tell those who wait."""
        with self._changes.lock:
            while not (self.draining or self.stopping):
                idle = [lane for lane in self.lanes if lane.state == "idle"]
                if not idle and any(lane.state != "broken" for lane in self.lanes):
                    return
                if (job := self._queue.take()) is None:
                    return
                if idle:
                    self._give(job, idle)
                else:
                    error = f"The worker process does not start. {self.lanes[0].error or ''} The log has the details."
                    self._queue.finish(job.id, FAILED, error, error_type="WorkerLost")
                self._changes.announce(job.id)

    def _give(self, job: Job, idle: Sequence[Lane]) -> None:
        """Let an idle worker run a job, if there is one, one that has its checkpoint loaded."""
        wanted, running = _checkpoint(job), RunningJob(job)
        lane = min(idle, key=lambda lane: wanted is not ANY and lane.checkpoint != wanted)
        options = {**job.options, "scratch": str(self._scratch.folder_of(job.id))}
        order = {"kind": "run", "job": job.id, "task": job.task, "request": job.request, "options": options}
        try:
            lane.run(running, {**order, "blobs": str(self._blobs.folder)})
        except WorkerLost:
            self._queue.put_back(job.id)
            return
        if wanted is not ANY:
            lane.checkpoint = wanted
        if job.task != GENERATE and TASKS.find(job.task).facts.get("everywhere"):
            for other in self.lanes:
                if other is not lane and other.state in ("idle", "busy"):
                    other.tell({"kind": "perform", "task": job.task, "request": job.request, "options": options})

    # Guesses: jobs take as long as the last ones did ---------------------------------------------------------------

    def seconds_to_done(self, count: int) -> list[float]:
        """Seconds until each of the next `count` waiting jobs is likely to be done."""
        usual, free, found = self._usual_seconds(), self._seconds_left(), []
        for _ in range(count):  # each goes to the worker that is free first
            found.append(free[0] + usual)
            heapq.heapreplace(free, found[-1])
        return found

    def seconds_to_a_place(self) -> int:
        """Seconds until the next job is likely to be over, so that another one may wait."""
        busy = [seconds for seconds in self._seconds_left() if seconds > 0]
        return max(1, math.ceil(min(busy, default=self._usual_seconds())))

    def _usual_seconds(self) -> float:
        return sum(self.durations) / len(self.durations) if self.durations else USUAL_SECONDS

    def _seconds_left(self) -> list[float]:
        """Seconds until each worker is free, rising. Those that do not start are left out."""
        lanes = [lane for lane in self.lanes if lane.state != "broken"] or self.lanes
        told = [lane.running.eta() if lane.running else 0.0 for lane in lanes]
        return sorted(self._usual_seconds() if eta is None else eta for eta in told)

    # What lanes tell ---------------------------------------------------------------------------------------------

    def on_names(self, names: Mapping[str, Any]) -> None:
        """A worker is ready, and this can be chosen."""
        self.names = dict(names)
        remember(self._names_file, self._names_key, self.names)

    def on_free(self) -> None:
        """A lane can take a job, or has broken down."""
        self.assign()

    def on_unbegun(self, running: RunningJob) -> None:
        """A worker died before it knew of its job: another one may run it."""
        self._queue.put_back(running.job.id)

    def on_end(self, running: RunningJob, state: str, error: str | None, error_type: str | None) -> None:
        """A job is over."""
        if state == DONE:
            self.durations = [*self.durations, time.monotonic() - running.began][-10:]
        results = [vars(result) for result in running.results]
        outcome = running.outcome | ({COPIES: running.copies} if running.copies else {})
        self._queue.finish(running.job.id, state, error, results, running.notes, error_type, outcome)
        self._scratch.end(running.job.id)
        self._blobs.prune()
        self._changes.announce(running.job.id)


def _checkpoint(job: Job) -> Any:
    """The checkpoint that a job names, None for the one in the settings, ANY when it needs none."""
    values = json.loads(job.request)
    values = values.get("request") or values if job.task != GENERATE else values
    return values.get("checkpoint", ANY)
