"""What is counted while jobs run, and what the log says of them."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from webui.request import GenerationRequest, Pass
from webui.workers import counters as module
from webui.workers.counters import JobCounters, known_error
from webui.workers.service import JobService
from webui.workers.views import JobView, ServiceStatus

PATIENCE = 120.0  # seconds, for a machine that is busy with something else
FAKE = "tests.workers.fake_engine:engine"


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A service whose jobs are counted."""
    service = JobService({}, tmp_path_factory.mktemp("jobs"), FAKE)
    counters = JobCounters(service)
    counters.start()
    service.start()
    yield service, counters
    service.stop(2)
    counters.close()


def request(prompt: str = "a cat", steps: int = 4, **changes) -> GenerationRequest:
    return GenerationRequest(prompt=prompt, passes=(Pass(width=64, height=64, steps=steps),), save=False, **changes)


def until(happened) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it was never counted"
        time.sleep(0.01)


def run(counted, wanted: GenerationRequest) -> str:
    """Run a job to its end, and wait until the counters have seen it."""
    service, counters = counted
    job_id = service.submit(wanted)
    service.wait(job_id, PATIENCE)
    until(lambda: job_id in counters._over)
    return job_id


def test_a_job_is_counted_once_with_its_pictures_and_times(counted):
    counters = counted[1]
    ended, made, waits = counters.ended.total("generate", "done"), counters.pictures.total("generate"), 0
    waits = counters.wait.count()
    run(counted, request(batch_size=2, count=2))
    assert counters.ended.total("generate", "done") == ended + 1
    assert counters.pictures.total("generate") == made + 4
    assert counters.wait.count() == waits + 1
    assert counters.duration.count("generate") >= 1


def test_the_steps_of_a_job_are_counted_with_their_seconds(counted):
    counters = JobCounters(counted[0])
    unsubscribe = counted[0].subscribe(counters._look)  # at once: steps before the first look are not counted
    run(counted, request(steps=9))
    unsubscribe()
    assert counters.steps.count() == 8  # between the first and the last that the engine tells of
    assert float(counters.metrics.text().split("emulsion_step_seconds_sum ")[1].split()[0]) > 0


def test_steps_that_went_by_between_two_looks_have_their_mean_duration(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, time=time.time, now=100.0)
    monkeypatch.setattr(module, "time", clock)
    view = JobView("a", "running", "txt2img", "", request(), time.time(), stage="sample", steps=9)
    views = iter([replace(view, step=step) for step in (2, 3, 7)])
    counters = JobCounters(SimpleNamespace(job=lambda job_id: next(views), status=lambda: ServiceStatus("busy", 0)))
    for seconds in (0.0, 0.5, 2.0):
        clock.now += seconds
        counters._look("a")
    text = counters.metrics.text()
    assert "emulsion_step_seconds_count 5" in text and "emulsion_step_seconds_sum 2.5" in text
    assert 'emulsion_step_seconds_bucket{le="0.5"} 5' in text


def test_failures_are_counted_by_the_kind_of_error(counted):
    counters = counted[1]
    run(counted, request("wrong"))
    run(counted, request("bug"))
    assert counters.failures.total("InvalidRequest") == 1 and counters.failures.total("ValueError") == 1
    assert counters.ended.total("generate", "failed") == 2


def test_a_made_up_name_of_an_error_adds_no_series():
    assert known_error("WorkerLost") == "WorkerLost" and known_error("KeyError") == "KeyError"
    assert known_error("Error of prompt: a cat") == "other" and known_error(None) == "other"


def test_another_task_is_counted_under_its_name(counted):
    service, counters = counted
    job_id = service.submit_task("unload", {})
    service.wait(job_id, PATIENCE)
    until(lambda: counters.ended.total("unload", "done") == 1)
    assert counters.submitted.total("unload") == 1


def test_a_late_change_of_a_job_does_not_count_it_again(counted):
    service, counters = counted
    job_id = run(counted, request())
    ended = counters.ended.total("generate", "done")
    service._changes.announce(job_id)
    run(counted, request())  # the announcement has been looked at before this job
    assert counters.ended.total("generate", "done") == ended + 1


def test_what_happened_last_is_counted_before_the_queue_is_closed(tmp_path, monkeypatch):
    service, gate = JobService({}, tmp_path, FAKE), threading.Event()
    counters = JobCounters(service)
    look = counters._look
    monkeypatch.setattr(counters, "_look", lambda job_id: gate.wait() and look(job_id))
    counters.start()
    service.start()
    assert service.wait(service.submit(request()), PATIENCE).state == "done"

    def last() -> None:
        gate.set()
        counters.close(PATIENCE)

    service.stop(2, last)
    assert counters.ended.total("generate", "done") == 1 and counters.pictures.total("generate") == 1


def test_the_log_tells_of_a_jobs_life_without_its_prompt(counted, caplog):
    caplog.set_level(logging.INFO, "webui")
    job_id = run(counted, request("a very secret garden"))
    lines = [record for record in caplog.records if job_id in record.getMessage()]
    assert [record.getMessage().split()[2].rstrip(":") for record in lines] == ["waits", "begins", "is"]
    assert "done" in lines[-1].getMessage() and all(record.fields["job"] == job_id for record in lines)
    assert "garden" not in caplog.text


def test_prompts_are_in_the_log_where_they_were_asked_for(tmp_path, caplog):
    caplog.set_level(logging.INFO, "webui")
    service = JobService({}, tmp_path, FAKE)
    counters = JobCounters(service, log_prompts=True)
    counters.start()
    job_id = service.submit(request("a very public garden"))  # it only waits
    until(lambda: any(getattr(record, "fields", {}).get("job") == job_id for record in caplog.records))
    counters.close()
    service.stop(0)
    told = next(record.fields for record in caplog.records if getattr(record, "fields", {}).get("job") == job_id)
    assert told["prompt"] == "a very public garden"
