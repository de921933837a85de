"""Telling those who wait that a job or the worker changed."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Changes:
    """A lock for the service's state, a version that rises with it, and everybody who wants to know."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)
        self._listeners: dict[int, Callable[[str], None]] = {}
        self._numbers = itertools.count(1)
        self.version = 0

    def announce(self, job_id: str = "") -> None:
        """Something about a job changed; an empty id means the worker or everything."""
        with self._condition:
            self.version += 1
            self._condition.notify_all()
            for listener in tuple(self._listeners.values()):
                try:
                    listener(job_id)
                except Exception:
                    log.exception("a listener failed")

    def wait_for(self, happened: Callable[[], bool], timeout: float | None) -> bool:
        """Block until `happened()`, asked at each change, or until `timeout` seconds are over; says which."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while not happened():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._condition.wait(left)
            return True

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener(job_id)` at every change until the returned function is called."""
        with self.lock:
            number = next(self._numbers)
            self._listeners[number] = listener

        def unsubscribe() -> None:
            with self.lock:
                self._listeners.pop(number, None)

        return unsubscribe
