"""The service with a real worker process and a fake engine of 20 ms steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from webui.errors import EmulsionError, NotFound, WorkerLost
from webui.request import GenerationRequest, Pass
from webui.workers import views
from webui.workers.queue import Job
from webui.workers.service import JobService
from webui.workers.views import RunningJob

FAKE = "tests.workers.fake_engine:engine"
PATIENCE = 120.0  # seconds for what takes one, on a machine that is busy with something else


def request(prompt: str = "an apple", steps: int = 5, **changes) -> GenerationRequest:
    changes = {"save": False, **changes}
    return GenerationRequest(prompt=prompt, passes=(Pass(width=64, height=64, steps=steps),), **changes)


@pytest.fixture
def service(tmp_path):
    service = JobService({}, tmp_path, engine=FAKE)
    service.start()
    yield service
    service.stop(2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    service = JobService({}, tmp_path_factory.mktemp("shared"), engine=FAKE)
    service.start()
    yield service
    service.stop(2)


def worker_pid(service: JobService) -> int:
    return service.status().workers[0].pid


def until(happened, timeout: float = PATIENCE) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_a_job_runs_and_leaves_its_pictures(shared):
    job = shared.wait(shared.submit(request(seed=7, batch_size=2, count=2)), PATIENCE)
    assert (job.state, job.progress, job.error) == ("done", 1.0, None)
    assert [result.seed for result in job.results] == [7, 8, 9, 10]
    assert all(Path(result.path).is_file() and not result.saved for result in job.results)
    assert "Seed: 7" in job.results[0].infotext


def test_progress_previews_and_remaining_time_are_reported(shared):
    seen = []
    unsubscribe = shared.subscribe(lambda job_id: seen.append(shared.job(job_id)) if job_id else None)
    job_id = shared.submit(request(steps=20))
    shared.wait(job_id, PATIENCE)
    unsubscribe()
    running = [view for view in seen if view.id == job_id and view.state == "running" and view.step]
    assert [view.progress for view in running] == sorted(view.progress for view in running)
    assert {view.step for view in running} == set(range(1, 21))
    assert max(view.preview_id for view in running) == 20 and running[-1].preview.startswith(b"\xff\xd8")
    assert all(view.eta > 0 for view in running if 5 <= view.step <= 15)


def test_the_remaining_time_is_that_of_the_steps_to_come_at_the_speed_of_those_that_were(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    monkeypatch.setattr(views, "time", clock)
    running = RunningJob(Job("a", "", "txt2img", request(steps=10, count=2).to_json(), "running", 0.0))
    etas = []
    for step in range(6):
        running.take_in({"kind": "progress", "step": step, "steps": 10, "batch": 0, "batches": 2}, b"")
        etas.append(running.eta())
        clock.now += 3.0
    assert etas[:2] == [None, None] and etas[2:] == [pytest.approx(3.0 * left) for left in (18, 17, 16, 15)]


def test_jobs_wait_in_order_with_position_and_estimate(shared):
    shared.wait(shared.submit(request(steps=1)), PATIENCE)  # its time is the guess for the others
    ids = [shared.submit(request(f"held {number}")) for number in range(3)]
    until(lambda: shared.job(ids[0]).step == 2)
    waiting = [shared.job(job) for job in ids[1:]]
    assert [view.position for view in waiting] == [1, 2] and 0 < waiting[0].eta < waiting[1].eta
    for job in ids:
        until(lambda job=job: shared.stop_after(job))
        assert shared.wait(job, PATIENCE).state == "done"
    starts = [shared.job(job).started for job in ids]
    assert starts == sorted(starts)


def test_an_interrupt_ends_the_job_long_before_its_last_step(shared):
    job = shared.submit(request("held", steps=1000, seed=1))
    until(lambda: shared.job(job).step > 2)
    assert shared.interrupt(job)
    view = shared.wait(job, PATIENCE)
    assert view.state == "cancelled" and view.results == ()


def test_an_interrupt_of_another_job_leaves_the_running_one_alone(shared):
    job, other = shared.submit(request("held")), shared.submit(request())
    until(lambda: shared.job(job).step == 2)
    assert shared.interrupt(other)
    assert shared.job(other).state == "cancelled"
    assert not shared.interrupt("nobody")
    assert shared.stop_after(job) and shared.wait(job, PATIENCE).state == "done"


def test_who_names_a_client_ends_that_clients_jobs_only(shared):
    mine, other = shared.submit(request("held"), client="ann"), shared.submit(request(), client="ann")
    until(lambda: shared.job(mine).step == 2)
    for act in (shared.interrupt, shared.skip, shared.stop_after):
        assert not act(mine, "bob") and not act(None, "bob") and not act(other, "bob") and not act("nobody", "bob")
    assert shared.job(mine).state == "running" and shared.job(other).state == "waiting"
    assert shared.interrupt(other, "ann") and shared.job(other).state == "cancelled"
    assert shared.interrupt(None, "ann") and shared.wait(mine, PATIENCE).state == "cancelled"


def test_an_interrupt_between_taking_and_starting_is_not_lost(shared):
    for _ in range(10):
        job = shared.submit(request("held", steps=100))
        until(lambda job=job: shared.interrupt(job))
        assert shared.wait(job, PATIENCE).state == "cancelled"


def test_skip_leaves_one_batch_out(shared):
    job = shared.submit(request("held", steps=20, count=3, seed=50))
    until(lambda: (shared.job(job).batch, shared.job(job).step) == (1, 10))
    shared.skip(job)
    view = shared.wait(job, PATIENCE)
    assert view.state == "done" and [result.seed for result in view.results] == [50, 52]


def test_stop_after_finishes_the_batch_and_starts_no_other(shared):
    job = shared.submit(request("held", steps=10, count=3, seed=60))
    until(lambda: (shared.job(job).batch, shared.job(job).step) == (1, 5))
    shared.stop_after(job)
    view = shared.wait(job, PATIENCE)
    assert view.state == "done" and [result.seed for result in view.results] == [60, 61]


def test_a_failing_job_says_why_and_the_next_one_runs(shared):
    wrong, bug, fine = (shared.submit(request(prompt)) for prompt in ("wrong", "bug", "fine"))
    assert shared.wait(wrong, PATIENCE).error == "There is no sampler named 'X'."
    assert shared.job(wrong).error_type == "InvalidRequest"
    assert "ValueError: a bug" in shared.wait(bug, PATIENCE).error and "Traceback" not in shared.job(bug).error
    assert shared.wait(fine, PATIENCE).state == "done"
    assert shared.status().restarts == 0


def test_names_come_from_the_worker(shared):
    assert shared.samplers() == ["Euler a", "DPM++ 2M", "Euler"]
    assert shared.schedulers() == ["Automatic", "Karras"]
    assert shared.names("samplers")[0]["aliases"] == ["k_euler_a", "k_euler_ancestral"]


def test_loading_waits_for_the_checkpoint_and_raises_what_went_wrong(shared):
    shared.load("second.safetensors")
    with pytest.raises(EmulsionError, match="damaged"):
        shared.load("broken.safetensors")


def test_who_waited_for_an_order_reads_what_it_left_behind(tmp_path):
    service = JobService({"facts_seconds": 0.1}, tmp_path, engine=FAKE)
    service.start()
    try:
        service.load("second.safetensors")
        before = service.status()
        assert before.checkpoint == "second.safetensors"
        service.wait(service.submit(request(steps=1)), PATIENCE)
        assert service.status().memory == before.memory + 1
    finally:
        service.stop(2)


def test_half_a_character_is_refused_before_it_reaches_the_queue(shared):
    with pytest.raises(EmulsionError, match="surrogate"):
        shared.submit(request("\ud800"))


def test_an_unknown_job_is_not_found(shared):
    with pytest.raises(NotFound):
        shared.job("nobody")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_worker_fails_its_job_and_the_next_one_runs_soon(service, blow):
    first, second = service.submit(request("held", steps=500)), service.submit(request())
    until(lambda: service.job(first).step > 1)
    os.kill(worker_pid(service), blow)
    view = service.wait(first, PATIENCE)
    assert view.state == "failed" and "worker process" in view.error and "new worker" in view.error
    assert service.wait(second, PATIENCE).state == "done"
    assert service.status().restarts == 1


def test_a_worker_that_dies_while_idle_costs_no_job(service):
    service.wait(service.submit(request()), PATIENCE)
    os.kill(worker_pid(service), signal.SIGKILL)
    assert service.wait(service.submit(request()), PATIENCE).state == "done"


def test_a_worker_is_replaced_after_two_jobs_out_of_memory(service):
    first = None
    for _ in range(2):
        job = service.wait(service.submit(request("memory")), PATIENCE)
        assert job.state == "failed" and "does not fit" in job.error
        first = first or worker_pid(service)
    assert service.wait(service.submit(request()), PATIENCE).state == "done"
    assert worker_pid(service) != first


@pytest.mark.parametrize("fault", ["die_at_start", "raise_at_start"])
def test_a_worker_that_never_starts_fails_the_jobs_with_the_reason(tmp_path, fault):
    service = JobService({fault: True}, tmp_path, engine=FAKE)
    service.start()
    view = service.wait(service.submit(request()), PATIENCE)
    assert view.state == "failed" and "does not start" in view.error
    assert service.status().worker == "broken"
    late = service.wait(service.submit(request()), PATIENCE)
    assert late.state == "failed"
    assert ("no such device" in view.error) == (fault == "raise_at_start")
    service.stop(2)


def test_stopping_waits_for_no_job_and_keeps_those_that_wait(tmp_path):
    service = JobService({}, tmp_path, engine=FAKE)
    service.start()
    running, waiting = service.submit(request("held", steps=1000)), service.submit(request())
    until(lambda: service.job(running).step > 1)
    service.stop()
    with pytest.raises(WorkerLost):
        service.submit(request())
    service = JobService({}, tmp_path, engine=FAKE)
    assert service.job(running).state == "failed" and "stopped" in service.job(running).error
    service.start()
    assert service.wait(waiting, PATIENCE).state == "done"
    service.stop(2)


def test_names_are_remembered_for_the_next_start(tmp_path):
    service = JobService({}, tmp_path, engine=FAKE)
    service.start()
    service.names("samplers", PATIENCE)
    service.stop(2)
    service = JobService({}, tmp_path, engine=FAKE)  # not started: nobody could answer
    assert service.names("samplers", timeout=0)[0]["name"] == "Euler a"
    service.stop(0.5)


def test_neither_the_service_nor_the_worker_loop_imports_torch():
    code = "import sys, webui.workers.service; assert not {'torch', 'gradio', 'fastapi', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_worker_goes_when_its_parent_is_killed(tmp_path):
    code = (
        "import sys, time\nfrom webui.workers.service import JobService\nfrom pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    s = JobService({{}}, Path({str(tmp_path)!r}), engine={FAKE!r}); s.start(); s.names('samplers', 120)\n"
        "    print(s.status().workers[0].pid, flush=True); time.sleep(600)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    until(gone)
