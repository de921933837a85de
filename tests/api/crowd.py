"""Many clients at once, each with a login of its own: callers of A1111's routes, of our own, and pages in browsers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from tests.api.people import CHEAP
from webui.api.accounts import FILE, AccountsFile
from webui.ui.fields import default_values

KINDS = ("sdapi", "native", "page")
MANY = {"queue_limit": 10_000, "queue_limit_per_client": 10_000}
SIDE = 64
LOOK_SECONDS = 0.2  # between two questions of the page for its job


@dataclass(frozen=True)
class Person:
    """A client. One that is greedy sends all its jobs at once, the others the next one after the answer."""

    name: str
    kind: str
    token: str
    jobs: int = 1
    is_greedy: bool = False


@dataclass(frozen=True)
class Wanted:
    """A job, and what its picture must say of itself."""

    prompt: str
    seed: int
    steps: int = 1
    save: bool = False
    side: int = SIDE


def make_people(data: Path, jobs: Sequence[int], greedy: Sequence[int] = ()) -> tuple[str, list[Person]]:
    """Accounts in the data folder of a server to come: an administrator's token, and a client for each number of jobs.

    Of five clients two come by A1111's routes, two by our own, one with the page; each of `greedy` is one more by our
    own with so many jobs.
    """
    file, people = AccountsFile(data / FILE, CHEAP), []
    kinds = [("sdapi", "native", "sdapi", "native", "page")[number % 5] for number in range(len(jobs))]
    every = [*zip(kinds, jobs, [False] * len(jobs)), *(("native", count, True) for count in greedy)]
    for number, (kind, count, is_greedy) in enumerate(every):
        name = f"client {number}"
        file.add(name, "user", "correct horse")
        people.append(Person(name, kind, file.add_token(name), count, is_greedy))
    file.add("keeper", "administrator", "correct horse")
    return file.add_token("keeper"), people


def wants(number: int, person: Person) -> list[Wanted]:
    """What a client orders, one after the other: no two orders are alike."""
    return [Wanted(f"{person.name} turn {turn}", number * 1000 + turn) for turn in range(person.jobs)]


class Web:
    """Requests to a server on behalf of anybody."""

    def __init__(self, address: str):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(base_url=address, timeout=300, limits=limits, trust_env=False)
        self._event: asyncio.Task[int] | None = None

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, token: str = "", body: object = None) -> httpx.Response:
        """One request, whatever is answered."""
        return await self._client.request(method, path, json=body, headers=_header(token))

    async def event(self, token: str) -> int:
        """The number of the page's event that begins a job; it is looked up once."""
        if self._event is None:
            self._event = asyncio.create_task(self._find_event(token))
        return await self._event

    async def _find_event(self, token: str) -> int:
        config = good(await self.ask("GET", "/config", token)).json()
        found = [one["id"] for one in config["dependencies"] if "emulsion.studio.prepare" in str(one.get("js"))]
        assert len(found) == 1
        return found[0]

    async def follow(self, job: str, token: str = "") -> bool:
        """Read a job's events until the stream ends; whether it told how the job ended."""
        path, last = f"/api/v1/jobs/{job}/events?previews=none", ""
        async with self._client.stream("GET", path, headers=_header(token)) as stream:
            assert stream.status_code == 200, stream.status_code
            async for line in stream.aiter_lines():
                last = line if line.startswith("id: ") else last
        return last == "id: end"


