"""A job as server-sent events (WHATWG HTML, section 9.2).

`state` comes first and holds all that is known, so whoever connects again misses nothing. Then, as things happen:
`progress`, `preview`, `picture`, `note`, and at the end `done`, `failed` or `cancelled` with the whole job. Changes
that come faster than a client reads are told together, so nothing piles up.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool

from webui.api.native.views import address, facts, picture
from webui.api.watching import watched
from webui.picture_answer import preview_type
from webui.workers.queue import WAITING
from webui.workers.service import JobService
from webui.workers.views import JobView

HEARTBEAT_SECONDS = 15.0
PLACE_SECONDS = 2.0  # a waiting job's place changes with other jobs, of which it is not told
PAUSE_SECONDS = 0.05  # in which changes are gathered; the end of the job is told at once
RETRY_MILLISECONDS = 2000
END = "end"  # the id of the last event: a browser that comes back with it is told to stay away
PROGRESS = ("state", "position", "progress", "eta", "stage", "step", "steps", "batch", "batches")


async def events(service: JobService, job_id: str, root: str, previews: str) -> AsyncIterator[str]:
    """The text of the stream. `previews`: "url", "data" or "none". Ends with the job or with the program."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    known: JobView | None = None
    with watched(service, job_id) as changed:
        while True:
            changed.clear()
            seen = await run_in_threadpool(service.job, job_id)
            for name, data in _news(known, seen, root, previews):
                yield _event(name, data, END if seen.over and name == seen.state else None)
            known = seen
            if seen.over or service.draining:
                return
            began = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), PLACE_SECONDS if seen.state == WAITING else HEARTBEAT_SECONDS)
            if not changed.is_set():
                yield ": the job goes on\n\n"
            while (left := PAUSE_SECONDS - (time.monotonic() - began)) > 0:
                changed.clear()
                if (await run_in_threadpool(service.job, job_id)).over:
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)


def _news(known: JobView | None, seen: JobView, root: str, previews: str) -> Iterator[tuple[str, Any]]:
    """Names and data of the events that lead from what was told to what is."""
    if known is None:
        yield "state", facts(root, seen).model_dump()
    else:
        for text in seen.notes[len(known.notes) :]:
            yield "note", {"text": text}
        for index, result in enumerate(seen.results[len(known.results) :], len(known.results)):
            yield "picture", picture(root, seen.id, index, result).model_dump()
        if _progress(known) != _progress(seen) and not seen.over:
            yield "progress", _progress(seen) | {"eta": seen.eta}
    if seen.preview is not None and previews != "none" and (known is None or known.preview_id != seen.preview_id):
        yield "preview", {"number": seen.preview_id, "url": _preview(seen, root, previews)}
    if seen.over:
        yield seen.state, facts(root, seen).model_dump()


def _progress(job: JobView) -> dict[str, Any]:
    return {name: getattr(job, name) for name in PROGRESS if name != "eta"}


def _preview(job: JobView, root: str, previews: str) -> str:
    data = job.preview or b""
    if previews == "data":
        return f"data:{preview_type(data)};base64,{base64.b64encode(data).decode('ascii')}"
    return address(root, job.id, f"/preview?number={job.preview_id}")


def _event(name: str, data: Any, event_id: str | None) -> str:
    identity = f"id: {event_id}\n" if event_id else ""
    return f"event: {name}\n{identity}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
