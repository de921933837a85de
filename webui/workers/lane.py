"""One worker and what is known of it: it is started, given jobs, listened to, and replaced when it dies or hangs."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from typing import Any, Protocol

from webui.errors import WorkerLost
from webui.workers.changes import Changes
from webui.workers.process import WorkerLink
from webui.workers.queue import CANCELLED, DONE, FAILED
from webui.workers.views import RunningJob, WorkerStatus

log = logging.getLogger(__name__)

STOPPED = "The program was stopped while the job ran. Start it again."
START_ATTEMPTS = 3  # failed starts of a worker in a row before it counts as broken
RETRY_SECONDS = 20.0  # between later attempts
READING_SECONDS = 10.0  # for what a worker has said before its end
MEMORY_FAILURES = 2  # jobs out of memory in a row after which the worker is replaced


@dataclass(frozen=True)
class Patience:
    """Seconds after which a worker that does not answer is replaced.

    `silence`: of a job that says nothing at all, 0 for ever; `interrupt`: of one that goes on after an interrupt.
    """

    silence: float = 900.0
    interrupt: float = 30.0


class Keeper(Protocol):
    """Who owns the lanes. All is called with the lock of `Changes` held, and must return at once."""

    patience: Patience

    def on_names(self, names: Mapping[str, Any]) -> None:
        """A worker is ready, and this can be chosen."""

    def on_free(self) -> None:
        """A lane can take a job, or has broken down."""

    def on_unbegun(self, running: RunningJob) -> None:
        """A worker died before it knew of its job: another one may run it."""

    def on_end(self, running: RunningJob, state: str, error: str | None, error_type: str | None) -> None:
        """A job is over."""


class Lane:
    """A worker at a time, in a thread of its own. `changes.lock` guards every attribute.

    `begin(settings)` starts a worker; `own` are settings of this lane alone, such as its device. `state` is "starting",
    "idle", "busy", "broken" (it does not start) or "stopped". What is `told` to a busy worker waits until its job is
    over, so that a worker that does not listen never blocks who tells.
    """

    def __init__(
        self,
        number: int,
        begin: Callable[[Mapping[str, Any]], WorkerLink],
        settings: Mapping[str, Any],
        own: Mapping[str, Any],
        changes: Changes,
        keeper: Keeper,
    ):
        self.number, self._begin, self._own = number, begin, dict(own)
        self._settings, self._changes, self._keeper = {**settings, **own}, changes, keeper
        self._worker: WorkerLink | None = None
        self.state, self.restarts = "stopped", 0
        self.error: str | None = None
        self.running: RunningJob | None = None
        self.facts: dict[str, Any] = {}
        self.checkpoint: str | None = None  # that its last job or load named; None is the one in the settings
        self.loads: dict[int, str | None] = {}  # those that are over, by number: what went wrong
        self._later: list[dict[str, Any]] = []
        self._up, self._stopping, self._heard = False, False, 0.0
        self._bad_starts, self._retry_at, self._memory_failures = 0, 0.0, 0
        self._bell, self._ring = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._work, name=f"lane-{number}", daemon=True)

    # What the keeper calls, with the lock held -------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker and return at once."""
        self._spawn()
        self._thread.start()

    def close(self) -> None:
        """Begin no more workers and jobs. `stop` comes next."""
        self._stopping, self.state = True, "stopped"
        self._wake()

    def run(self, running: RunningJob, order: Mapping[str, Any]) -> None:
        """Give a job to the idle worker. Raises WorkerLost when it is not there any more."""
        try:
            self._send(order)
        except WorkerLost:
            self.state = "starting"  # its end is about to be heard
            raise
        self.running, self.state, self._heard = running, "busy", time.monotonic()
        self._wake()

    def wish(self, kind: str, mark: str) -> None:
        """Pass a wish (interrupt, skip, stop_after) on to the running job."""
        running = self.running
        if running is None or (kind == "interrupt" and running.interrupted):
            return
        setattr(running, mark, True)
        if kind == "interrupt":
            running.interrupted_at = time.monotonic()
        with contextlib.suppress(WorkerLost):  # it is dead already: the job ends by that
            self._send({"kind": kind, "job": running.job.id})
        self._wake()

    def change(self, settings: Mapping[str, Any]) -> None:
        """Settings for the next job and for every later worker."""
        self._settings = {**settings, **self._own}
        with contextlib.suppress(WorkerLost):
            self.tell({"kind": "settings", "values": self._settings})

    def load(self, number: int, checkpoint: str | None) -> None:
        """Have a checkpoint loaded behind the running job; `loads` tells how it went. Raises WorkerLost."""
        self.tell({"kind": "load", "load": number, "checkpoint": checkpoint})
        self.checkpoint = checkpoint

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to the worker, between two jobs. Raises WorkerLost when there is none."""
        if self.state == "busy":
            self._later.append(message)
        else:
            self._send(message)

    def status(self) -> WorkerStatus:
        """How it is."""
        return WorkerStatus(
            number=self.number,
            state=self.state,
            device=str(self.facts.get("device", "")),
            checkpoint=self.facts.get("checkpoint"),
            current=self.running.job.id if self.running else None,
            memory=int(self.facts.get("memory", 0)),
            graphics=self.facts.get("graphics", {}),
            error=self.error,
            restarts=self.restarts,
            pid=self._worker.pid if self._worker else None,
        )

    # What it does by itself --------------------------------------------------------------------------------------

    def stop(self, patience: float) -> None:
        """Let the running job end at its next step, then end the worker. Without the lock, after `close`."""
        if (worker := self._worker) is not None:
            worker.stop(patience)
        if self._thread.is_alive():
            self._thread.join(READING_SECONDS)
        with self._changes.lock:
            self._end(FAILED, STOPPED)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._ring.send_bytes(b"!")

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._worker is None:
            raise WorkerLost("There is no worker process.", remedy=self.error or "")
        self._worker.send(message)

    def _spawn(self) -> None:
        self._later.clear()  # what is told counts for a new worker already
        self._up, self.state, self.checkpoint = False, "starting", None
        self._worker = self._begin(self._settings)

    def _work(self) -> None:
        """Until the worker is gone: when the program stops, what the running job says last is heard too."""
        while not (self._stopping and self._worker is None):
            try:
                if self._worker is None:
                    self._wait_broken()
                else:
                    self._listen(self._worker)
            except WorkerLost as error:
                self._on_lost(str(error))
            except Exception:
                log.exception("the lane stumbled")
                if self._stopping:
                    return
                time.sleep(0.5)

    def _listen(self, worker: WorkerLink) -> None:
        with self._changes.lock:
            end, problem = self._deadline()
        messages = worker.receive(None if end is None else max(0.0, end - time.monotonic()), self._bell)
        with self._changes.lock:
            for message, blob in messages:
                if worker is self._worker:  # else it was replaced because of the message before
                    self._handle(message, blob)
            end, problem = self._deadline()
            if end is not None and time.monotonic() >= end:
                worker.kill()
                self._on_lost(f"{problem} Its worker process was ended.", hung=True)

    def _deadline(self) -> tuple[float | None, str]:
        """When the worker is to be replaced unless it says something, and what is wrong then."""
        running, patience = self.running, self._keeper.patience
        if running is None or self._stopping:
            return None, ""
        ends = []
        if patience.silence > 0:
            problem = f"The job said nothing for {patience.silence:g} seconds."
            ends.append((self._heard + patience.silence, problem))
        if running.interrupted_at is not None:
            problem = f"The job was interrupted and went on for {patience.interrupt:g} seconds."
            ends.append((running.interrupted_at + patience.interrupt, problem))
        return min(ends, default=(None, ""))

    def _wait_broken(self) -> None:
        """The worker does not start: from time to time it is tried again."""
        if self._bell.poll(max(0.0, self._retry_at - time.monotonic())):
            self._bell.recv_bytes()
        with self._changes.lock:
            if time.monotonic() >= self._retry_at and not self._stopping:
                self._spawn()

    def _handle(self, message: dict[str, Any], blob: bytes) -> None:
        kind, running, self._heard = message["kind"], self.running, time.monotonic()
        if kind == "ready":
            self.facts, self.error = message["facts"], None
            self._up, self._bad_starts = True, 0
            self._keeper.on_names(message["names"])
            self._free()
        elif kind == "broken":
            self.error = message["error"]
        elif kind == "facts":
            self.facts = message["facts"]
            self._changes.announce()
        elif kind == "loaded":
            self.loads[message["load"]] = message["error"]
            self._changes.announce()
        elif running is None or message.get("job") != running.job.id:
            log.warning("a message of kind %s for no running job", kind)
        elif kind in ("done", "cancelled", "failed"):
            self._on_end(message)
        else:
            running.take_in(message, blob)
            self._changes.announce(running.job.id)

    def _on_end(self, message: Mapping[str, Any]) -> None:
        if message["kind"] == "done":
            self._end(DONE, None)
        elif message["kind"] == "cancelled":
            self._end(CANCELLED, message["error"]) if not self._stopping else self._end(FAILED, STOPPED)
        else:
            self._end(FAILED, message["error"], message["type"])
        self._memory_failures = self._memory_failures + 1 if message.get("type") == "OutOfMemory" else 0
        if self._memory_failures >= MEMORY_FAILURES and self._worker and not self._stopping:
            self._memory_failures = 0  # what is left of its memory may be in pieces: begin with a fresh process
            threading.Thread(target=self._worker.stop, daemon=True).start()
            self.restarts += 1
            self._spawn()
        else:
            self._free()

    def _free(self) -> None:
        """The worker has nothing to do."""
        self.state = "stopped" if self._stopping else "idle"
        later, self._later = self._later, []
        for message in later:
            with contextlib.suppress(WorkerLost):  # its end is heard next
                self._send(message)
        self._changes.announce()
        self._keeper.on_free()

    def _end(self, state: str, error: str | None, error_type: str | None = None) -> None:
        running, self.running = self.running, None
        if running is not None:
            self._keeper.on_end(running, state, error, error_type)

    def _on_lost(self, how: str, hung: bool = False) -> None:
        with self._changes.lock:
            if self._stopping:
                self._worker = None
                return
            log.error("%s", how)
            was_up, running, worker, self._worker = self._up, self.running, self._worker, None
            if worker is not None:
                threading.Thread(target=worker.stop, args=(0.0,), daemon=True).start()
            if running and not running.begun and not hung:  # it died while it was idle
                self.running = None
                self._keeper.on_unbegun(running)
            elif running and running.interrupted:
                self._end(CANCELLED, f"{how} A new one has been started.")
            else:
                self._end(FAILED, f"{how} The job could not be finished; a new worker has been started.", "WorkerLost")
            self.facts, self.restarts = {}, self.restarts + 1
            self.error = how if was_up else self.error or how
            self._bad_starts = 0 if was_up else self._bad_starts + 1
            if self._bad_starts < START_ATTEMPTS:
                self._spawn()
            else:
                self._up, self.state, self._retry_at = False, "broken", time.monotonic() + RETRY_SECONDS
            self._changes.announce()
            self._keeper.on_free()
