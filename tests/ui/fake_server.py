"""The page with the fake service behind it: says " at http://…" when it listens, on a port that was free."""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from webui.ui.mount import Place, mount, prepare

FOLDER = Path(tempfile.mkdtemp(prefix="emulsion-page-"))
prepare(FOLDER / "cache")

import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from starlette.responses import JSONResponse  # noqa: E402

from tests.ui.fake_models import make_library  # noqa: E402
from tests.ui.fake_service import FakeCatalogue, FakeService  # noqa: E402
from webui.api import downloads, me, merge, picture_info, vae  # noqa: E402
from webui.api.context import Context  # noqa: E402
from webui.api.problems import add_handlers  # noqa: E402
from webui.engine.extensions import load_extensions  # noqa: E402
from webui.extend import Registries  # noqa: E402
from webui.library.history import History  # noqa: E402
from webui.registry import Registry  # noqa: E402
from webui.settings import SettingsStore  # noqa: E402
from webui.ui.page import build_page, page_options  # noqa: E402
from webui.ui.routes import page_routes  # noqa: E402
from webui.ui.script_routes import script_routes  # noqa: E402
from webui.ui.settings_routes import settings_routes  # noqa: E402


def apart() -> Registries:
    """Registries that nothing else reads."""
    return Registries(*(Registry(kind) for kind in ("sampler", "schedule", "family", "directive", "tab", "route")))


def main(step_seconds: float) -> None:
    """Serve until killed. `/requests` tells what was submitted, and how many files Gradio keeps."""
    catalogue = FakeCatalogue(make_library(FOLDER))
    service = FakeService(FOLDER, step_seconds, catalogue)
    service.extensions = load_extensions([Path(__file__).parents[1] / "data" / "extensions"], apart())
    service.history = History(FOLDER / "data" / "history.sqlite", [FOLDER / "outputs"])
    store = SettingsStore(catalogue.library.paths)
    app = FastAPI()
    context = Context(service, store, catalogue, lambda settings: {})  # type: ignore[arg-type]
    for room in (picture_info, downloads, me, merge, vae):
        app.include_router(room.make_router(context))
    add_handlers(app)

    @app.get("/requests")
    def requests() -> JSONResponse:
        kept = [path.name for path in (FOLDER / "cache").rglob("*") if path.is_file()]
        return JSONResponse({"requests": [request.to_json() for request in service.submitted], "kept": kept})

    app.router.routes.extend(page_routes(service))  # type: ignore[arg-type]
    app.router.routes.extend(script_routes(service, store))  # type: ignore[arg-type]
    app.router.routes.extend(settings_routes(service, store, store.change))  # type: ignore[arg-type]
    page = build_page(service, store)  # type: ignore[arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    mount(app, page, Place(FOLDER / "cache", port=port), page_options(store.settings))
    print(f"The page is at http://127.0.0.1:{port}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run([listener])


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05)
