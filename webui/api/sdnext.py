"""What clients of SD.Next ask beyond A1111's routes: /sdapi/v1/{version,status,options-info,history}."""

from __future__ import annotations

import platform
import time
from typing import Any

from fastapi import APIRouter, Request

from webui.api.context import Context, client_of
from webui.environment import program_version
from webui.settings import SETTINGS

MOST_JOBS = 100


def make_router(context: Context) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/sdapi/v1")
    began = time.time()

    @router.get("/version")
    def version() -> dict[str, str]:
        """Of this program."""
        return {"app": "Emulsion", "version": program_version(), "python": platform.python_version()}

    @router.get("/status")
    def status() -> dict[str, Any]:
        """Whether a job runs, and how far it is."""
        job, now = context.service.current(), time.time()
        told: dict[str, Any] = {
            "status": "idle" if job is None else "running",
            "queued": context.service.status().waiting,
            "uptime": round(now - began, 1),
            "timestamp": None,
            "task": "",
            "id": "",
            "step": 0,
            "steps": 0,
            "progress": 0.0,
            "elapsed": None,
            "eta": None,
        }
        if job is not None:
            told |= {name: getattr(job, name) for name in ("task", "id", "step", "steps", "progress", "eta")}
            told |= {"timestamp": job.started, "elapsed": now - (job.started or now)}
        return told

    @router.get("/options-info")
    def options_info() -> dict[str, Any]:
        """Every option: its section, its kind, and what it may be."""
        entries = [entry.value for entry in SETTINGS]
        return {
            "options": {
                entry.alias or entry.name: {
                    "section": entry.section,
                    "type": entry.kind,
                    "default": list(entry.default) if isinstance(entry.default, tuple) else entry.default,
                    "minimum": entry.low,
                    "maximum": entry.high,
                    "choices": list(entry.choices),
                    "restart": entry.restart,
                }
                for entry in entries
            },
            "sections": list(dict.fromkeys(entry.section for entry in entries)),
        }

    @router.get("/history")
    def history(request: Request) -> list[dict[str, Any]]:
        """One's own last jobs, the newest first. Neither prompts nor paths are in it."""
        return [
            {
                "id": job.id,
                "job": job.tab,
                "op": job.task,
                "state": job.state,
                "timestamp": job.created,
                "duration": job.finished - job.started if job.finished and job.started else None,
                "outputs": [result.path.replace("\\", "/").rpartition("/")[2] for result in job.results],
            }
            for job in context.service.jobs(MOST_JOBS, client_of(request))
        ]

    return router
