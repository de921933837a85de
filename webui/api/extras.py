"""POST /sdapi/v1/{extra-single-image,extra-batch-images}: pictures enlarged, by one or two upscalers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context, client_of
from webui.api.fields import TolerantFields
from webui.api.follow import follow
from webui.api.pictures import encoded, files_of, picture_field
from webui.api.problems import JobFailed
from webui.errors import Cancelled
from webui.workers.queue import FAILED
from webui.workers.views import JobView


class ExtrasFields(TolerantFields):
    """What is to be done, with A1111's defaults."""

    resize_mode: int = 0  # 0: by a factor, 1: to a size
    show_extras_results: bool = True  # means something in a page only
    gfpgan_visibility: float = 0
    codeformer_visibility: float = 0
    codeformer_weight: float = 0
    upscaling_resize: float = 2
    upscaling_resize_w: int = 512
    upscaling_resize_h: int = 512
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = 0
    upscale_first: bool = False


class SingleFields(ExtrasFields):
    """One picture as base64."""

    image: str = ""


class NamedPicture(BaseModel):
    """A picture as base64, and the name of its file."""

    data: str
    name: str


class BatchFields(ExtrasFields):
    """Several pictures."""

    imageList: list[NamedPicture]  # so spelt by A1111


def make_router(context: Context) -> APIRouter:
    """The routes that enlarge. Nothing is saved, as in A1111."""
    router = APIRouter(prefix="/sdapi/v1")

    async def work(fields: ExtrasFields, images: Sequence[str], names: Sequence[str], request: Request) -> JobView:
        values = await run_in_threadpool(_values, context, fields, images, names)
        job_id = await run_in_threadpool(
            context.service.submit_task, "extras", values, client_of(request), "extras", True
        )
        job = await follow(request, context.service, job_id)
        if job.state == FAILED:
            raise JobFailed(job)
        return job

    @router.post("/extra-single-image")
    async def extra_single_image(fields: SingleFields, request: Request) -> dict[str, Any]:
        """One picture enlarged."""
        job = await work(fields, [fields.image], [], request)
        if not job.results:
            raise Cancelled("The job was interrupted before the picture was finished.")
        files = await run_in_threadpool(files_of, job.results)
        return {"html_info": _html(job), "image": encoded(files[0])}

    @router.post("/extra-batch-images")
    async def extra_batch_images(fields: BatchFields, request: Request) -> dict[str, Any]:
        """Several pictures enlarged. Those that could not be read are named in `html_info`."""
        pictures = fields.imageList
        job = await work(fields, [one.data for one in pictures], [one.name for one in pictures], request)
        files = await run_in_threadpool(files_of, job.results)
        return {"html_info": _html(job), "images": [encoded(file) for file in files]}

    return router


def _values(context: Context, fields: ExtrasFields, images: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """The values of the task. Raises InvalidRequest, FileErrors for a single picture that is none."""
    settings = context.store.settings
    is_single = not names
    restorers = [
        {"name": name, "visibility": visibility, "weight": fields.codeformer_weight}
        for name, visibility in (("GFPGAN", fields.gfpgan_visibility), ("CodeFormer", fields.codeformer_visibility))
        if visibility > 0
    ]
    options = {
        "upscaler": fields.upscaler_1,
        "upscaler_2": fields.upscaler_2,
        "visibility_2": float(fields.extras_upscaler_2_visibility),
        "mode": "to" if fields.resize_mode == 1 else "by",
        "scale": float(fields.upscaling_resize),
        "width": fields.upscaling_resize_w,
        "height": fields.upscaling_resize_h,
        "crop": fields.upscaling_crop,
        "restorers": restorers,
        "upscale_first": fields.upscale_first,
    }
    pictures = [picture_field(image, settings, context.offline) for image in images] if is_single else list(images)
    return {"images": pictures, "names": list(names), "options": options, "save": False}


def _html(job: JobView) -> str:
    """What was done, as the page of A1111 shows it."""
    done = [str(result.facts.get("postprocessing") or "") for result in job.results[-1:]]
    return "".join(f"<p>{html.escape(line)}</p>" for line in [*done, *job.notes] if line)
