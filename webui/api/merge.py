"""POST /ui/merge: queue a merge of checkpoints. GET /ui/merge: what can be chosen."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context, client_of
from webui.merging.methods import METHODS
from webui.merging.recipe import PRECISIONS


def make_router(context: Context) -> APIRouter:
    """The routes of the merger. The job is followed as others are: GET /ui/jobs/{id}."""
    router = APIRouter(prefix="/ui")

    @router.get("/merge")
    def choices() -> dict[str, Any]:
        """Methods with the number of models that each takes, and precisions."""
        methods = [{"name": entry.name, **entry.facts} for entry in METHODS]
        return {"methods": methods, "precisions": list(PRECISIONS)}

    @router.post("/merge")
    async def merge(values: dict[str, Any], request: Request) -> dict[str, str]:
        """Queue a merge; the values are those of `merging.recipe.Recipe`. Answers with the job's id."""
        client = client_of(request)
        job_id = await run_in_threadpool(context.service.submit_task, "merge", values, client, "merge")
        return {"id": job_id}

    return router
