"""Threads that each work alone: for many small jobs that would lose more by sharing every operation between all cores.

Splitting each small product over the cores makes them wait for each other thousands of times, which is ruinous as soon
as another program runs. Here every job stays on one core, and the cores take jobs as they come free.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def run_jobs(jobs: Iterable[Callable[[], None]], threaded: bool = True) -> None:
    """Do the jobs, if `threaded` on as many threads as torch may use, each job on one of them.

    The first jobs begin first. An error in one is raised once the others have ended.
    """
    threads = torch.get_num_threads()
    if not threaded or threads == 1:
        for job in jobs:
            job()
        return
    inference = torch.is_inference_mode_enabled()  # modes belong to a thread
    waiting = deque(jobs)

    def work(_: int) -> None:
        with torch.no_grad(), torch.inference_mode(inference):
            while waiting:
                try:
                    job = waiting.popleft()
                except IndexError:  # another thread took the last one
                    return
                job()

    list(_pool(threads).map(work, range(threads)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads in which torch's operations stay on one core."""
    everybody = threading.Barrier(threads)

    def start() -> None:
        torch.set_num_threads(1)
        everybody.wait()  # so that every task gets a thread of its own

    pool = ThreadPoolExecutor(threads, "alone")
    list(pool.map(lambda _: start(), range(threads)))
    torch.set_num_threads(threads)  # what the threads set is also the default for later threads
    return pool


__all__ = ["run_jobs"]
