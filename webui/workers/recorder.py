"""Puts finished pictures into the history as jobs end, and brings the history up to date after the start."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from webui.errors import EmulsionError
from webui.library.history import History
from webui.workers.service import JobService

log = logging.getLogger(__name__)

PATIENCE = 3.0  # seconds after the start in which the page and the worker have the disk for themselves


class Recorder:
    """One thread between the jobs and the history."""

    def __init__(self, service: JobService, history: History):
        self._service, self._history = service, history
        self._jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._recorded: dict[str, set[str]] = {}  # files of a running job that are known
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to listen, and to look through the folders."""
        self._unsubscribe = self._service.subscribe(self._jobs.put)
        self._thread.start()

    def close(self, timeout: float = 2.0) -> None:
        """End the thread."""
        self._unsubscribe()
        self._end.set()
        self._jobs.put("")
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        if not self._end.wait(PATIENCE):
            self._guarded(partial(self._history.rebuild, lambda: not self._end.is_set()))
        while not self._end.is_set():
            job_id = self._jobs.get()
            if job_id:
                self._guarded(partial(self._record, job_id))

    def _record(self, job_id: str) -> None:
        view = self._service.job(job_id)
        known, files = self._recorded.get(job_id, set()), [one.path for one in view.results if one.saved]
        for file in (*files, *view.copies):
            if file not in known:
                self._history.add(Path(file))
        self._recorded[job_id] = {*files, *view.copies}
        if view.over:  # a later change of it, such as its place in a list, would record it again
            self._recorded.pop(job_id, None)

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except EmulsionError as error:
            log.info("the history: %s", error)
        except Exception:
            if not self._end.is_set():  # else the queue may be closed by now
                log.exception("the history could not be brought up to date")
