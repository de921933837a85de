"""/api/v1/{jobs,tasks,pictures}: put jobs into the queue, follow them, end them, fetch what they made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context
from webui.api.native import events, views
from webui.api.native.models import Accepted, JobDetails, JobFacts, JobFields, Uploaded, Wish
from webui.api.native.requests import check_names, job_settings, read_request
from webui.api.picture_info import picture_bytes
from webui.api.traffic import note
from webui.errors import QueueFull
from webui.identity import check_owner, client_of, owner_of, sits_here
from webui.imaging.files import check_whole, picture_size
from webui.picture_answer import PictureFile, preview_type
from webui.workers.service import JobService
from webui.workers.tasks import refuse_folders
from webui.workers.views import JobView, picture_of

MOST_JOBS = 1000  # in one list
MOST_STREAMS = 256  # jobs that are followed at the same time
BODY = {"requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
FILE: dict[str, Any] = {"description": "The file.", "content": {"image/*": {}}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events until the job is over.", "content": {"text/event-stream": {}}},
    204: {"description": "The end was told already."},
}
PRIVATE = {"Cache-Control": "private, max-age=3600"}
FRESH = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: nginx passes events on at once


def make_router(context: Context) -> APIRouter:
    """The routes. Jobs survive the connection that started them. Another client's job is as if it were not there."""
    router = APIRouter(prefix=views.PREFIX)
    service = context.service

    def accepted(job_id: str, request: Request, response: Response) -> Accepted:
        note(request.scope, job=job_id)
        response.headers["Location"] = views.address(_root(request), job_id)
        return Accepted(id=job_id, position=service.job(job_id).position)

    @router.post("/jobs", status_code=202)
    def submit(fields: JobFields, request: Request, response: Response) -> Accepted:
        """Make pictures."""
        settings, changes = job_settings(fields.settings, context, request)
        wanted = read_request(fields.request, context, settings)
        check_names(wanted, context)
        tab = "txt2img" if wanted.passes and wanted.passes[0].source == "noise" else "img2img"
        job_id = service.submit(wanted, client_of(request.scope), tab, options={"settings": changes})
        return accepted(job_id, request, response)

    @router.post("/tasks/{name}", status_code=202)
    def submit_task(
        name: str, values: Annotated[dict[str, Any], Body()], request: Request, response: Response
    ) -> Accepted:
        """Do something else: extras (enlarge), caption, script, merge, unload."""
        refuse_folders(name, values, sits_here(request.scope))
        return accepted(service.submit_task(name, values, client_of(request.scope)), request, response)

    @router.get("/jobs")
    def jobs(request: Request, limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 50) -> list[JobFacts]:
        """One's own jobs, the newest first; an administrator sees everybody's."""
        return [views.facts(_root(request), job) for job in service.jobs(limit, owner_of(request.scope))]

    @router.get("/jobs/{job_id}")
    def job(job_id: str, request: Request) -> JobDetails:
        """A job with what was asked for."""
        return views.details(_root(request), _own(service, job_id, request))

    @router.delete("/jobs/{job_id}")
    def cancel(job_id: str, request: Request) -> JobFacts:
        """End a job within one step, or take it out of the queue. One that is over stays as it is."""
        _own(service, job_id, request)
        service.interrupt(job_id, owner_of(request.scope))
        return views.facts(_root(request), service.job(job_id))

    @router.post("/jobs/{job_id}/skip")
    def skip(job_id: str, request: Request) -> Wish:
        """Leave the batch that is being made and go on with the next one."""
        _own(service, job_id, request)
        return Wish(done=service.skip(job_id, owner_of(request.scope)))

    _add_pictures(router, context)
    _add_stream(router, context)
    return router


def _add_pictures(router: APIRouter, context: Context) -> None:
    @router.get("/jobs/{job_id}/pictures/{index}", response_class=FileResponse, responses={200: FILE})
    def picture(job_id: str, index: int, request: Request) -> Response:
        """The file of a picture, with its infotext inside."""
        path = picture_of(_own(context.service, job_id, request), index)
        return PictureFile(path, PRIVATE, path.name)

    @router.get("/jobs/{job_id}/preview", response_class=Response, responses={204: {"description": "There is none."}})
    def preview(job_id: str, request: Request) -> Response:
        """The newest preview of a running job. `number` in its address only tells browsers that it is another one."""
        data = _own(context.service, job_id, request).preview
        return Response(data, 200 if data else 204, FRESH, preview_type(data) if data else None)

    @router.post("/pictures", status_code=201, openapi_extra=BODY)
    async def upload(request: Request) -> Uploaded:
        """Keep a picture that jobs will start from: the file as the body, or in a multipart form."""
        data = await picture_bytes(request)
        await run_in_threadpool(check_whole, data)
        width, height = await run_in_threadpool(picture_size, data)
        name = await run_in_threadpool(context.service.blobs.put, data)
        return Uploaded(name=name, width=width, height=height)


def _add_stream(router: APIRouter, context: Context) -> None:
    streams: set[object] = set()

    @router.get("/jobs/{job_id}/events", response_class=StreamingResponse, responses=STREAM)
    async def follow(
        job_id: str,
        request: Request,
        previews: Literal["url", "data", "none"] = "url",
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A job as server-sent events: state, progress, preview, picture, note; then done, failed or cancelled."""
        job = await run_in_threadpool(_own, context.service, job_id, request)
        if last_event_id == events.END and job.over:
            return Response(status_code=204)
        if len(streams) >= MOST_STREAMS:
            raise QueueFull(f"{MOST_STREAMS} jobs are being followed already.", "", "Ask GET /api/v1/jobs/{id}.")
        return StreamingResponse(told(job_id, _root(request), previews), 200, FRESH, "text/event-stream")

    async def told(job_id: str, root: str, previews: str) -> AsyncIterator[str]:
        place = object()
        streams.add(place)
        try:
            async for text in events.events(context.service, job_id, root, previews):
                yield text
        finally:
            streams.discard(place)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path") or "")


def _own(service: JobService, job_id: str, request: Request) -> JobView:
    """A job that who is asking may see. Raises NotFound."""
    job = service.job(job_id)
    check_owner(request.scope, job.client, job_id)
    return job
