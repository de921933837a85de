"""Lists of upscalers, VAEs and the like, and the orders to look at folders again: /sdapi/v1/{upscalers,sd-vae,…}."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context, client_of
from webui.api.follow import follow
from webui.api.problems import JobFailed
from webui.request import LATENT_UPSCALERS
from webui.upscalers.names import UpscalerName, names
from webui.upscalers.restorers import RESTORERS
from webui.workers.queue import FAILED

USUAL_SCALE = 4  # what A1111 says of those that enlarge by any factor
ABSENT = ("create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork")


def make_router(context: Context) -> APIRouter:
    """The routes. Lists are those of the folders now."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.get("/upscalers")
    def upscalers() -> list[dict[str, Any]]:
        """Everything that enlarges pictures."""
        return [_upscaler(one) for one in names(context.store.settings.paths)]

    @router.get("/latent-upscale-modes")
    def latent_upscale_modes() -> list[dict[str, str]]:
        """What enlarges latents in hires fix."""
        return [{"name": name} for name in LATENT_UPSCALERS]

    @router.get("/realesrgan-models")
    def realesrgan_models() -> list[dict[str, Any]]:
        """The upscalers whose files go by Real-ESRGAN's names."""
        found = [one for one in names(context.store.settings.paths) if one.file and _is_realesrgan(one.name)]
        return [{"name": one.name, "path": str(one.file), "scale": one.scale or USUAL_SCALE} for one in found]

    @router.get("/face-restorers")
    def face_restorers() -> list[dict[str, Any]]:
        """The face restorers that extensions brought."""
        return [{"name": entry.name, "cmd_dir": None} for entry in RESTORERS]

    @router.get("/sd-vae")
    def sd_vae() -> list[dict[str, str]]:
        """Every separate VAE file."""
        context.catalogue.refresh()
        return [{"model_name": file.name, "filename": str(file.path)} for file in context.catalogue.vaes()]

    @router.post("/refresh-checkpoints")
    @router.post("/refresh-vae")
    def refresh() -> None:
        """Look at the folders again."""
        context.catalogue.refresh()

    @router.post("/unload-checkpoint")
    async def unload_checkpoint(request: Request) -> dict[str, Any]:
        """Give the memory of all loaded models back, when the jobs before are done. The next job loads them again."""
        job_id = await run_in_threadpool(context.service.submit_task, "unload", {}, client_of(request), "unload", True)
        job = await follow(request, context.service, job_id)
        if job.state == FAILED:
            raise JobFailed(job)
        return {}

    @router.post("/reload-checkpoint")
    async def reload_checkpoint() -> dict[str, Any]:
        """Load the checkpoint of the settings; blocks until it is there."""
        await run_in_threadpool(context.service.load, None)
        return {}

    for route in ABSENT:
        router.add_api_route(f"/{route}", _absent, methods=["POST"])
    return router


def _absent() -> None:
    """A1111 makes and trains embeddings and hypernetworks at these routes; here the page and the commands train."""
    raise HTTPException(501, "Embeddings and hypernetworks are not made over this route.")


def _upscaler(one: UpscalerName) -> dict[str, Any]:
    has_file = one.file is not None
    return {
        "name": one.name,
        "model_name": one.name if has_file else None,
        "model_path": str(one.file) if has_file else None,
        "model_url": None,
        "scale": one.scale or USUAL_SCALE,
    }


def _is_realesrgan(name: str) -> bool:
    return name.casefold().replace("-", "").replace("_", "").startswith("realesr")
