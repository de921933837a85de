"""Pictures that nobody asked to save: kept for a while in a private folder, so that they can be shown and sent."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import deque
from pathlib import Path

KEEP_SECONDS = 6 * 3600.0
KEEP_BYTES = 4 << 30  # a client that is slow among many still finds its pictures


class Scratch:
    """A folder with one subfolder for each job. Emptied at start and end; old ones go as new ones come."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()  # jobs of several workers end at the same time
        self._over: deque[tuple[str, float, int]] = deque()  # job, when it was over, bytes; the oldest first
        self._bytes = 0
        self.clear()

    def folder_of(self, job_id: str) -> Path:
        """Where a job may put pictures. The folder is made by who writes into it."""
        return self.folder / job_id

    def end(self, job_id: str) -> None:
        """A job is over: what it has put there counts from now on, and what is too old or too much goes."""
        now, folder = time.time(), self.folder_of(job_id)
        with contextlib.suppress(OSError), self._lock:
            if folder.is_dir():
                size = sum(path.stat().st_size for path in folder.rglob("*"))
                self._over.append((job_id, now, size))
                self._bytes += size
            while self._over and (self._bytes > KEEP_BYTES or now - self._over[0][1] > KEEP_SECONDS):
                oldest, _, size = self._over.popleft()
                self._bytes -= size
                shutil.rmtree(self.folder_of(oldest), ignore_errors=True)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._over.clear()
            self._bytes = 0
