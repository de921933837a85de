"""Puts the page into the application, with Gradio's own doors shut."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from webui.errors import FileError
from webui.ui.events import ReadersEvents
from webui.ui.page_cache import BoundedUploads, prune
from webui.ui.quick import leave_out_stub_files

UPLOAD_LIMIT = 100 * 2**20  # bytes of one file


@dataclass(frozen=True)
class Place:
    """Where the page is shown. Who may see it is decided in front of it."""

    cache: Path  # Gradio's copies of pictures
    root_path: str = ""
    host: str = "127.0.0.1"
    port: int = 7860


def prepare(cache: Path) -> None:
    """Call before Gradio is imported: no telemetry, a private cache, no stub files.

    Pictures are sent by routes of our own, so the cache holds no more than the few files Gradio copies for itself.
    """
    leave_out_stub_files()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache.chmod(0o700)  # also where it was there before
    except OSError as error:
        found = f"The page's folder {cache} cannot be made: {error.strerror or error}."
        raise FileError(found, "", "Remove what is in its place, or choose another folder with --data-dir.") from None
    prune(cache)
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ.pop("GRADIO_VIBE_MODE", None)  # an editor that runs whatever a visitor writes


async def fetch_nothing(url: str) -> NoReturn:
    """In the place of Gradio's fetching of web addresses that a visitor names as a file: it would ask a name server on
    the internet even for addresses that it then refuses."""
    from gradio.exceptions import Error

    raise Error("Files are not fetched from web addresses here. Upload the file.", print_exception=False)


def mount(app: Any, blocks: Any, place: Place, options: Mapping[str, Any]) -> None:
    """Mount the page at "/" of a FastAPI application; routes that are there already go first.

    Gradio checks file paths that a visitor names only in apps that were launched, which a mounted one never is:
    without the flag that is set here, any event with a file input would hand out any file of the server.
    """
    import gradio as gr
    from gradio import processing_utils

    processing_utils.async_ssrf_protected_get = fetch_nothing  # type: ignore[assignment]
    app.add_middleware(ReadersEvents, functions=blocks.fns)
    app.add_middleware(BoundedUploads, folder=place.cache)
    blocks.has_launched = True
    blocks.queue(api_open=False, default_concurrency_limit=8)  # its other doors skip the queue
    shut: dict[str, Any] = {"ssr_mode": False, "enable_monitoring": False, "mcp_server": False, "run_history": False}
    gr.mount_gradio_app(
        app,
        blocks,
        "/",
        server_name=place.host,
        server_port=place.port,
        root_path=place.root_path or None,
        **{"max_file_size": UPLOAD_LIMIT, **options, **shut},
    )
