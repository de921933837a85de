"""What a server stands, at full size: crowds, cancels, callers that hang up, dead workers, signals, many pictures.

The tests of tests/api run the same at small sizes. What must not happen at all ends the benchmark with an error.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.registry import BENCHMARKS, Row, Setting
from tests.api import witness
from tests.api.crowd import MANY, Wanted, come, good, make_people, ran, sdapi_body, unfairness, wants
from tests.api.soaking import footprints, make
from tests.api.started import Started, server, until
from tests.api.trouble import BLOCKING, CANCELS, LONG, Stopped, cancel, end_under_load, hang_up, kill

# At the usual --repeats of 3; the sizes go with it.
JOBS_EACH, CANCELLED, HUNG_UP, KILLED, SIGNALS, PICTURES = 20, 500, 300, 50, 50, 1000
WARM_UP = 60
PAGE, REAL = "nowebui=False", "nowebui=False, extensions=False, device='cpu'"


@BENCHMARKS.register("soak")
def soak(setting: Setting) -> Iterable[Row]:
    """Everything, some 12 minutes."""

    def size(full: int) -> int:
        return max(1, round(full * setting.repeats / 3))

    for workers in (1, 2):
        yield crowd(size(JOBS_EACH), workers)
    yield hang_ups(size(HUNG_UP))
    yield kills(size(KILLED))
    yield signals(size(SIGNALS))
    with _started(REAL, witness.REAL) as running:
        yield pictures(running, size(PICTURES))
        yield cancels(running, size(CANCELLED))


@contextmanager
def _started(options: str, engine: str) -> Iterator[Started]:
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), options, engine=engine) as running:
        yield running
        _check(running.stop(timeout=20) == 0, "the server did not end with code 0")


def _check(is_so: bool, what: str) -> None:
    if not is_so:
        raise RuntimeError(f"The soak found a fault: {what}.")


def _row(case: str, taken: Sequence[float], **facts: Any) -> Row:
    return Row("soak", case, statistics.median(taken), min(taken), max(taken), 0.0, len(taken), 0.0, facts=facts)


def crowd(jobs: int, workers: int) -> Row:
    """A hundred clients with so many jobs each, five of which send all at once; seconds of all together."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keeper, people = make_people(folder / "data", [jobs] * 95, [jobs] * 5)
        with server(folder, f"{PAGE}, workers={workers}", engine=witness.FAKE) as running:
            headers = {"authorization": f"Bearer {keeper}"}
            good(httpx.post(f"{running.address}/sdapi/v1/options", json=MANY, headers=headers))
            began = time.monotonic()
            made = asyncio.run(come(running.address, people, keeper, workers))
            seconds = time.monotonic() - began
            found = [job for job in ran(folder / "data") if job.client != "keeper"]
            expected = [
                [(one.prompt, one.seed) for one in wants(number, person)] for number, person in enumerate(people)
            ]
            _check(made == expected, "pictures are lost or crossed")
            _check(Counter(job.client for job in found) == {one.name: one.jobs for one in people}, "jobs made twice")
            longest = unfairness(found)
            _check(longest <= 2, f"somebody waited for {longest:.2f} fair shares")
            return _row(
                f"100 clients with {jobs} jobs, {workers} workers",
                [seconds],
                jobs=len(found),
                milliseconds_each=1000 * seconds / len(found),
                longest_wait_in_fair_shares=longest,
            )


def hang_ups(count: int) -> Row:
    """Callers that hang up; seconds until the job is over, steps of 100 ms."""
    dice, paths = random.Random(13), list(BLOCKING)
    with _started("nowebui=True", witness.SLOW) as running:
        with httpx.Client(base_url=running.address, trust_env=False) as web:
            data = running.folder / "data"
            stopped = [hang_up(web, data, paths[n % 2], f"gone {n}", dice.random() / 10) for n in range(count)]
    return _stops(f"{count} callers hang up, steps of 0.1 s", stopped)


