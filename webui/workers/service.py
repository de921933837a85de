"""The one door to generation for the page and HTTP: a queue, a worker process, and what is known about both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from webui.captioning.names import captioners
from webui.engine.catalogue import Catalogue, CheckpointFile
from webui.engine.extensions import Extensions
from webui.errors import InvalidRequest, NotFound, QueueFull, WorkerLost
from webui.library.history import History
from webui.limits import Limits, hold, hold_task
from webui.paths import Paths
from webui.request import GenerationRequest, check
from webui.upscalers.names import names
from webui.workers import blobs
from webui.workers.blobs import Blobs
from webui.workers.changes import Changes
from webui.workers.dispatcher import Dispatcher
from webui.workers.lane import Patience
from webui.workers.names import fingerprint
from webui.workers.process import WorkerProcess
from webui.workers.queue import WAITING, Job, JobQueue, claim
from webui.workers.scratch import Scratch
from webui.workers.tasks import GENERATE, task
from webui.workers.views import JobView, ServiceStatus, row_view

ENGINE = "webui.workers.generate:engine"


class JobService:
    """Submit requests, watch them, stop them. All methods may be called from any thread; none imports torch.

    `settings` is plain data that the worker's engine understands; `folder` holds the queue and unsaved pictures;
    `engine` names what the worker runs ("package.module:function", see `worker.Engine`); `catalogue` lists the files
    for `checkpoints`, `history` the finished pictures; `extensions` are folders whose files may add names. `lanes` has
    one entry a worker: the settings that this one alone gets, such as its device (`plain.lanes`). Raises FileError when
    the folder cannot be written.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        engine: str = ENGINE,
        limit: int = 100,
        catalogue: Catalogue | None = None,
        extensions: tuple[Path, ...] = (),
        history: History | None = None,
        lanes: Sequence[Mapping[str, Any]] = ({},),
    ):
        self.catalogue, self.history = catalogue, history
        path, self._claim = claim(folder)
        self._queue = JobQueue(path, limit)
        self._changes = Changes()
        self.limits = Limits()  # of every request and task from now on
        self.extensions = Extensions()  # as this process knows them
        self.scratch = Scratch(folder / "unsaved" / path.stem)
        self.blobs = Blobs(folder / blobs.FOLDER)
        self.blobs.prune()
        begin, names_file = partial(WorkerProcess, engine), folder / "names.json"
        key = fingerprint(engine, extensions)
        self._dispatcher = Dispatcher(
            self._queue, self.scratch, self.blobs, self._changes, begin, settings, lanes, names_file, key
        )

    def start(self) -> None:
        """Start the workers and return at once; jobs run as soon as one is ready."""
        self._dispatcher.start()

    def limit_waiting(self, everybody: int, client: int) -> None:
        """How many jobs may wait at most: of everybody together, and of one client. Counts from the next job on."""
        self._queue.limit, self._queue.limit_per_client = everybody, client

    def watch(self, silence: float, interrupt: float) -> None:
        """After how many seconds a worker that does not answer is replaced, and its job ended: one that says nothing at
        all (0: never), and one that was interrupted and goes on. Counts from the next message on."""
        with self._changes.lock:
            self._dispatcher.patience = Patience(silence, interrupt)

    def drain(self) -> None:
        """The program is about to end: take and begin no more jobs, and tell everybody who waits for one."""
        with self._changes.lock:
            self._dispatcher.draining = True
            self._changes.announce()

    @property
    def draining(self) -> bool:
        """Whether the program is about to end."""
        return self._dispatcher.draining or self._dispatcher.stopping

    def stop(self, patience: float = 6.0, last: Callable[[], object] = lambda: None) -> None:
        """Take no more jobs, end the running one, keep the waiting ones. Returns within about `patience` + 5 s.

        `last` is called when no job runs any more, and what became of all of them can still be asked for.
        """
        with self._changes.lock:
            if self._dispatcher.stopping:
                return
        self._dispatcher.stop(patience)
        last()
        self.scratch.clear()
        self._queue.close()
        self._claim.close()

    def submit(
        self,
        request: GenerationRequest,
        client: str = "",
        tab: str = "txt2img",
        attached: bool = False,
        priority: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a request; returns the job's id. `attached`: do not run it after a restart, nobody would be there.

        `options` are settings for this job alone. Raises InvalidRequest, or QueueFull at the length limit.
        """
        wanted = dataclasses.asdict(hold(check(request), self.limits))
        return self._add(wanted, client, tab, attached, priority, options)

    def submit_task(
        self,
        name: str,
        values: Mapping[str, Any],
        client: str = "",
        tab: str = "",
        attached: bool = False,
        priority: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a job of another kind (`tasks.TASKS`) with its values; the rest as `submit`.

        Raises InvalidRequest for values that the task refuses.
        """
        checked = task(name).check(values)
        hold_task(checked, self.limits)
        return self._add(checked, client, tab or name, attached, priority, options, name)

    def _add(
        self,
        values: Mapping[str, Any],
        client: str,
        tab: str,
        attached: bool,
        priority: int,
        options: Mapping[str, Any] | None,
        kind: str = GENERATE,
    ) -> str:
        text = json.dumps(self.blobs.stored(values), ensure_ascii=False, separators=(",", ":"))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest("The request holds half a character (a lone surrogate).", "Valid text.") from None
        with self._changes.lock:
            if self.draining:
                raise WorkerLost("The program is about to end.", remedy="Try again when it runs.")
            try:
                job_id = self._queue.add(text, client, tab, attached, priority, options, kind)
            except QueueFull as full:
                full.retry_after = self._dispatcher.seconds_to_a_place()
                raise
            self._changes.announce(job_id)
            self._dispatcher.assign()
        return job_id

    def job(self, job_id: str) -> JobView:
        """The job as it is now. Raises NotFound."""
        with self._changes.lock:
            running = self._dispatcher.find(job_id)
            if running is not None:
                return running.view()
            job = self._queue.get(job_id)
            return self._view(job, self._line() if job.state == WAITING else {})

    def jobs(self, limit: int = 50, client: str | None = None) -> list[JobView]:
        """The newest jobs first, of everybody or of one client."""
        with self._changes.lock:
            line = self._line()
            running = {running.job.id: running for running in self._dispatcher.running()}
            return [
                running[job.id].view() if job.id in running else self._view(job, line)
                for job in self._queue.latest(limit, client)
            ]

    def running(self) -> list[JobView]:
        """The running jobs, at most one a worker, the one that has run longest first."""
        with self._changes.lock:
            return [running.view() for running in self._dispatcher.running()]

    def current(self) -> JobView | None:
        """The running job, of several the one that has run longest; None when none runs."""
        return next(iter(self.running()), None)

    def interrupt(self, job_id: str | None = None, client: str | None = None) -> bool:
        """End a job within one step, or take it out of the queue. False: there is nothing to do.

        Here and in `skip` and `stop_after`: `job_id` None means the running job, `client` None an administrator, who
        may end any job. With a client only that client's own jobs are touched: another's counts as not there.
        """
        with self._changes.lock:
            if job_id is not None and self._may(job_id, client) and self._queue.cancel_waiting(job_id):
                self._changes.announce(job_id)
                return True
            return self._dispatcher.wish("interrupt", "interrupted", job_id, client)

    def skip(self, job_id: str | None = None, client: str | None = None) -> bool:
        """Leave the batch that is being made and go on with the next one."""
        return self._dispatcher.wish("skip", "skipped", job_id, client)

    def stop_after(self, job_id: str | None = None, client: str | None = None) -> bool:
        """End the job when the batch that is being made is finished."""
        return self._dispatcher.wish("stop_after", "stopping", job_id, client)

    def _may(self, job_id: str, client: str | None) -> bool:
        """Whether a job is the client's own; an administrator (None) may touch any."""
        if client is None:
            return True
        try:
            return self._queue.get(job_id).client == client
        except NotFound:
            return False

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Block until the job is over, at most `timeout` seconds; `view.over` says whether it is."""
        self._changes.wait_for(lambda: self._dispatcher.stopping or self.job(job_id).over, timeout)
        return self.job(job_id)

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener(job_id)` at every change, from the service's thread: it must return at once.

        An empty id means that the worker changed. Returns a function that ends the subscription.
        """
        return self._changes.subscribe(listener)

    def wait_change(self, version: int, timeout: float) -> int:
        """Block until anything changed since `version`, at most `timeout` seconds; returns the version now."""
        self._changes.wait_for(lambda: self._changes.version != version or self._dispatcher.stopping, timeout)
        return self._changes.version

    def status(self) -> ServiceStatus:
        """How the workers and the queue are."""
        with self._changes.lock:
            keeper = self._dispatcher
            workers = tuple(lane.status() for lane in keeper.lanes)
            first = next((worker for worker in workers if worker.state in ("idle", "busy")), workers[0])
            return ServiceStatus(
                worker=keeper.state,
                waiting=0 if keeper.stopping else self._queue.count_waiting(),
                current=next((running.job.id for running in keeper.running()), None),
                checkpoint=first.checkpoint,
                device=first.device,
                memory=sum(worker.memory for worker in workers),
                graphics=first.graphics,
                error=next((worker.error for worker in workers if worker.error), None),
                restarts=sum(worker.restarts for worker in workers),
                workers=workers,
            )

    def checkpoints(self) -> list[CheckpointFile]:
        """Every checkpoint file, as last listed."""
        return self.catalogue.checkpoints() if self.catalogue else []

    def vaes(self) -> list[CheckpointFile]:
        """Every separate VAE file, as last listed."""
        return self.catalogue.vaes() if self.catalogue else []

    def upscalers(self) -> list[str]:
        """Names of what enlarges pictures, built in and in the model folders."""
        paths = self.catalogue.library.paths if self.catalogue else Paths()
        return [upscaler.name for upscaler in names(paths) if upscaler.name != "None"]

    def captioners(self) -> list[str]:
        """Names of the folders of what describes pictures."""
        return [one.name for one in captioners(self.catalogue.library.paths)] if self.catalogue else []

    def samplers(self) -> list[str]:
        """Names of the samplers, in the order to show."""
        return [entry["name"] for entry in self.names("samplers")]

    def schedulers(self) -> list[str]:
        """Names of the schedules, in the order to show."""
        return [entry["name"] for entry in self.names("schedules")]

    def names(self, kind: str, timeout: float = 30.0) -> list[dict[str, Any]]:
        """What can be chosen of a kind ("samplers", "schedules"): {"name", "aliases", "facts"} each.

        From the worker; until it is up, what the same files said last time.
        """
        keeper = self._dispatcher
        self._changes.wait_for(lambda: bool(keeper.names) or keeper.state in ("broken", "stopped"), timeout)
        with self._changes.lock:
            return [dict(entry) for entry in keeper.names.get(kind, ())]

    def load(self, checkpoint: str | None = None, timeout: float = 600.0) -> None:
        """Have every worker load a checkpoint behind its job and wait for them. Raises what loading raised."""
        self._dispatcher.load(checkpoint, timeout)

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Settings for all jobs from the next one on."""
        self._dispatcher.change_settings(values)

    def _view(self, job: Job, line: Mapping[str, tuple[int, float | None]]) -> JobView:
        return row_view(job, *line.get(job.id, (0, None)))

    def _line(self) -> dict[str, tuple[int, float | None]]:
        """Position of each waiting job, and seconds until it is likely to be done; None before a job was finished."""
        waiting = self._queue.waiting()
        known = bool(self._dispatcher.durations)
        etas = self._dispatcher.seconds_to_done(len(waiting)) if known else [None] * len(waiting)
        return {job_id: (index + 1, eta) for index, (job_id, eta) in enumerate(zip(waiting, etas, strict=True))}
