"""Whose turn it is: shares of clients, priorities, and the order over restarts."""

from __future__ import annotations

import random

import pytest

from webui.workers.queue import FIRST_IN_A_ROW, JobQueue


@pytest.fixture
def queue(tmp_path):
    queue = JobQueue(tmp_path / "queue.sqlite", limit=100_000)
    yield queue
    queue.close()


def served(queue: JobQueue, count: int = 10_000) -> list[str]:
    """The clients of the next jobs, in order."""
    clients = []
    while len(clients) < count and (job := queue.take()) is not None:
        clients.append(job.client)
    return clients


def test_who_comes_after_fifty_jobs_of_another_waits_for_one(queue):
    for _ in range(50):
        queue.add("{}", client="ann")
    assert served(queue, 7) == ["ann"] * 7
    queue.add("{}", client="bob")
    assert "bob" in served(queue, 2)


def test_clients_take_turns_and_keep_the_order_of_their_own_jobs(queue):
    ids = {client: [queue.add("{}", client=client) for _ in range(4)] for client in ("ann", "bob", "cid")}
    jobs = [queue.take() for _ in range(12)]
    assert [job.client for job in jobs] == ["ann", "bob", "cid"] * 4
    assert {client: [job.id for job in jobs if job.client == client] for client in ids} == ids


def test_who_sends_the_next_job_while_the_first_runs_does_not_wait_for_two_of_another(queue):
    queue.add("{}", client="bob")
    for _ in range(9):
        queue.add("{}", client="ann")
    assert queue.take().client == "bob"
    queue.add("{}", client="bob")
    assert served(queue, 4) == ["ann", "bob", "ann", "ann"]


def test_a_stream_of_strangers_does_not_keep_an_old_client_waiting(queue):
    for _ in range(3):
        queue.add("{}", client="ann")
    seen = []
    for number in range(12):
        queue.add("{}", client=f"stranger {number}")
        seen.append(queue.take().client)
    assert [index for index, client in enumerate(seen) if client == "ann"][-1] <= 5


@pytest.mark.parametrize("seed", range(12))
def test_at_random_nobody_gets_two_turns_while_another_waits_for_one(queue, seed):
    """Between the moment that a job is its client's next one and its start, each other client starts at most one."""
    dice = random.Random(seed)
    waiting: dict[str, list[str]] = {}
    since: dict[str, dict[str, int]] = {}  # of each client's next job: the starts of others meanwhile
    for _ in range(300):
        if dice.random() < 0.55:
            client = f"{min(dice.randrange(8), dice.randrange(8))}"
            waiting.setdefault(client, []).append(queue.add("{}", client=client))
            since.setdefault(client, {})
        elif dice.random() < 0.15 and any(waiting.values()):
            client = dice.choice([client for client, ids in waiting.items() if ids])
            job = dice.choice(waiting[client])
            assert queue.cancel_waiting(job)
            waiting[client].remove(job)
        else:
            expected = queue.waiting()
            job = queue.take()
            assert (job.id if job else None) == next(iter(expected), None)
            if job is None:
                continue
            assert waiting[job.client].pop(0) == job.id  # first in, first out
            since.pop(job.client)
            if waiting[job.client]:
                since[job.client] = {}
            for other, starts in since.items():
                if waiting[other]:
                    starts[job.client] = starts.get(job.client, 0) + 1
                    assert max(starts.values()) <= 1, f"{other} waited for {starts}"
        since = {client: starts for client, starts in since.items() if waiting[client]}


def test_the_order_that_is_told_is_the_order_that_is_served(queue):
    dice = random.Random(5)
    for _ in range(60):
        queue.add("{}", client=f"{dice.randrange(4)}", priority=dice.randrange(2))
    told = queue.waiting()
    assert [queue.take().id for _ in range(60)] == told


def test_a_restart_keeps_the_order_and_the_turns(tmp_path):
    dice = random.Random(7)
    queues = [JobQueue(tmp_path / f"{name}.sqlite", limit=1000) for name in ("stays", "restarts")]

    def both(act):
        results = [act(queue) for queue in queues]
        assert results[0] == results[1]

    for number in range(200):
        if dice.random() < 0.6:
            place = {"client": f"{dice.randrange(4)}", "priority": int(dice.random() < 0.3)}
            both(lambda queue, place=place, number=number: queue.add(str(number), **place) and None)
        else:
            both(lambda queue: job.request if (job := queue.take()) else None)
        if number % 20 == 19:
            for job in queues[1].latest(1000):
                if job.state == "running":
                    queues[1].finish(job.id, "done")
            queues[1].close()
            queues[1] = JobQueue(tmp_path / "restarts.sqlite", limit=1000)
    both(lambda queue: [queue.take().request for _ in queue.waiting()])


def test_what_goes_first_lets_every_third_job_be_one_of_the_others(queue):
    for _ in range(9):
        queue.add("{}", client="page", priority=1)
        queue.add("{}", client="bot")
    order = served(queue)
    assert order[:6] == ["page", "page", "bot"] * 2
    for start in range(len(order) - FIRST_IN_A_ROW):
        others_wait = "bot" in order[start:]
        assert not others_wait or "bot" in order[start : start + FIRST_IN_A_ROW + 1]


def test_an_endless_stream_that_goes_first_starves_nobody(queue):
    old = queue.add("{}", client="bot")
    for _ in range(FIRST_IN_A_ROW + 1):
        queue.add("{}", client="page", priority=1)
        if queue.take().id == old:
            return
    pytest.fail("the other job never had its turn")


def test_without_others_what_goes_first_runs_in_a_row(queue):
    for _ in range(5):
        queue.add("{}", client="page", priority=1)
    assert served(queue) == ["page"] * 5


def test_a_cancelled_jobs_turn_goes_to_the_clients_next_job(queue):
    ids = [queue.add("{}", client="ann") for _ in range(20)]
    for job in ids[:19]:
        queue.cancel_waiting(job)
    for _ in range(5):
        queue.add("{}", client="bob")
    assert queue.waiting()[0] == ids[19]


def test_thousands_wait_and_the_next_one_is_found_without_looking_at_all(queue):
    for number in range(3000):
        queue.add("{}", client=f"{number % 7}")
    plan = queue._connection.execute(
        "EXPLAIN QUERY PLAN SELECT round, seat FROM jobs WHERE client = ? AND priority = ? ORDER BY round DESC LIMIT 1",
        ("1", 0),
    ).fetchall()
    assert "USING INDEX" in plan[0][-1] and not any("TEMP B-TREE" in row[-1] for row in plan)
    told = queue.waiting()
    looked = []
    queue._connection.set_trace_callback(looked.append)
    assert [queue.take().id for _ in range(100)] == told[:100]
    queue._connection.set_trace_callback(None)
    assert not any(text.startswith("SELECT") for text in looked)  # the line is kept, not sorted again for each
