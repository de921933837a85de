"""Hands jobs to the worker process, takes in what it says, and replaces it when it dies."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from webui.errors import EmulsionError, WorkerLost
from webui.workers.blobs import Blobs
from webui.workers.changes import Changes
from webui.workers.names import fingerprint, recall, remember
from webui.workers.process import WorkerProcess
from webui.workers.queue import CANCELLED, DONE, FAILED, JobQueue
from webui.workers.scratch import Scratch
from webui.workers.views import RunningJob

log = logging.getLogger(__name__)

STOPPED = "The program was stopped while the job ran. Start it again."
START_ATTEMPTS = 3  # failed starts of the worker in a row before waiting jobs are told
RETRY_SECONDS = 20.0  # between later attempts
MEMORY_FAILURES = 2  # jobs out of memory in a row after which the worker is replaced


class Dispatcher:
    """The worker's keeper, in a thread of its own. `changes.lock` guards every attribute.

    `state` is "starting", "idle", "busy", "broken" (it does not start) or "stopped".
    """

    def __init__(
        self,
        queue: JobQueue,
        scratch: Scratch,
        blobs: Blobs,
        changes: Changes,
        engine: str,
        settings: Mapping[str, Any],
        names_file: Path,
        extensions: tuple[Path, ...] = (),
    ):
        self._queue, self._scratch, self._blobs, self._changes = queue, scratch, blobs, changes
        self._engine, self._settings = engine, dict(settings)
        self._names_file, self._names_key = names_file, fingerprint(engine, extensions)
        self._worker: WorkerProcess | None = None
        self.state, self.restarts = "stopped", 0
        self.error: str | None = None
        self.running: RunningJob | None = None
        self.facts: dict[str, Any] = {}
        self.names: dict[str, Any] = recall(names_file, self._names_key)
        self.durations: list[float] = []  # seconds of the last jobs that were finished
        self.draining = self.stopping = False
        self._loads: dict[int, str | None] = {}
        self._load_numbers = itertools.count(1)
        self._bad_starts, self._retry_at, self._memory_failures = 0, 0.0, 0
        self._bell, self._ring = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._work, name="job-dispatcher", daemon=True)

    def start(self) -> None:
        """Start the worker process and return at once."""
        with self._changes.lock:
            self._spawn()
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Let the running job end at its next step, then end the process."""
        with self._changes.lock:
            self.stopping, worker = True, self._worker
            self.state = "stopped"
        self.wake()
        if worker is not None:
            worker.stop(patience)
        if self._thread.is_alive():
            self._thread.join(2)
        with self._changes.lock:
            self._end(FAILED, STOPPED)
            self._changes.announce()

    def wake(self) -> None:
        """There may be a job."""
        with contextlib.suppress(OSError):
            self._ring.send_bytes(b"!")

    def wish(self, kind: str, mark: str, job_id: str | None, client: str | None = None) -> bool:
        """Pass a wish (interrupt, skip, stop_after) on to the running job; False when it is not this one.

        `client`: it must be a job of this client's."""
        with self._changes.lock:
            running = self.running
            if running is None or job_id not in (None, running.job.id) or client not in (None, running.job.client):
                return False
            setattr(running, mark, True)
            with contextlib.suppress(WorkerLost):  # it is dead already: the job ends by that
                self._send({"kind": kind, "job": running.job.id})
            self._changes.announce(running.job.id)
            return True

    def load(self, checkpoint: str | None, timeout: float) -> None:
        """Have a checkpoint loaded behind the running job and wait for it. Raises what loading raised."""
        with self._changes.lock:
            if not self._changes.wait_for(lambda: self._up() or self.stopping or self.state == "broken", timeout):
                raise WorkerLost("The worker process takes too long to start.")
            number, restarts = next(self._load_numbers), self.restarts
            self._send({"kind": "load", "load": number, "checkpoint": checkpoint})
            self._changes.wait_for(lambda: number in self._loads or self.stopping or self.restarts != restarts, timeout)
            if number not in self._loads:
                raise WorkerLost("The checkpoint was not loaded.", remedy="The worker process ended or took too long.")
            if error := self._loads.pop(number):
                raise EmulsionError(error)

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Settings for the next job and for every later worker."""
        with self._changes.lock:
            self._settings = dict(values)
            if self._worker is not None and not self.stopping:
                with contextlib.suppress(WorkerLost):
                    self._send({"kind": "settings", "values": self._settings})

    def _up(self) -> bool:
        return self.state in ("idle", "busy")

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._worker is None:
            raise WorkerLost("There is no worker process.", remedy=self.error or "")
        self._worker.send(message)

    def _spawn(self) -> None:
        self._worker, self.state = WorkerProcess(self._engine, self._settings), "starting"

    def _work(self) -> None:
        while not self.stopping:
            try:
                if self._worker is None:
                    self._wait_broken()
                else:
                    self._turn(self._worker)
            except WorkerLost as error:
                self._on_lost(str(error))
            except Exception:
                log.exception("the dispatcher stumbled")
                time.sleep(0.5)

    def _turn(self, worker: WorkerProcess) -> None:
        if self.state == "idle":
            self._start_next()
        for message, blob in worker.receive(None, self._bell):
            with self._changes.lock:
                self._handle(message, blob)

    def _wait_broken(self) -> None:
        """The worker does not start: whoever asks is told, and from time to time it is tried again."""
        rang = self._bell.poll(max(0.0, self._retry_at - time.monotonic()))
        with self._changes.lock:
            if rang:
                self._bell.recv_bytes()
                self._fail_waiting()
            if time.monotonic() >= self._retry_at and not self.stopping:
                self._spawn()

    def _start_next(self) -> None:
        with self._changes.lock:
            if self.draining or self.stopping or (job := self._queue.take()) is None:
                return
            options = {**job.options, "scratch": str(self._scratch.folder_of(job.id))}
            order = {"kind": "run", "job": job.id, "task": job.task, "request": job.request, "options": options}
            try:
                self._send({**order, "blobs": str(self._blobs.folder)})
            except WorkerLost:
                self._queue.put_back(job.id)
                raise
            self.running, self.state = RunningJob(job), "busy"
            self._changes.announce(job.id)

    def _handle(self, message: dict[str, Any], blob: bytes) -> None:
        kind, running = message["kind"], self.running
        if kind == "ready":
            self.facts, self.names = message["facts"], message["names"]
            self.state = "stopped" if self.stopping else "idle"
            self.error, self._bad_starts = None, 0
            remember(self._names_file, self._names_key, self.names)
            self._changes.announce()
        elif kind == "broken":
            self.error = message["error"]
        elif kind == "facts":
            self.facts = message["facts"]
            self._changes.announce()
        elif kind == "loaded":
            self._loads[message["load"]] = message["error"]
            self._changes.announce()
        elif running is None or message.get("job") != running.job.id:
            log.warning("a message of kind %s for no running job", kind)
        elif kind in ("done", "cancelled", "failed"):
            self._on_end(running, message)
        else:
            running.take_in(message, blob)
            self._changes.announce(running.job.id)

    def _on_end(self, running: RunningJob, message: Mapping[str, Any]) -> None:
        if message["kind"] == "done":
            self.durations = [*self.durations, time.monotonic() - running.began][-10:]
            self._end(DONE, None)
        elif message["kind"] == "cancelled":
            self._end(CANCELLED, message["error"]) if not self.stopping else self._end(FAILED, STOPPED)
        else:
            self._end(FAILED, message["error"], message["type"])
        self._memory_failures = self._memory_failures + 1 if message.get("type") == "OutOfMemory" else 0
        if self._memory_failures >= MEMORY_FAILURES and self._worker and not self.stopping:
            self._memory_failures = 0  # what is left of its memory may be in pieces: begin with a fresh process
            threading.Thread(target=self._worker.stop, daemon=True).start()
            self.restarts += 1
            self._spawn()

    def _end(self, state: str, error: str | None, error_type: str | None = None) -> None:
        running = self.running
        if running is None:
            return
        results = [vars(result) for result in running.results]
        self._queue.finish(running.job.id, state, error, results, running.notes, error_type, running.outcome)
        self.running = None
        if self.state == "busy":
            self.state = "idle"
        self._scratch.prune()
        self._blobs.prune()
        self._changes.announce(running.job.id)

    def _on_lost(self, how: str) -> None:
        with self._changes.lock:
            if self.stopping:
                return
            log.error("%s", how)
            was_up, worker, self._worker = self._up(), self._worker, None
            if worker is not None:
                threading.Thread(target=worker.stop, args=(0.0,), daemon=True).start()
            if self.running and not self.running.begun:  # it died while it was idle: the next one takes the job
                self._queue.put_back(self.running.job.id)
                self.running = None
            self._end(FAILED, f"{how} The job could not be finished; a new worker has been started.", "WorkerLost")
            self.facts, self.restarts = {}, self.restarts + 1
            self.error = how if was_up else self.error or how
            self._bad_starts = 0 if was_up else self._bad_starts + 1
            if self._bad_starts < START_ATTEMPTS:
                self._spawn()
            else:
                self.state, self._retry_at = "broken", time.monotonic() + RETRY_SECONDS
                self._fail_waiting()
            self._changes.announce()

    def _fail_waiting(self) -> None:
        while (job := self._queue.take()) is not None:
            error = f"The worker process does not start. {self.error or ''} The log has the details."
            self._queue.finish(job.id, FAILED, error, error_type="WorkerLost")
            self._changes.announce(job.id)
