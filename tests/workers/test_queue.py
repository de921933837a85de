"""The SQLite queue: order, limits, restarts."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from webui.errors import FileError, NotFound, QueueFull
from webui.workers.queue import INTERRUPTED_BY_RESTART, JobQueue, claim


@pytest.fixture
def queue(tmp_path):
    queue = JobQueue(tmp_path / "queue.sqlite", limit=5)
    yield queue
    queue.close()


def test_jobs_are_taken_in_the_order_of_their_arrival(queue):
    ids = [queue.add("{}") for _ in range(4)]
    assert [queue.take().id for _ in range(4)] == ids
    assert queue.take() is None


def test_a_higher_priority_goes_first(queue):
    low, high = queue.add("{}"), queue.add("{}", priority=1)
    assert queue.waiting() == [high, low]
    assert queue.take().id == high


def test_the_limit_counts_waiting_jobs_only(queue):
    for _ in range(5):
        queue.add("{}")
    with pytest.raises(QueueFull, match="5 jobs are waiting"):
        queue.add("{}")
    queue.take()
    queue.add("{}")


def test_parallel_takers_never_get_the_same_job(tmp_path):
    queue = JobQueue(tmp_path / "q.sqlite", limit=1000)
    ids = {queue.add("{}") for _ in range(60)}
    taken: list[str] = []

    def take() -> None:
        while (job := queue.take()) is not None:
            taken.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(taken) == 60 and set(taken) == ids


def test_a_restart_fails_the_running_job_and_keeps_the_waiting_ones(tmp_path):
    path = tmp_path / "queue.sqlite"
    queue = JobQueue(path)
    running, waiting, attached = queue.add("{}"), queue.add('{"a":1}', client="me"), queue.add("{}", attached=True)
    queue.take()
    queue.close()
    queue = JobQueue(path)
    assert (queue.get(running).state, queue.get(running).error) == ("failed", INTERRUPTED_BY_RESTART)
    assert queue.get(attached).state == "cancelled"
    assert queue.waiting() == [waiting]
    assert (queue.take().request, queue.get(waiting).client) == ('{"a":1}', "me")


def test_what_a_job_made_is_remembered(queue):
    job = queue.add("{}")
    queue.take()
    queue.finish(job, "done", results=[{"path": "a.png", "seed": 2**63}], notes=["small"])
    row = queue.get(job)
    assert (row.state, row.results, row.notes) == ("done", ({"path": "a.png", "seed": 2**63},), ("small",))
    assert row.started is not None and row.finished >= row.started >= row.created


def test_only_waiting_jobs_are_cancelled_in_the_queue(queue):
    first, second = queue.add("{}"), queue.add("{}")
    queue.take()
    assert not queue.cancel_waiting(first)
    assert queue.cancel_waiting(second) and queue.get(second).state == "cancelled"


def test_a_job_put_back_keeps_its_place(queue):
    first, second = queue.add("{}"), queue.add("{}")
    queue.put_back(queue.take().id)
    assert queue.waiting() == [first, second]


def test_an_unknown_id_is_not_found(queue):
    with pytest.raises(NotFound):
        queue.get("nobody")


def test_a_damaged_file_is_put_aside(tmp_path):
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)
    queue = JobQueue(path)
    assert queue.take() is None
    assert len(list(tmp_path.glob("queue.damaged-*.sqlite"))) == 1


def test_the_file_is_in_write_ahead_mode(queue):
    assert sqlite3.connect(queue.path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_second_program_in_the_same_folder_gets_a_queue_of_its_own(tmp_path):
    first, lock = claim(tmp_path)
    second, other = claim(tmp_path)
    assert (first.name, second.name) == ("queue.sqlite", "queue-2.sqlite")
    lock.close()
    again, third = claim(tmp_path)
    assert again == first
    other.close(), third.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="--data-dir"):
        claim(tmp_path / "file" / "below")


def test_one_client_cannot_fill_the_queue_for_the_others(tmp_path):
    queue = JobQueue(tmp_path / "q.sqlite", limit=5, limit_per_client=2)
    queue.add("{}", client="ann")
    queue.add("{}", client="ann")
    with pytest.raises(QueueFull, match="2 jobs of yours are waiting"):
        queue.add("{}", client="ann")
    queue.add("{}", client="bob")
    queue.take()
    queue.add("{}", client="ann")
    for _ in range(2):
        queue.add("{}")  # the command line and the program itself are nobody
