"""Several workers with one queue: what each is told, nothing lost or crossed, deaths, stops, cancels and hangs."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest

from tests.workers.test_service import FAKE, PATIENCE, request, until
from webui.errors import InvalidRequest, NotFound, QueueFull, WorkerLost
from webui.workers.lane import Lane
from webui.workers.plain import lanes
from webui.workers.process import WorkerProcess
from webui.workers.service import JobService

TWO = ({"place": 0}, {"place": 1})
QUICK = {"step_seconds": 0.002}


def make_service(folder: Path, workers=TWO, limit: int = 1000, **settings) -> JobService:
    service = JobService(QUICK | settings, folder, engine=FAKE, limit=limit, lanes=workers)
    service.start()
    until(lambda: all(worker.state == "idle" for worker in service.status().workers), PATIENCE)
    return service


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    service = make_service(tmp_path_factory.mktemp("pair"))
    yield service
    service.stop(2)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    service = make_service(tmp_path_factory.mktemp("single"), ({},))
    yield service
    service.stop(2)


def pictures(view) -> list[str]:
    return [hashlib.sha256(Path(result.path).read_bytes()).hexdigest() for result in view.results]


def both_held(service: JobService, ids: list[str]) -> None:
    until(lambda: all(service.job(job).step == 2 for job in ids))


def lane_of(service: JobService, job: str) -> Lane:
    return next(lane for lane in service._dispatcher.lanes if lane.running and lane.running.job.id == job)


# What each worker is told ----------------------------------------------------------------------------------------


def told(device: str, workers: int | None = None) -> list[tuple[str, int, int]]:
    return [(lane["device"], lane["place"], lane["places"]) for lane in lanes(device, workers)]


def test_several_workers_on_cuda_get_a_card_each_and_a_named_list_is_taken_as_it_is():
    assert told("auto") == [("auto", 0, 1)] and told("cuda") == [("cuda", 0, 1)]
    assert told("cuda", 2) == [("cuda:0", 0, 2), ("cuda:1", 1, 2)]
    assert told("cuda:0, cuda:3") == told("cuda:0,cuda:3", 2) == [("cuda:0", 0, 1), ("cuda:3", 0, 1)]
    assert told("cpu", 2) == [("cpu", 0, 2), ("cpu", 1, 2)]


@pytest.mark.parametrize("wrong", [("cuda", 0), ("cuda", 65), ("cuda:0,cuda:1", 3), ("cuda:0,", None)])
def test_impossible_numbers_of_workers_are_refused(wrong):
    with pytest.raises(InvalidRequest):
        lanes(*wrong)


def test_several_workers_on_the_processor_let_their_threads_wait_without_work():
    assert all("environment" in lane for lane in lanes("cpu", 2)) and "environment" not in lanes("cpu")[0]


# Two workers -----------------------------------------------------------------------------------------------------


def test_two_jobs_run_at_once_and_the_status_names_both_workers(pair):
    ids = [pair.submit(request("held"), client=name) for name in ("ann", "bob")]
    both_held(pair, ids)
    status = pair.status()
    assert [view.id for view in pair.running()] == ids and pair.current().id == ids[0] == status.current
    assert sorted(worker.current for worker in status.workers) == sorted(ids)
    assert (status.worker, status.device, status.memory) == ("busy", "fake", 2)
    assert pair.interrupt(None, "bob") and pair.wait(ids[1], PATIENCE).state == "cancelled"
    assert pair.job(ids[0]).state == "running" and not pair.interrupt(None, "bob")
    assert pair.interrupt() and pair.wait(ids[0], PATIENCE).state == "cancelled"


def test_a_request_gives_the_same_bytes_through_one_worker_and_through_two(single, pair):
    wanted = request("the same", seed=11, batch_size=2, count=2, steps=2)
    alone = pictures(single.wait(single.submit(wanted), PATIENCE))
    ids = [pair.submit(wanted, client=f"{number}") for number in range(6)]
    views = [pair.wait(job, PATIENCE) for job in ids]
    assert len(alone) == 4 and all(pictures(view) == alone for view in views)


def test_a_hundred_clients_lose_double_and_cross_nothing(pair):
    ids: dict[tuple[int, int], str] = {}
    starts: list[str] = []
    pair.subscribe(lambda job_id: starts.append(job_id))

    def client(number: int) -> None:
        for turn in range(2):
            wanted = request(f"{number} {turn}", steps=1, seed=number * 10 + turn)
            ids[number, turn] = pair.submit(wanted, client=f"client {number}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    views = {key: pair.wait(job, PATIENCE) for key, job in ids.items()}
    assert len(set(ids.values())) == 200 and {view.state for view in views.values()} == {"done"}
    for (number, turn), view in views.items():
        assert [result.seed for result in view.results] == [number * 10 + turn]
        assert view.results[0].infotext.startswith(f"{number} {turn}\n")
    assert all(views[number, 0].started <= views[number, 1].started for number in range(100))
    paths = [result.path for view in views.values() for result in view.results]
    assert len(set(paths)) == 200 and pair.status().restarts == 0


def test_settings_and_checkpoints_reach_every_worker(tmp_path):
    service = make_service(tmp_path)
    try:
        service.load("second.safetensors")
        until(lambda: [worker.checkpoint for worker in service.status().workers] == ["second.safetensors"] * 2)
        busy = service.submit(request("held"))
        until(lambda: service.job(busy).step == 2)
        service.change_settings({"outputs": str(tmp_path / "elsewhere"), **QUICK})  # waits behind the running job
        ids = [service.submit(request(seed=seed, steps=40, save=True), client=f"{seed}") for seed in range(4)]
        service.stop_after(busy)
        views = [service.wait(job, PATIENCE) for job in ids]
        assert {Path(view.results[0].path).parent.name for view in views} == {"elsewhere"}
    finally:
        service.stop(2)


def test_a_job_goes_to_the_worker_that_has_its_checkpoint(pair):
    pair.load(None)
    other, same = request(checkpoint="other", steps=1), request(steps=1)
    pair.wait(pair.submit(other), PATIENCE)
    chosen = {}
    for name, wanted in {"same": same, "other": other, "again": same}.items():
        job = pair.submit(wanted)
        pair.wait(job, PATIENCE)
        until(lambda: pair.status().worker == "idle")
        chosen[name] = [lane.checkpoint for lane in pair._dispatcher.lanes]
    assert chosen == {name: ["other", None] for name in chosen}


def test_unloading_is_done_by_every_worker(pair):
    before = [worker.checkpoint for worker in pair.status().workers]
    assert None not in before
    pair.wait(pair.submit_task("unload", {}), PATIENCE)
    until(lambda: [worker.checkpoint for worker in pair.status().workers] == [None, None])
    pair.load("first.safetensors")


def test_the_waiting_jobs_are_expected_to_go_to_whichever_worker_is_free_first(pair, monkeypatch):
    monkeypatch.setattr(pair._dispatcher, "durations", [10.0])
    monkeypatch.setattr(pair._dispatcher, "_seconds_left", lambda: [1.0, 14.0])
    assert pair._dispatcher.seconds_to_done(4) == [11.0, 21.0, 24.0, 31.0]


def test_positions_and_estimates_count_all_workers(pair):
    pair.wait(pair.submit(request(steps=1)), PATIENCE)  # its time is the guess for the others
    ids = [pair.submit(request("held"), client=f"{number}") for number in range(6)]
    both_held(pair, ids[:2])
    views = pair.jobs(4)[::-1]
    assert [view.id for view in views] == ids[2:] and [view.position for view in views] == [1, 2, 3, 4]
    etas = [view.eta for view in views]
    assert etas == sorted(etas)
    for job in ids:
        pair.interrupt(job)
        pair.wait(job, PATIENCE)


def test_a_full_queue_says_when_the_next_job_is_likely_to_be_over(tmp_path, monkeypatch):
    service = make_service(tmp_path, ({},), limit=1)
    try:
        job = service.submit(request("held"))
        until(lambda: service.job(job).step == 2)
        monkeypatch.setattr(lane_of(service, job).running, "eta", lambda: 9.2)
        service.submit(request())
        with pytest.raises(QueueFull) as full:
            service.submit(request())
        assert full.value.retry_after == 10
    finally:
        service.stop(1)


# Deaths, hangs, stops --------------------------------------------------------------------------------------------


def test_dead_workers_cost_their_own_jobs_only(tmp_path):
    service = make_service(tmp_path)
    try:
        for turn in range(5):
            victim, other = (service.submit(request("held"), client=name) for name in ("ann", "bob"))
            both_held(service, [victim, other])
            worker = next(worker for worker in service.status().workers if worker.current == victim)
            os.kill(worker.pid, signal.SIGKILL if turn % 2 else signal.SIGSEGV)
            view = service.wait(victim, PATIENCE)
            assert view.state == "failed" and view.error_type == "WorkerLost" and "new worker" in view.error
            assert service.stop_after(other) and service.wait(other, PATIENCE).state == "done"
            until(lambda: all(worker.state == "idle" for worker in service.status().workers))
        assert service.status().restarts == 5
        assert service.wait(service.submit(request()), PATIENCE).state == "done"
    finally:
        service.stop(2)


@pytest.mark.parametrize("round", range(5))
def test_a_stop_under_load_is_quick_and_keeps_the_waiting_jobs_in_their_order(tmp_path, round):
    service = make_service(tmp_path)
    ids = [service.submit(request("held"), client=f"{number % 3}") for number in range(6 + round)]
    until(lambda: len(service.running()) == 2)
    running, waiting = [view.id for view in service.running()], service._queue.waiting()
    service.stop(4)
    with pytest.raises(WorkerLost):
        service.submit(request())
    again = JobService(QUICK, tmp_path, engine=FAKE, limit=1000, lanes=TWO)
    assert again._queue.waiting() == waiting and sorted(running + waiting) == sorted(ids)
    assert {again.job(job).state for job in running} == {"failed"}
    again.stop(1)


def test_cancels_at_fifty_moments_leave_the_next_job_as_it_would_have_been(pair):
    wanted = request("after a cancel", seed=5, steps=2, batch_size=2)
    expected = pictures(pair.wait(pair.submit(wanted), PATIENCE))
    dice = random.Random(3)
    for _ in range(50):
        cancelled = pair.submit(request("held", steps=1000))
        time.sleep(dice.random() * 0.03)
        assert pair.interrupt(cancelled)
        after = pair.submit(wanted)
        assert pair.wait(cancelled, PATIENCE).state == "cancelled"
        assert pictures(pair.wait(after, PATIENCE)) == expected


def test_a_job_that_says_nothing_is_ended_and_the_worker_replaced(tmp_path):
    service = make_service(tmp_path)
    service.watch(900, 30)
    try:
        silent, other = service.submit(request("hang")), service.submit(request("held"), client="bob")
        until(lambda: service.job(silent).step == 1 and service.job(other).step == 2)
        grow_old(service, silent, 800)
        assert service.job(silent).state == "running"
        grow_old(service, silent, 100)
        view = service.wait(silent, PATIENCE)
        assert view.state == "failed" and "said nothing for 900 seconds" in view.error
        assert view.error_type == "WorkerLost"
        assert service.stop_after(other) and service.wait(other, PATIENCE).state == "done"
        assert [worker.restarts for worker in service.status().workers] in ([1, 0], [0, 1])
        until(lambda: service.status().workers[0].state == service.status().workers[1].state == "idle")
        service.watch(0, 30)
        patient = service.submit(request("hang"))
        until(lambda: service.job(patient).step == 1)
        grow_old(service, patient, 1e6)
        assert service.wait(service.submit(request()), PATIENCE).state == "done"
        assert service.job(patient).state == "running"  # 0: never
    finally:
        service.stop(0.5)


def grow_old(service: JobService, job: str, seconds: float) -> None:
    """Let time go by since the job has said something."""
    with service._changes.lock:
        lane = lane_of(service, job)
        lane._heard -= seconds
        lane._wake()


def test_an_interrupted_job_that_goes_on_is_ended_by_force(tmp_path):
    service = make_service(tmp_path, ({},))
    service.watch(0, 0.3)
    try:
        for prompt in ("hang", "hang and hold"):
            job = service.submit(request(prompt))
            until(lambda job=job: service.job(job).step == 1)
            pid = service.status().workers[0].pid
            assert service.interrupt(job) and service.interrupt(job)
            view = service.wait(job, PATIENCE)
            assert view.state == "cancelled" and "went on for 0.3 seconds" in view.error
            assert service.wait(service.submit(request()), PATIENCE).state == "done"
            assert service.status().workers[0].pid != pid
    finally:
        service.stop(1)


def test_one_worker_that_does_not_start_leaves_the_jobs_to_the_other(tmp_path):
    service = JobService(QUICK, tmp_path, engine=FAKE, lanes=({"raise_at_start": True}, {}))
    service.start()
    try:
        assert service.wait(service.submit(request()), PATIENCE).state == "done"
        until(lambda: service.status().workers[0].state == "broken", PATIENCE)
        assert service.wait(service.submit(request()), PATIENCE).state == "done"
        service.load("second.safetensors")
        assert service.status().worker == "idle" and "no such device" in service.status().error
        with pytest.raises(NotFound):
            service.job("nobody")
    finally:
        service.stop(1)


def test_what_a_job_says_last_is_heard_while_the_program_stops(tmp_path):
    """Its last step is done and its picture saved: it is no job to start again. More than a pipe holds is said."""
    service = make_service(tmp_path, ({},))
    job = service.submit(request("last words", steps=1))
    until(lambda: service.job(job).step == 1)
    service.stop(60)
    again = JobService(QUICK, tmp_path, engine=FAKE)
    view = again.job(job)
    assert (view.state, len(view.results)) == ("done", 1)
    again.stop(1)


def test_a_worker_that_was_stopped_counts_as_lost_for_who_listens_late():
    bell, ring = Pipe(duplex=False)
    worker = WorkerProcess(FAKE, {})
    ring.send_bytes(b"!")
    worker.stop(10)
    with pytest.raises(WorkerLost, match="ended by itself"):
        while worker.receive(0, bell):
            pass
