"""Makes what threads, pipes and processes tell each other come late, at random: a race shows itself.

`python -m pytest tests/workers --unsteady 1` runs with it, in the tests' process (`begin`) and, by way of
`sitecustomize.py` beside this file, in every Python that they start. The program knows nothing of it. All that is done
here a machine under load does as well: nothing is lost, doubled or put into another order.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

VARIABLE = "EMULSION_TESTS_UNSTEADY"
FREQUENT = 0.15  # of all pauses at places that are passed many times a second, this share is taken
_sleep = time.sleep  # tests replace it
_dice = random.Random()


def begin(seed: int) -> None:
    """Begin to be late, here and in all processes that are started from now on."""
    if threading.Thread.start.__name__ == "late_start":  # a process of pytest-xdist has begun by its environment
        return
    _dice.seed(seed)
    os.environ.update(_told(os.environ, str(seed)))
    _pipes()
    _threads()
    _queues()
    _loops()
    _files()
    _processes(str(seed))


def seconds() -> float:
    """How late: mostly little, now and then much."""
    return _dice.uniform(0.2, 0.8) if _dice.random() < 0.1 else _dice.uniform(0, 0.02)


def pause(share: float = 1.0) -> None:
    """Be late, or in one case of `1 / share`."""
    if _dice.random() < share:
        _sleep(seconds())


def _around(owner: Any, name: str, before: float = 0.0, after: float = 0.0) -> None:
    """Pause before and after a method, in these shares of its calls."""
    quick = getattr(owner, name)

    def late(*values: Any, **named: Any) -> Any:
        pause(before)
        result = quick(*values, **named)
        pause(after)
        return result

    _replace(owner, name, late)


def _replace(owner: Any, name: str, by: Any) -> None:
    setattr(owner, name, by)


def _pipes() -> None:
    """What a worker and the web process say to each other."""
    _around(connection.Connection, "send_bytes", before=FREQUENT)
    _around(connection.Connection, "recv_bytes", after=FREQUENT)


def _threads() -> None:
    """Threads begin late, or before their starter goes on; who waited wakes late; a lock was let go a while ago."""
    start, wait = threading.Thread.start, threading.Condition.wait

    def late_start(thread: threading.Thread) -> None:
        run = thread.run

        def late_run() -> None:
            pause()
            run()

        _replace(thread, "run", late_run)
        start(thread)
        pause(0.5)

    def late_wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        happened = wait(condition, timeout)
        held = condition._release_save()  # type: ignore[attr-defined]
        pause(FREQUENT)
        condition._acquire_restore(held)  # type: ignore[attr-defined]
        return happened

    _replace(threading.Thread, "start", late_start)
    _replace(threading.Condition, "wait", late_wait)
    for name in ("Lock", "RLock"):
        _replace(threading, name, _lock_of(getattr(threading, name)))


def _lock_of(make: Callable[[], Any]) -> Callable[[], Any]:
    """Makes locks; who lets one of the program's go does not go on at once."""

    def made() -> Any:
        name = sys._getframe(1).f_globals.get("__name__", "")
        return _Late(make()) if name.startswith("webui.") else make()

    return made


class _Late:
    """A lock after which one pauses."""

    def __init__(self, lock: Any):
        self._lock = lock
        self.acquire = lock.acquire

    def __getattr__(self, name: str) -> Any:  # what a Condition uses: there for one of the two kinds only
        return getattr(self._lock, name)

    def release(self) -> None:
        self._lock.release()
        pause(FREQUENT / 10)

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *problem: object) -> None:
        self._lock.__exit__(*problem)
        pause(FREQUENT / 10)


def _queues() -> None:
    """Orders to threads, those of `asyncio.to_thread` and of the routes among them."""

    class LateQueue(queue.SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            found = super().get(block, timeout)
            pause(FREQUENT)
            return found

    _replace(queue, "SimpleQueue", LateQueue)
    _around(queue.Queue, "get", after=FREQUENT)


def _loops() -> None:
    """What threads tell an event loop, and what its tasks wait for."""
    _around(asyncio.BaseEventLoop, "call_soon_threadsafe", before=FREQUENT)
    wait = asyncio.Event.wait

    async def late_wait(event: asyncio.Event) -> Any:
        happened = await wait(event)
        if _dice.random() < FREQUENT:
            await asyncio.sleep(seconds())
        return happened

    _replace(asyncio.Event, "wait", late_wait)


def _files() -> None:
    """Finished files take their places late, and long before that is told."""
    for name in ("replace", "link", "rename"):
        _around(os, name, before=FREQUENT, after=FREQUENT)


def _processes(seed: str) -> None:
    """A process begins late, or is far before its starter goes on."""
    begin_process: Any = subprocess.Popen.__init__

    def late_process(process: Any, *values: Any, env: Mapping[str, str] | None = None, **named: Any) -> None:
        begin_process(process, *values, env=None if env is None else _told(env, seed), **named)
        pause()

    _replace(subprocess.Popen, "__init__", late_process)
    _around(subprocess.Popen, "wait", after=1)


def _told(environment: Mapping[str, str], seed: str) -> dict[str, str]:
    """An environment in which Python begins with the file beside this one."""
    here, path = str(Path(__file__).parent), environment.get("PYTHONPATH", "")
    found = path if here in path.split(os.pathsep) else os.pathsep.join(filter(None, (here, path)))
    return {**environment, VARIABLE: seed, "PYTHONPATH": found}
