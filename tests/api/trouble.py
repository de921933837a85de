"""What happens to servers and their jobs: cancels, callers that hang up, workers that die, signals under load."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.api import witness
from tests.api.crowd import Wanted, Web, good, native_body, openai_body, ran, sdapi_body, send
from tests.api.started import Started, begin, until

LONG = 1000  # steps
ENDED = ("done", "failed", "cancelled")
CANCELS: Mapping[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "native": lambda web, job: web.delete(f"/api/v1/jobs/{job}"),
    "sdapi": lambda web, job: web.post("/sdapi/v1/interrupt"),
    "page": lambda web, job: web.post(f"/ui/jobs/{job}/interrupt"),
}
BLOCKING = {"/sdapi/v1/txt2img": sdapi_body, "/v1/images/generations": openai_body}


@dataclass(frozen=True)
class Stopped:
    """How a job ended: steps that were finished after it had been told to, and seconds from then to its end."""

    steps: int
    seconds: float
    state: str


def newest(web: httpx.Client) -> dict:
    """The job that came last."""
    return web.get("/api/v1/jobs?limit=1").json()[0]


def submit(web: httpx.Client, wanted: Wanted) -> str:
    """Send a job to /api/v1; its id."""
    return good(web.post("/api/v1/jobs", json=native_body(wanted))).json()["id"]


def over(web: httpx.Client, job: str, timeout: float = 120.0) -> dict:
    """A job once it is over."""

    def ended() -> dict | None:
        found = web.get(f"/api/v1/jobs/{job}").json()
        return found if found["state"] in ENDED else None

    return until(ended, timeout)


def cancel(web: httpx.Client, data: Path, way: str, wanted: Wanted, pause: float) -> Stopped:
    """Start a long job and cancel it some seconds after its first step."""
    job, prompt = submit(web, wanted), wanted.prompt
    until(lambda: witness.steps(data, prompt))
    time.sleep(pause)
    asked = time.time()
    good(CANCELS[way](web, job))
    return _stopped(web, data, prompt, time.monotonic(), asked)


def hang_up(web: httpx.Client, data: Path, path: str, prompt: str, pause: float) -> Stopped:
    """Start a long job with a call that waits for it, and close the connection some seconds after its first step."""
    connection = begin(str(web.base_url).rstrip("/"), BLOCKING[path](Wanted(prompt, 1, LONG)), path)
    until(lambda: witness.steps(data, prompt))
    time.sleep(pause)
    asked = time.time()
    connection.close()
    return _stopped(web, data, prompt, time.monotonic(), asked)


def _stopped(web: httpx.Client, data: Path, prompt: str, moment: float, asked: float) -> Stopped:
    job = over(web, newest(web)["id"])
    return Stopped(witness.steps(data, prompt, moment), job["finished"] - asked, job["state"])


# Workers that die ------------------------------------------------------------------------------------------------


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes of a server."""
    children = psutil.Process(pid).children()
    return [child for child in children if any("spawn_main" in part for part in child.cmdline())]


@dataclass(frozen=True)
class Killed:
    """What became of a job whose worker was killed, and of what waited behind it."""

    victim: dict
    behind: list[dict]
    seconds: float  # until the next job began
    page: int  # what a request for the page was answered meanwhile
    routes: int


def kill(running: Started, how: int, number: int) -> Killed:
    """Kill the worker in the middle of a job, with a job of the page and one of /api/v1 behind it."""
    data, prompt = running.folder / "data", f"held victim {number}"
    with httpx.Client(base_url=running.address, timeout=120, trust_env=False) as web:
        victim = submit(web, Wanted(prompt, 1, LONG))
        until(lambda: witness.steps(data, prompt))
        behind = [submit(web, Wanted(f"behind {number}", 2)), asyncio.run(_from_page(running, f"page {number}"))]
        (worker,) = workers_of(running.process.pid)
        killed = time.time()
        worker.send_signal(how)
        page, routes = web.get("/").status_code, web.get("/sdapi/v1/options").status_code
        views = [over(web, job) for job in (victim, *behind)]
        began = min(view["started"] or killed for view in views[1:])
        return Killed(views[0], views[1:], began - killed, page, routes)


async def _from_page(running: Started, prompt: str, steps: int = 1) -> str:
    async with Web(running.address) as web:
        return await send(web, "page", Wanted(prompt, 3, steps))


# Signals under load ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a server ended that was told to while it had a lot to do. Answers and streams are what its clients got."""

    code: int
    seconds: float
    answers: list[int]  # statuses of calls that waited for their pictures; 0: the connection broke
    streams: list[bool]  # whether a stream of events ended as it should
    kept: set[str]  # prompts of the jobs that are to be made after the next start


def end_under_load(running: Started, number: int, has_page: bool, how: int = signal.SIGTERM) -> Ended:
    """Load a server with a running job, waiting ones, calls and streams; then send a signal and wait."""
    return asyncio.run(asyncio.wait_for(_end_under_load(running, number, has_page, how), 600))


async def _end_under_load(running: Started, number: int, has_page: bool, how: int) -> Ended:
    prompts = {f"kept {number} {turn}" for turn in range(4)}
    async with Web(running.address) as web:
        running_job = await send(web, "native", Wanted(f"held {number}", 1, LONG))
        while good(await web.ask("GET", f"/api/v1/jobs/{running_job}")).json()["step"] < 2:
            await asyncio.sleep(0.01)
        kept = [await send(web, "native", Wanted(prompt, 2, 3)) for prompt in sorted(prompts)]
        if has_page:
            prompts |= {f"kept page {number}"}
            kept.append(await send(web, "page", Wanted(f"kept page {number}", 3, 3)))
        streams = [asyncio.create_task(_stream(web, job)) for job in (running_job, *kept)]
        calls = [asyncio.create_task(_call(web, path, f"blocking {number}")) for path in [*BLOCKING] * 3]
        while len([job for job in ran(running.folder / "data") if job.prompt == f"blocking {number}"]) < len(calls):
            await asyncio.sleep(0.01)
        began = time.monotonic()
        os.kill(running.process.pid, how)
        answers, ended = await asyncio.gather(*calls), await asyncio.gather(*streams)
        code = await asyncio.to_thread(running.process.wait, 120)
        return Ended(code, time.monotonic() - began, answers, ended, prompts)


async def _call(web: Web, path: str, prompt: str) -> int:
    """The status that a call is answered which waits for its picture."""
    try:
        return (await web.ask("POST", path, "", BLOCKING[path](Wanted(prompt, 4, 3)))).status_code
    except httpx.TransportError:
        return 0


async def _stream(web: Web, job: str) -> bool:
    """Whether a job's stream of events ends without a break, be the job over or not."""
    try:
        await web.follow(job)
    except httpx.TransportError:
        return False
    return True
