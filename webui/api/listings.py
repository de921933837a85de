"""GET lists, progress, and the few orders beside generation: /sdapi/v1/{options,samplers,progress,interrupt,...}."""

from __future__ import annotations

import base64
import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context
from webui.api.replies import timestamp
from webui.engine.catalogue import CheckpointFile
from webui.errors import NotFound
from webui.identity import Level, may, owner_of
from webui.settings import known_options
from webui.workers.queue import WAITING
from webui.workers.service import JobService

MOST_WAITING = 10_000
PRIVATE = ("model_folders", "hub_endpoint")  # settings that tell of the machine
BEGINNING = 0.01  # A1111's progress of a job that has only just begun: never 0, which means idle


def make_router(context: Context) -> APIRouter:
    """The routes that list, tell and stop."""
    router = APIRouter(prefix="/sdapi/v1")
    service = context.service

    @router.get("/samplers")
    def samplers() -> list[dict[str, Any]]:
        """Every sampler."""
        return [_sampler(entry) for entry in service.names("samplers")]

    @router.get("/schedulers")
    def schedulers() -> list[dict[str, Any]]:
        """Every schedule."""
        return [_schedule(entry) for entry in service.names("schedules")]

    @router.get("/sd-models")
    def models() -> list[dict[str, Any]]:
        """Every checkpoint that is there now."""
        context.catalogue.refresh()
        return [_checkpoint(file) for file in context.catalogue.checkpoints()]

    @router.get("/prompt-styles")
    def prompt_styles() -> list[dict[str, Any]]:
        """Every style of the user's style files."""
        styles = context.catalogue.styles().values()
        return [{"name": s.name, "prompt": s.prompt, "negative_prompt": s.negative_prompt} for s in styles]

    @router.get("/progress")
    def progress(request: Request, skip_current_image: bool = False) -> dict[str, Any]:
        """How the running job is getting on. Its picture is for its owner and for administrators."""
        return _progress(context, skip_current_image, owner_of(request.scope))

    @router.post("/interrupt")
    def interrupt(request: Request) -> dict[str, Any]:
        """End the running job within a step. Where none runs yet, the one whose turn it is counts as running: GET
        /progress says so too. Who is no administrator ends jobs of their own only."""
        owner = owner_of(request.scope)
        if not service.interrupt(client=owner) and (waiting := next_job(service)):
            service.interrupt(waiting, owner)
        return {}

    @router.post("/skip")
    def skip(request: Request) -> None:
        """Leave the running batch; who is no administrator, of a job of their own."""
        service.skip(client=owner_of(request.scope))

    @router.get("/options")
    def options(request: Request) -> dict[str, Any]:
        """All settings by A1111's names where there are such names; the machine's own are for administrators."""
        found = current_options(context)
        return found if may(request.scope, Level.ADMINISTER) else without_private(found)

    @router.post("/options")
    async def set_options(changes: dict[str, Any]) -> None:
        """Change settings; blocks until a changed checkpoint is loaded. What is unchanged or unknown is passed over."""
        await run_in_threadpool(change_options, context, changes)

    return router


def next_job(service: JobService) -> str | None:
    """The id of the job that runs next, if any waits."""
    return next((job.id for job in service.jobs(MOST_WAITING) if job.state == WAITING and job.position == 1), None)


def current_options(context: Context) -> dict[str, Any]:
    """GET /options: the checkpoint by the title that GET /sd-models gives it."""
    options = context.store.settings.options()
    try:
        file = context.catalogue.find(options["sd_model_checkpoint"] or None)
    except NotFound:
        return {**options, "sd_checkpoint_hash": ""}
    return {**options, "sd_model_checkpoint": file.title, "sd_checkpoint_hash": file.sha256 or ""}


def without_private(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those that tell of folders and servers."""
    return {name: value for name, value in options.items() if name not in PRIVATE}


def change_options(context: Context, changes: dict[str, Any]) -> None:
    """POST /options. Clients send the whole dictionary back with one value changed.

    Raises SettingsError (422) and NotFound (404, the checkpoint or the VAE), and then nothing has changed.
    """
    with context.changing:
        before = current_options(context)
        new = {name: value for name, value in changes.items() if value is not None and before.get(name) != value}
        known, _ = known_options(new)
        settings = context.store.settings
        wanted = settings.changed(known)
        renamed, vae = wanted["checkpoint"], wanted["vae"]
        if vae != settings["vae"] and vae not in ("Automatic", "None"):
            context.catalogue.find_vae(vae)  # one that is not there would fail every job from now on
        load = renamed != settings["checkpoint"]
        if load and renamed:
            renamed = context.catalogue.find(renamed).name
        if load:
            known = {name: value for name, value in known.items() if name.casefold() not in _CHECKPOINT}
            known["checkpoint"] = renamed
        if known:
            context.change_settings(known)
        if load:
            context.service.load(renamed or None)


_CHECKPOINT = ("checkpoint", "sd_model_checkpoint")


def _sampler(entry: dict[str, Any]) -> dict[str, Any]:
    facts = entry["facts"]
    marks = {
        "second_order": facts.get("evaluations_per_step", 1) == 2,
        "brownian_noise": facts.get("brownian", False),
        "uses_ensd": facts.get("uses_seed_delta", False),
        "discard_next_to_last_sigma": facts.get("discard_penultimate", False),
    }
    options = {name: "True" for name, is_so in marks.items() if is_so}  # A1111 sends texts
    if schedule := facts.get("default_schedule"):
        options = {"scheduler": _internal(schedule), **options}
    return {"name": entry["name"], "aliases": entry["aliases"], "options": options}


def _schedule(entry: dict[str, Any]) -> dict[str, Any]:
    label, facts = entry["name"], entry["facts"]
    return {
        "name": facts.get("name") or _internal(label),
        "label": label,
        "aliases": entry["aliases"] or None,
        "default_rho": facts.get("default_rho", -1.0),
        "need_inner_model": bool(facts.get("needs_law", False)),
    }


def _internal(label: str) -> str:
    """A1111's internal name of a schedule: "SGM Uniform" is sgm_uniform."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _checkpoint(file: CheckpointFile) -> dict[str, Any]:
    return {
        "title": file.title,
        "model_name": file.stem,
        "hash": file.short_hash,
        "sha256": file.sha256,
        "filename": str(file.path),
        "config": None,
    }


def _progress(context: Context, skip_current_image: bool, owner: str | None) -> dict[str, Any]:
    """Idle is exactly progress 0 and job_count 0: clients wait for that. `owner`: whose picture may be shown, None
    for everybody's."""
    job = context.service.current()
    if job is None:
        waiting = context.service.status().waiting > 0
        count = 1 if waiting else 0  # the worker is about to take it
        return _state(BEGINNING if waiting else 0.0, 0.0, job_count=count)
    hidden = skip_current_image or owner not in (None, job.client)
    picture = None if hidden or job.preview is None else base64.b64encode(job.preview).decode("ascii")
    return _state(
        max(BEGINNING, job.progress),
        job.eta or 0.0,
        picture,
        skipped=job.skipped,
        interrupted=job.interrupted,
        stopping_generation=job.stopping,
        job=job.tab,
        job_count=job.batches,
        job_timestamp=timestamp(job),
        job_no=job.batch,
        sampling_step=job.step,
        sampling_steps=job.steps,
    )


def _state(progress: float, eta: float, picture: str | None = None, **changes: Any) -> dict[str, Any]:
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
        **changes,
    }
    return {
        "progress": progress,
        "eta_relative": eta,
        "state": state,
        "current_image": picture,
        "textinfo": None,
    }
