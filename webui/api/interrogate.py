"""POST /sdapi/v1/interrogate: what is to be seen in a picture, in words."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context, client_of
from webui.api.follow import follow
from webui.api.problems import JobFailed
from webui.captioning.names import captioners, find_captioner
from webui.errors import Cancelled, NotFound
from webui.workers.queue import FAILED


class InterrogateFields(BaseModel):
    """A picture as base64, and "clip" for a sentence, "deepdanbooru" for tags, or the name of a captioner."""

    image: str | None = None
    model: str = "clip"


def make_router(context: Context) -> APIRouter:
    """The routes that put pictures into words."""
    router = APIRouter()

    @router.post("/sdapi/v1/interrogate")
    async def interrogate(fields: InterrogateFields, request: Request) -> dict[str, str]:
        """The caption. 404, in A1111's words for those who match them, where there is no picture or no such model."""
        if not fields.image:
            raise HTTPException(404, "Image not found")
        paths = context.catalogue.library.paths
        try:
            await run_in_threadpool(find_captioner, fields.model, paths)
        except NotFound as error:
            raise error if not captioners(paths) else HTTPException(404, f"Model not found. {error}") from None
        values = {"images": [fields.image], "captioner": fields.model}
        job_id = await run_in_threadpool(
            context.service.submit_task, "caption", values, client_of(request), "interrogate", True
        )
        job = await follow(request, context.service, job_id)
        if job.state == FAILED:
            raise JobFailed(job)
        if not job.outcome.get("captions"):
            raise Cancelled("The job was interrupted.")
        return {"caption": job.outcome["captions"][0]}

    return router
