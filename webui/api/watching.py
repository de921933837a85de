"""Being woken, on the event loop, when a job changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from webui.workers.service import JobService


@contextlib.contextmanager
def watched(service: JobService, job_id: str) -> Iterator[asyncio.Event]:
    """An event that is set at every change of the job, and when the program is about to end. Many changes set it once:
    nothing piles up. Other news of the workers would wake everybody who waits, at every job's end."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def on_change(changed_id: str) -> None:
        if changed_id == job_id or (not changed_id and service.draining):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

    unsubscribe = service.subscribe(on_change)
    try:
        yield changed
    finally:
        unsubscribe()