def cancels(running: Started, count: int) -> Row:
    """Cancels of the starter's jobs; seconds until the job is over. The next picture is as it was, to the last byte."""
    dice, ways, wanted = random.Random(12), list(CANCELS), sdapi_body(Wanted("after a cancel", 7))
    stopped = []
    with httpx.Client(base_url=running.address, timeout=120, trust_env=False) as web:
        expected = good(web.post("/sdapi/v1/txt2img", json=wanted)).json()["images"]
        for n in range(count):
            unwanted = Wanted(f"cancelled {n}", 1, LONG, side=128)
            stopped.append(cancel(web, running.folder / "data", ways[n % 3], unwanted, dice.random() / 5))
            again = good(web.post("/sdapi/v1/txt2img", json=wanted)).json()["images"]
            _check(again == expected, "a cancel changed the next picture")
    return _stops(f"{count} cancels of the starter at 128 × 128", stopped)


def _stops(case: str, stopped: Sequence[Stopped]) -> Row:
    _check({one.state for one in stopped} == {"cancelled"}, "a job was not cancelled")
    steps = Counter(one.steps for one in stopped)
    _check(max(steps) <= 2, f"{max(steps)} steps were made afterwards")
    facts = {f"with {number} steps afterwards": steps[number] for number in sorted(steps)}
    return _row(case, [one.seconds for one in stopped], **facts)


def kills(count: int) -> Row:
    """Workers killed in the middle of jobs; seconds until the next job begins."""
    seconds = []
    with _started(PAGE, witness.FAKE) as running:
        for n in range(count):
            killed = kill(running, signal.SIGSEGV if n % 2 else signal.SIGKILL, n)
            _check((killed.page, killed.routes) == (200, 200), "the page or the routes did not answer")
            _check(killed.victim["state"] == "failed" and bool(killed.victim["error"]), "the job did not fail plainly")
            _check({view["state"] for view in killed.behind} == {"done"}, "a job behind it was lost")
            seconds.append(killed.seconds)
    _check(max(seconds) < 10, f"a worker was back after {max(seconds):.1f} s")
    return _row(f"{count} workers killed", seconds)


def signals(count: int) -> Row:
    """Signals to loaded servers; seconds until the process has ended. What waits is made after the next start."""
    seconds: list[float] = []
    kept: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def are_made() -> bool:
            return {job.state for job in ran(folder / "data") if job.prompt in kept} == {"done"}

        for n in range(count):
            with server(folder, "nowebui=True", engine=witness.FAKE) as running:
                if kept:
                    until(are_made, 60)
                ended = end_under_load(running, n, False, signal.SIGINT if n % 2 else signal.SIGTERM)
            _check(ended.code == 0 and set(ended.answers) == {503} and all(ended.streams), f"it ended as {ended}")
            kept |= ended.kept
            seconds.append(ended.seconds)
    _check(max(seconds) < 10, f"it took {max(seconds):.1f} s to end")
    return _row(f"{count} signals under load", seconds)


def pictures(running: Started, count: int) -> Row:
    """Pictures of the starter, 64 × 64 with one step; seconds each, and what they left behind."""
    make(running, 0, WARM_UP)
    before, began = footprints(running), time.monotonic()
    make(running, WARM_UP, count)
    seconds, after = time.monotonic() - began, footprints(running)
    facts: dict[str, Any] = {"kept files": after.kept}
    for name in ("web", "worker"):
        old, new = getattr(before, name), getattr(after, name)
        facts |= {f"{name} MB": f"{old.memory:.0f} → {new.memory:.0f}"}
        facts |= {f"{name} files": f"{old.files} → {new.files}", f"{name} threads": f"{old.threads} → {new.threads}"}
        _check(new.memory - old.memory < 50, f"the {name} process grew by {new.memory - old.memory:.0f} MB")
    return _row(f"{count} pictures", [seconds / count], **facts)
