"""What the way over HTTP costs beside the job: a started server, an engine that only waits, one picture a call."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from benchmarks.registry import BENCHMARKS, Row, Setting
from tests.api import witness
from tests.api.crowd import Wanted, Web, good, openai_body, order, sdapi_body
from tests.api.started import server

CALLS = 20  # for each of --repeats
Call = Callable[[Web, Wanted], Awaitable[object]]


@BENCHMARKS.register("http")
def http(setting: Setting) -> Iterable[Row]:
    """Seconds of a call beyond its job's own, one call at a time, with a tiny picture and with one of `--size`."""
    with tempfile.TemporaryDirectory() as folder:
        with server(Path(folder), "nowebui=False", engine=witness.NOISY) as running:
            return asyncio.run(_measure(running.address, setting))


async def _measure(address: str, setting: Setting) -> list[Row]:
    calls: dict[str, Call] = {
        "POST /sdapi/v1/txt2img": _posted("/sdapi/v1/txt2img", sdapi_body),
        "POST /v1/images/generations": _posted("/v1/images/generations", openai_body),
        "/api/v1: submit, follow, fetch": lambda web, wanted: order(web, "native", wanted),
    }
    async with Web(address) as web:
        found = {}
        for side in (64, setting.size):
            for name, call in calls.items():
                taken = [await _beside(web, call, side) for _ in range(CALLS * setting.repeats + 1)][1:]
                found[f"{name}, {side} × {side}"] = taken
    return [
        Row("http", name, statistics.median(taken), min(taken), max(taken), 0.0, len(taken), 0.0)
        for name, taken in found.items()
    ]


def _posted(path: str, body: Callable[[Wanted], dict[str, object]]) -> Call:
    async def call(web: Web, wanted: Wanted) -> None:
        good(await web.ask("POST", path, "", body(wanted)))

    return call


async def _beside(web: Web, call: Call, side: int) -> float:
    """Seconds of one call without those of its job."""
    began = time.perf_counter()
    await call(web, Wanted("a picture", 1, side=side))
    seconds = time.perf_counter() - began
    # The job's own seconds are those that the queue has written down.
    (job,) = good(await web.ask("GET", "/api/v1/jobs?limit=1")).json()
    return seconds - (job["finished"] - job["started"])
