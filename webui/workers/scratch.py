"""Pictures that nobody asked to save: kept for a while in a private folder, so that they can be shown and sent."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

KEEP_SECONDS = 6 * 3600.0
KEEP_JOBS = 1000  # a client that waits for its turn among many still finds its picture


class Scratch:
    """A folder with one subfolder for each job. Emptied at start and end; old ones go as new ones come."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.clear()

    def folder_of(self, job_id: str) -> Path:
        """Where a job may put pictures. The folder is made by who writes into it."""
        return self.folder / job_id

    def prune(self) -> None:
        """Remove what is too old or too much."""
        now = time.time()
        with contextlib.suppress(OSError):
            by_age = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for index, path in enumerate(by_age):
                if index >= KEEP_JOBS or now - path.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
