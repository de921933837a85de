"""Many pictures in one server, and what is left behind by them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.api.crowd import KINDS, Wanted, Web, order, whose
from tests.api.started import Started
from tests.api.trouble import workers_of

PAGE_SHARE = 5  # one picture of so many is made with the page, and saved
PROMPTS = 20  # what these are encoded to is kept, up to a size (engine/conditioning.py): no leak


@dataclass(frozen=True)
class Footprint:
    """What a process holds: megabytes of memory, open files, threads."""

    memory: float
    files: int
    threads: int


@dataclass(frozen=True)
class Footprints:
    """The server's processes, and the files in its folders of things that are kept for a while only."""

    web: Footprint
    worker: Footprint
    kept: int


def footprints(running: Started) -> Footprints:
    """What is held now."""
    (worker,) = workers_of(running.process.pid)
    data = running.folder / "data"
    kept = sum(path.is_file() for name in ("unsaved", "page-cache", "pictures") for path in (data / name).rglob("*"))
    return Footprints(_footprint(psutil.Process(running.process.pid)), _footprint(worker), kept)


def _footprint(process: psutil.Process) -> Footprint:
    return Footprint(process.memory_info().rss / 2**20, process.num_fds(), process.num_threads())


def make(running: Started, first: int, count: int, together: int = 4) -> None:
    """Have pictures made by some clients at a time, by each way in turn. Raises AssertionError where one is wrong."""
    asyncio.run(asyncio.wait_for(_make(running.address, range(first, first + count), together), 60 + 10 * count))


async def _make(address: str, numbers: Sequence[int], together: int) -> None:
    async with Web(address) as web:
        places = asyncio.Semaphore(together)

        async def one(number: int) -> None:
            is_page = number % PAGE_SHARE == 0
            kind, prompt = "page" if is_page else KINDS[number % 2], f"picture of {number % PROMPTS} apples"
            async with places:
                picture = await order(web, kind, Wanted(prompt, number, save=is_page))
            assert whose(picture) == (prompt, number)

        await asyncio.gather(*map(one, numbers))


def saved(outputs: Path) -> int:
    """How many pictures lie in the output folder."""
    return sum(path.is_file() for path in outputs.rglob("*.png"))
