"""What goes on behind the page: headers and notes are read, then hashes computed, slowly enough that nobody notices."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui.errors import EmulsionError, FileError

if TYPE_CHECKING:
    from webui.library.index import Library

log = logging.getLogger(__name__)

NICENESS = 15  # of the thread, where threads have one
BREATH = 0.001  # seconds after each header, in which requests of the page are answered
REST = 0.5  # seconds between two looks at whether a running job has ended


@dataclass(frozen=True)
class Status:
    """How far it is. `state`: "idle", "reading" headers, "hashing", "waiting" for a job to end, or "stopped"."""

    state: str
    files: int
    unread: int
    unhashed: int
    bytes_left: int  # of the files without a hash
    current: str = ""


class Background:
    """One thread over a library. Only one process should have one: the other reads what it writes.

    `busy` tells that a job runs, which then has the disk and the processor for itself.
    """

    def __init__(self, library: Library, busy: Callable[[], bool] = lambda: False):
        self._library, self._busy = library, busy
        self._wish = threading.Event()
        self._end = threading.Event()
        self._pause = threading.Event()
        self._state, self._current = "idle", ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, or go on after `stop`."""
        self._pause.clear()
        self.wake()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="library", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There may be new files."""
        self._wish.set()

    def stop(self) -> None:
        """Leave the work where it is; what is done stays done."""
        self._pause.set()

    def close(self, timeout: float = 2.0) -> None:
        """End the thread."""
        self._end.set()
        self._pause.set()
        self._wish.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def status(self) -> Status:
        """How far it is."""
        files, unread, unhashed, left = self._library.counts()
        state = "stopped" if self._pause.is_set() and (unread or unhashed) else self._state
        return Status(state, files, unread, unhashed, left, self._current if state == self._state else "")

    def _run(self) -> None:
        _lower_priority()
        while not self._end.is_set():
            self._wish.wait()
            self._wish.clear()
            try:
                self._work()
            except Exception:
                if not self._end.is_set():  # else its file may be closed by now
                    log.exception("the library could not be brought up to date")
            self._state, self._current = "idle", ""

    def _work(self) -> None:
        self._state = "reading"
        self._library.read_pending(go_on=self._goes_on_reading)
        for file in self._library.unhashed():
            if not self._goes_on():
                return
            self._state, self._current = "hashing", file.name
            try:
                self._library.sha256(file, on_block=lambda size: self._wait_for_job())
            except FileError as error:
                log.info("not hashed: %s", error)
            except EmulsionError:
                return  # stopped in the middle

    def _goes_on(self) -> bool:
        return not self._pause.is_set()

    def _goes_on_reading(self) -> bool:
        time.sleep(BREATH)
        return self._goes_on()

    def _wait_for_job(self) -> bool:
        while self._busy() and self._goes_on():
            self._state = "waiting"
            time.sleep(REST)
        if self._goes_on():
            self._state = "hashing"
        return self._goes_on()


def _lower_priority() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except (AttributeError, OSError):
        return  # Windows and macOS: hashing leaves the interpreter free at least
