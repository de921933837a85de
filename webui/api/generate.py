"""POST /sdapi/v1/txt2img: wait until the pictures are made and send them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context, client_of
from webui.api.fields import GenerationFields, TextToImageFields, effective_settings, text_to_image
from webui.api.follow import follow
from webui.api.grid import grid_file
from webui.api.problems import JobFailed
from webui.errors import NotFound, WorkerLost
from webui.settings import Settings, known_options
from webui.workers.queue import FAILED
from webui.workers.views import JobView, ResultView


def make_router(context: Context) -> APIRouter:
    """The routes that make pictures."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.post("/txt2img")
    async def txt2img(fields: TextToImageFields, request: Request) -> dict[str, Any]:
        """Make pictures from text. Blocks until they are there; ends the job when the client goes away."""
        return await _make(context, fields, request)

    return router


async def _make(context: Context, fields: TextToImageFields, request: Request) -> dict[str, Any]:
    settings = effective_settings(fields, context.store.settings, context.catalogue)
    names = await run_in_threadpool(_names, context)
    wanted = text_to_image(fields, settings, *names)
    known, _ = known_options(fields.override_settings)
    overrides = {name: settings[name] for name in known}
    if not fields.override_settings_restore_afterwards and overrides:
        await run_in_threadpool(context.change_settings, overrides)
    job_id = await run_in_threadpool(
        context.service.submit, wanted, client_of(request), "txt2img", True, 0, {"settings": overrides | _grid(fields)}
    )
    job = await follow(request, context.service, job_id)
    if job.state == FAILED:
        raise JobFailed(job)
    return await run_in_threadpool(_reply, fields, job, settings)


def _grid(fields: GenerationFields) -> dict[str, Any]:
    """What a client that wants no grid changes of the settings, for its job alone."""
    return {"save_grids": False} if fields.do_not_save_grid else {}


def _names(context: Context) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    samplers, schedules = context.service.names("samplers"), context.service.names("schedules")
    if not samplers:
        raise WorkerLost("The worker process does not start.", remedy=context.service.status().error or "")
    return samplers, schedules


def _reply(fields: GenerationFields, job: JobView, settings: Settings) -> dict[str, Any]:
    """What A1111 answers. An interrupted job brings what was finished before."""
    files: list[bytes] = []
    gridded = settings["return_grid"] and not fields.do_not_save_grid and len(job.results) > 1
    if fields.send_images:
        try:
            files = [Path(result.path).read_bytes() for result in job.results]
        except OSError as error:
            raise NotFound(f"A picture of this job is gone: {error}.") from None
        if gridded:
            files.insert(0, grid_file(files, job.results[0], settings["picture_format"], settings["quality"]))
    return {
        "images": [base64.b64encode(file).decode("ascii") for file in files],
        "parameters": fields.model_dump(),
        "info": json.dumps(_info(job, 1 if gridded else 0)),
    }


def _info(job: JobView, first: int) -> dict[str, Any]:
    request, results = job.request, job.results
    step, facts = request.passes[0], results[0].facts if results else {}
    infotexts = [result.infotext for result in results]
    seeds = [result.seed for result in results]
    subseeds = [result.facts.get("variation_seed", request.variation_seed) for result in results]
    resize = request.resize_seed_from or (-1, -1)
    return {
        "prompt": request.prompt,
        "all_prompts": _each(results, request.prompt),
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": _each(results, request.negative_prompt),
        "seed": seeds[0] if seeds else request.seed,
        "all_seeds": seeds,
        "subseed": subseeds[0] if subseeds else request.variation_seed,
        "all_subseeds": subseeds,
        "subseed_strength": request.variation_strength,
        "width": results[0].width if results else step.width,
        "height": results[0].height if results else step.height,
        "sampler_name": step.sampler,
        "cfg_scale": step.guidance.scale,
        "steps": step.steps,
        "batch_size": request.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": facts.get("checkpoint"),
        "sd_model_hash": facts.get("checkpoint_hash"),
        "sd_vae_name": facts.get("vae"),
        "sd_vae_hash": facts.get("vae_hash"),
        "seed_resize_from_w": resize[0],
        "seed_resize_from_h": resize[1],
        "denoising_strength": None,
        "extra_generation_params": {},
        "index_of_first_image": first,
        "infotexts": infotexts[:1] * first + infotexts,
        "styles": list(request.styles),
        "job_timestamp": timestamp(job),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": facts.get("version", "Emulsion"),
        "notes": list(job.notes),
    }


def _each(results: Sequence[ResultView], text: str) -> list[str]:
    return [text] * len(results)


def timestamp(job: JobView) -> str:
    """When a job began, as A1111 writes it."""
    return time.strftime("%Y%m%d%H%M%S", time.localtime(job.started or job.created))
