"""Waiting for a job on behalf of an HTTP call, and ending it when the caller has gone."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from webui.api.traffic import note
from webui.api.watching import watched
from webui.errors import Cancelled, WorkerLost
from webui.workers.service import JobService
from webui.workers.views import JobView


async def follow(request: Request, service: JobService, job_id: str) -> JobView:
    """The job when it is over. Interrupts it and raises Cancelled when the client disconnects, WorkerLost when the
    program is about to end."""
    note(request.scope, job=job_id)
    gone = asyncio.create_task(_disconnected(request))
    over = False
    try:
        with watched(service, job_id) as changed:
            while True:
                changed.clear()
                view = await run_in_threadpool(service.job, job_id)
                if view.over:
                    over = True
                    return view
                if service.draining:
                    raise WorkerLost("The program is about to end.", remedy="Try again when it runs.")
                waiter = asyncio.create_task(changed.wait())
                await asyncio.wait({gone, waiter}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                if gone.done():
                    raise Cancelled("The client has gone.")
    finally:
        gone.cancel()
        if not over:  # also when the server itself stops and cancels this call
            service.interrupt(job_id)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
