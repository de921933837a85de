"""The routes that A1111's own page uses, and a few clients too: /internal/{ping,progress,pending-tasks,sysinfo,…}."""

from __future__ import annotations

import base64
import json
import platform
import time
from collections.abc import Mapping
from typing import Any

import psutil
from fastapi import APIRouter, Request
from starlette.responses import Response

from webui.api.context import Context
from webui.api.fields import TolerantFields
from webui.api.listings import MOST_WAITING, without_private
from webui.errors import NotFound
from webui.identity import check_owner, owner_of
from webui.picture_answer import preview_type
from webui.settings import SETTINGS
from webui.workers.queue import WAITING
from webui.workers.views import JobView


class TaskFields(TolerantFields):
    """A job by its `force_task_id`, or by its own id."""

    id_task: str = ""
    id_live_preview: int = -1
    live_preview: bool = True


def make_router(context: Context) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/internal")
    began = psutil.Process().create_time()
    ready = time.time()

    @router.get("/ping")
    def ping() -> dict[str, Any]:
        """That the server answers."""
        return {}

    @router.post("/progress")
    def progress(fields: TaskFields, request: Request) -> dict[str, Any]:
        """How one job is getting on. Somebody else's is as if it were not there, except for administrators."""
        return _progress(context, fields, request.scope)

    @router.get("/pending-tasks")
    def pending_tasks(request: Request) -> dict[str, Any]:
        """The jobs that wait, the next one first: one's own, or everybody's for an administrator."""
        jobs = context.service.jobs(MOST_WAITING, owner_of(request.scope))
        waiting = [job for job in jobs if job.state == WAITING]
        return {"size": len(waiting), "tasks": [job.id for job in sorted(waiting, key=lambda job: job.position)]}

    @router.get("/quicksettings-hint")
    def quicksettings_hint() -> list[dict[str, str]]:
        """Names of settings by A1111's names."""
        names = [(entry.value.alias or entry.name, entry.name) for entry in SETTINGS]
        return [{"name": name, "label": own.replace("_", " ").capitalize()} for name, own in names]

    @router.get("/profile-startup")
    def profile_startup() -> dict[str, Any]:
        """Seconds from the start of the process to the routes."""
        return {"total": round(ready - began, 3), "records": {"routes": round(ready - began, 3)}}

    @router.get("/sysinfo")
    def sysinfo() -> dict[str, Any]:
        """What helps to understand a problem; no paths, prompts or passwords."""
        return _sysinfo(context)

    @router.get("/sysinfo-download")
    def sysinfo_download() -> Response:
        """The same as a file."""
        name = time.strftime("sysinfo-%Y-%m-%d-%H-%M.json")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(json.dumps(_sysinfo(context), indent=1), media_type="application/json", headers=headers)

    return router


def _progress(context: Context, fields: TaskFields, scope: Mapping[str, Any]) -> dict[str, Any]:
    job: JobView | None
    try:
        job = context.service.job(context.task_ids.job(fields.id_task))
        check_owner(scope, job.client, job.id)
    except NotFound:
        job = None
    active = job is not None and job.state == "running"
    queued = job is not None and job.state == WAITING
    answer: dict[str, Any] = {
        "active": active,
        "queued": queued,
        "completed": job is not None and job.over,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": -1,
        "textinfo": None,
    }
    if job is None or not active:
        waiting = context.service.status().waiting
        answer["textinfo"] = f"In queue: {job.position}/{waiting}" if job and queued else "Waiting..."
        return answer
    answer |= {"progress": job.progress, "eta": job.eta, "id_live_preview": fields.id_live_preview}
    if fields.live_preview and job.preview is not None and job.preview_id != fields.id_live_preview:
        data = base64.b64encode(job.preview).decode("ascii")
        answer |= {"live_preview": f"data:{preview_type(job.preview)};base64,{data}", "id_live_preview": job.preview_id}
    return answer


def _sysinfo(context: Context) -> dict[str, Any]:
    status = context.service.status()
    settings = without_private(dict(context.store.settings.values))
    return {
        "Platform": platform.platform(),
        "Python": platform.python_version(),
        "CPU": {"model": platform.processor(), "count logical": psutil.cpu_count()},
        "RAM": {"total": psutil.virtual_memory().total},
        "Device": status.device,
        "Worker": {"state": status.worker, "restarts": status.restarts, "error": status.error},
        "Checkpoint": status.checkpoint,
        "Extensions": [entry.name for entry in context.extensions.entries if entry.extension is not None],
        "Extensions with problems": {e.name: e.error for e in context.extensions.entries if e.error},
        "Config": settings,
    }
