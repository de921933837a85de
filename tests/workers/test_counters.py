"""What is counted while jobs run, and what the log says of them."""

from __future__ import annotations

import logging
import time

import pytest

from webui.request import GenerationRequest, Pass
from webui.workers.counters import JobCounters, known_error
from webui.workers.service import JobService

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
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "it was never counted"
        time.sleep(0.01)


def run(counted, wanted: GenerationRequest) -> str:
    """Run a job to its end, and wait until the counters have seen it."""
    service, counters = counted
    job_id = service.submit(wanted)
    service.wait(job_id, 20)
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
    counters = counted[1]
    before = counters.steps.count()
    run(counted, request(steps=9))
    assert counters.steps.count() - before in (7, 8, 9)  # the engine tells of nine, the last one may come with the end
    text = counters.metrics.text()
    total = float(text.split("emulsion_step_seconds_sum ")[1].split()[0])
    assert total / counters.steps.count() >= 0.02  # what the engine sleeps


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
    service.wait(job_id, 20)
    until(lambda: counters.ended.total("unload", "done") == 1)
    assert counters.submitted.total("unload") == 1


def test_a_late_change_of_a_job_does_not_count_it_again(counted):
    service, counters = counted
    job_id = run(counted, request())
    ended = counters.ended.total("generate", "done")
    service._changes.announce(job_id)
    run(counted, request())  # the announcement has been looked at before this job
    assert counters.ended.total("generate", "done") == ended + 1


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
