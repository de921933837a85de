"""Names that clients give to their jobs (`force_task_id`), to ask after them by these."""

from __future__ import annotations

import threading
from collections import OrderedDict

MOST = 1000


class TaskIds:
    """Job ids by the clients' names for them; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, str] = OrderedDict()

    def remember(self, task_id: str, job_id: str) -> None:
        """Take a name for a job; the later of equal names counts."""
        with self._lock:
            self._jobs[task_id[:200]] = job_id
            self._jobs.move_to_end(task_id[:200])
            while len(self._jobs) > MOST:
                self._jobs.popitem(last=False)

    def job(self, task_id: str) -> str:
        """The job of a name. What is no such name may be a job's own id."""
        with self._lock:
            return self._jobs.get(task_id[:200], task_id)
