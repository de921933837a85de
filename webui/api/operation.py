"""What the program itself is like, and ending it: /sdapi/v1/{memory,cmd-flags,server-…}."""

from __future__ import annotations

import signal
import time
from typing import Any

import psutil
from fastapi import APIRouter, HTTPException
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response

from webui.api.context import Context
from webui.paths import StartOptions

SECRETS = ("auth", "api_auth", "tls_keyfile", "tls_certfile")


def make_router(context: Context) -> APIRouter:
    """The routes. Those that end the program exist only where the command line allows it."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.get("/memory")
    def memory() -> dict[str, Any]:
        """Bytes in use by this program and free, of the machine and of the graphics card."""
        status = context.service.status()
        used = psutil.Process().memory_info().rss + status.memory
        total = psutil.virtual_memory().total
        return {
            "ram": {"free": max(0, total - used), "used": used, "total": total},
            "cuda": dict(status.graphics) or {"error": "unavailable"},
        }

    @router.get("/cmd-flags")
    def cmd_flags() -> dict[str, Any]:
        """What the command line said, under A1111's names too. Passwords are left out."""
        return flags(context.options)

    if context.options.api_server_stop:
        router.add_api_route("/server-kill", _stop, methods=["POST"])
        router.add_api_route("/server-stop", _stop, methods=["POST"])
        router.add_api_route("/server-restart", _restart, methods=["POST"])
    return router


def flags(options: StartOptions) -> dict[str, Any]:
    """Plain values by A1111's names where it has such an option, else by ours."""
    paths = options.paths
    shown = {name: value for name, value in vars(options).items() if name not in SECRETS and name != "paths"}
    shown = {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}
    folders = {"ckpt_dir": "checkpoints", "vae_dir": "vae", "lora_dir": "loras", "embeddings_dir": "embeddings"}
    folders |= {"hypernetwork_dir": "hypernetworks", "esrgan_models_path": "upscalers"}
    return {
        **shown,
        "api": True,
        "listen": options.host in ("0.0.0.0", "::"),
        "server_name": options.host,
        "ckpt": options.checkpoint,
        "vae_path": options.vae,
        "data_dir": str(paths.data),
        "models_dir": str(paths.models),
        "outputs_dir": str(paths.outputs),
        **{flag: str(paths.new_folder(kind)) for flag, kind in folders.items()},
    }


def _stop() -> Response:
    """End the program as Ctrl+C does: jobs that wait are kept."""
    return PlainTextResponse("Stopping.", background=BackgroundTask(_end))


def _end() -> None:
    time.sleep(0.2)  # the answer is on its way by then
    signal.raise_signal(signal.SIGINT)


def _restart() -> None:
    """A1111's starter script starts it anew; here nothing would."""
    raise HTTPException(501, "The program cannot start itself again. Use server-stop, and start it anew.")