def _header(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def good(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is one."""
    assert answer.is_success, f"{answer.status_code} {answer.text[:500]}"
    return answer


# Bodies ----------------------------------------------------------------------------------------------------------


def sdapi_body(wanted: Wanted) -> dict[str, object]:
    """For POST /sdapi/v1/txt2img."""
    said = {"prompt": wanted.prompt, "seed": wanted.seed, "steps": wanted.steps, "save_images": wanted.save}
    return {**said, "width": wanted.side, "height": wanted.side, "sampler_name": "Euler", "cfg_scale": 1}


def openai_body(wanted: Wanted) -> dict[str, object]:
    """For POST /v1/images/generations."""
    said = {"prompt": wanted.prompt, "seed": wanted.seed, "steps": wanted.steps, "save": wanted.save}
    return {
        **said,
        "size": f"{wanted.side}x{wanted.side}",
        "sampler": "Euler",
        "guidance_scale": 1,
        "response_format": "b64_json",
    }


def native_body(wanted: Wanted) -> dict[str, object]:
    """For POST /api/v1/jobs."""
    step = {
        "width": wanted.side,
        "height": wanted.side,
        "steps": wanted.steps,
        "sampler": "Euler",
        "guidance": {"scale": 1},
    }
    return {"request": {"prompt": wanted.prompt, "seed": wanted.seed, "save": wanted.save, "passes": [step]}}


def page_body(wanted: Wanted, event: int, session: str) -> dict[str, object]:
    """What the page sends when its button is pressed; the last value is its script, of which there is none."""
    said = {"prompt": wanted.prompt, "seed": str(wanted.seed), "steps": wanted.steps, "save": wanted.save}
    size = {"width": wanted.side, "height": wanted.side}
    values = default_values() | said | size | {"sampler": "Euler", "guidance_scale": 1}
    return {"data": [*values.values(), ""], "fn_index": event, "session_hash": session, "event_data": None}


# Three ways to a picture -----------------------------------------------------------------------------------------


async def send(web: Web, kind: str, wanted: Wanted, token: str = "") -> str:
    """Put a job into the queue by one of the ways that do not wait for it; its id."""
    if kind == "native":
        return good(await web.ask("POST", "/api/v1/jobs", token, native_body(wanted))).json()["id"]
    body = page_body(wanted, await web.event(token), "soak")
    told = json.loads(good(await web.ask("POST", "/gradio_api/run/predict", token, body)).json()["data"][0])
    assert "job" in told, told
    return told["job"]


async def fetch(web: Web, kind: str, job: str, token: str = "") -> bytes:
    """Wait for a job that was sent, as its kind of client does, and fetch its picture."""
    if kind == "native":
        assert await web.follow(job, token), "the events ended before the job"
        return good(await web.ask("GET", f"/api/v1/jobs/{job}/pictures/0", token)).content
    while (told := good(await web.ask("GET", f"/ui/jobs/{job}?have=0", token)).json())["state"] != "done":
        assert told["state"] in ("waiting", "running"), told
        await asyncio.sleep(LOOK_SECONDS)
    return good(await web.ask("GET", f"/ui/jobs/{job}/pictures/{told['pictures'][0]['index']}", token)).content


async def order(web: Web, kind: str, wanted: Wanted, token: str = "") -> bytes:
    """Have a picture made and fetch its file."""
    if kind == "sdapi":
        answer = good(await web.ask("POST", "/sdapi/v1/txt2img", token, sdapi_body(wanted))).json()
        assert len(answer["images"]) == 1
        return base64.b64decode(answer["images"][0])
    return await fetch(web, kind, await send(web, kind, wanted, token), token)


def whose(picture: bytes) -> tuple[str, int]:
    """Prompt and seed, as the picture says them."""
    infotext = Image.open(io.BytesIO(picture)).info["parameters"]
    seed = re.search(r"\bSeed: (\d+)", infotext)
    assert seed is not None
    return infotext.splitlines()[0], int(seed[1])


async def come(address: str, people: Sequence[Person], keeper: str, workers: int = 1) -> list[list[tuple[str, int]]]:
    """Everybody at once, while what the greedy have sent stands in line already; per client what its pictures say.

    The keeper's jobs hold the workers until then.
    """
    async with Web(address) as web:
        holders = [await send(web, "native", Wanted("held", 1, 1000), keeper) for _ in range(workers)]
        in_line = await asyncio.gather(*(_send_all(web, number, person) for number, person in enumerate(people)))
        others = [asyncio.create_task(_visit(web, *one)) for one in zip(range(len(people)), people, in_line)]
        for job in holders:
            good(await web.ask("DELETE", f"/api/v1/jobs/{job}", keeper))
        return await asyncio.gather(*others)


async def _send_all(web: Web, number: int, person: Person) -> list[str]:
    """Ids of all jobs of a greedy client; the others send nothing yet."""
    wanted = wants(number, person) if person.is_greedy else []
    return [await send(web, person.kind, one, person.token) for one in wanted]


async def _visit(web: Web, number: int, person: Person, in_line: Sequence[str]) -> list[tuple[str, int]]:
    """What the pictures of one client say, in the order in which it asked for them."""
    if person.is_greedy:
        return [whose(await fetch(web, person.kind, job, person.token)) for job in in_line]
    return [whose(await order(web, person.kind, one, person.token)) for one in wants(number, person)]


# What the queue has written down ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """A job of the queue. Times are seconds since 1970."""

    number: int
    client: str
    prompt: str
    state: str
    created: float
    started: float | None
    finished: float | None


def ran(data: Path) -> list[Ran]:
    """Every job, in the order of arrival."""
    with sqlite3.connect(data / "queue.sqlite") as database:
        rows = database.execute(
            "SELECT number, client, request, state, created, started, finished FROM jobs ORDER BY number"
        ).fetchall()
    return [
        Ran(number, client, json.loads(request).get("prompt", ""), *rest) for number, client, request, *rest in rows
    ]


def turns_waited(jobs: Sequence[Ran]) -> Mapping[int, tuple[int, int]]:
    """By number of job: how many jobs of others began while it waited, and how many of its client's own it found."""
    starts = sorted(job.started for job in jobs if job.started is not None)
    counted = {}
    for job in jobs:
        assert job.started is not None
        between = sum(job.created < start < job.started for start in starts)
        own = sum(
            other.client == job.client and other.number < job.number and (other.started or 0) > job.created
            for other in jobs
        )
        counted[job.number] = between, own
    return counted


def unfairness(jobs: Sequence[Ran]) -> float:
    """The longest wait in fair shares: a share is one turn of each client, for each of one's own jobs in line."""
    clients = len(Counter(job.client for job in jobs))
    return max(waited / (clients * (own + 1)) for waited, own in turns_waited(jobs).values())
