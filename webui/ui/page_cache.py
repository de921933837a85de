"""Gradio's folder of copies within bounds: of this user alone, at most so old, at most so large.

The page sends pictures by routes of its own, so only tabs of extensions put anything here. Gradio itself clears files
away by their age alone, once an hour: a visitor could fill the disk before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

CACHE_BYTES = 1 << 30
CACHE_SECONDS = 86400.0
UPLOAD = "/gradio_api/upload"


def prune(folder: Path, most: int = CACHE_BYTES, age: float = CACHE_SECONDS) -> None:
    """Remove files that are too old, and the oldest beyond `most` bytes; links are removed, not followed."""
    found = []
    for place, folders, names in os.walk(folder):  # it does not follow links
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for path in (Path(place) / name for name in (*names, *links)):
            with contextlib.suppress(OSError):
                facts = path.lstat()
                found.append((facts.st_mtime, facts.st_size, path))
    total, now = 0, time.time()
    for changed, size, path in sorted(found, key=lambda one: -one[0]):
        total += size
        if total > most or now - changed > age:
            with contextlib.suppress(OSError):
                path.unlink()
                if path.parent != folder:
                    path.parent.rmdir()  # Gradio makes a folder for each file; it stays where there is another in it


class BoundedUploads:
    """ASGI middleware: before a file is uploaded to Gradio there is room for it within the bounds."""

    def __init__(self, app: Any, folder: Path, most: int = CACHE_BYTES):
        self._app, self._folder, self._most = app, folder, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/").endswith(UPLOAD):
            await asyncio.to_thread(prune, self._folder, self._most)
        await self._app(scope, receive, send)
