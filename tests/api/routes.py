"""The application as it is really built, page, Gradio and an extension included, and all its routes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from starlette.routing import Mount
from starlette.testclient import TestClient

from webui.app import House, build, open_house
from webui.paths import Paths, StartOptions

FAKE = "tests.workers.fake_engine:engine"
EXAMPLES = {"index:int": "0", "index": "0", "name:path": "x/y"}


def house_of(folder: Path, **options: Any) -> House:
    """A house whose worker has not been started."""
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True, exist_ok=True)
    (models / "first.safetensors").write_bytes(b"first")
    paths = Paths(folder / "data", folder / "models", folder / "outputs", program=folder)
    return open_house(StartOptions(paths=paths, **{"api_server_stop": True, "port": 7860, **options}), FAKE)


def close(house: House) -> None:
    """What `serve` does at the end."""
    house.catalogue.library.close()
    house.recorder.close()
    house.service.stop(1)
    house.counters.close()


def built(house: House) -> Any:
    """The guarded application."""
    return built_with_hosts(house)[0]


def built_with_hosts(house: House) -> tuple[Any, Any, tuple[str, str] | None]:
    """The guarded application, its names, and a made-up login. What it sets in the environment is taken back."""
    before = dict(os.environ)
    try:
        return build(house)
    finally:
        os.environ.clear()
        os.environ.update(before)


def inside(guarded: Any) -> Any:
    """The application behind its doors."""
    while not hasattr(guarded, "routes"):
        guarded = next(value for name, value in vars(guarded).items() if name.lstrip("_") in ("app", "inner"))
    return guarded


def routes_of(app: Any) -> list[tuple[str, str]]:
    """Every method and path that the application answers, with an example for each part that can be chosen."""
    found = set()
    for path, methods in _leaves(inside(app).routes):
        found |= {(method, path) for method in methods if method not in ("HEAD", "OPTIONS")}
    return sorted(found, key=lambda route: (route[1], route[0]))


def _leaves(routes: Any, prefix: str = "") -> list[tuple[str, set[str]]]:
    found: list[tuple[str, set[str]]] = []
    for route in routes:
        router = getattr(route, "original_router", None)
        if isinstance(route, Mount):
            found += _leaves(route.routes, prefix + route.path)
        elif router is not None:
            found += _leaves(router.routes, prefix)
        else:
            methods = getattr(route, "methods", None) or {"WEBSOCKET"}
            found.append((prefix + _example(route.path), set(methods)))
    return found


def _example(path: str) -> str:
    return re.sub(r"\{([^}]*)\}", lambda part: EXAMPLES.get(part[1], part[1].split(":")[0]), path)


def client(app: Any, address: str = "http://127.0.0.1:7860", peer: str = "127.0.0.1") -> TestClient:
    """Requests as from a peer."""
    return TestClient(
        app, base_url=address, client=(peer, 50000), follow_redirects=False, raise_server_exceptions=False
    )
