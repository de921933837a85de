"""Jobs other than making pictures from a request: the seam, with a task that counts."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from webui.errors import InvalidRequest
from webui.request import GenerationRequest
from webui.workers import tasks
from webui.workers.queue import JobQueue
from webui.workers.service import JobService


@pytest.fixture
def service(tmp_path, monkeypatch):
    known = tasks.Registry("task")
    known.register("counting")("tests.workers.counting")
    monkeypatch.setattr(tasks, "TASKS", known)
    service = JobService({}, tmp_path, engine="tests.workers.fake_engine:engine")
    service.start()
    yield service
    service.stop(2)


def test_a_task_runs_in_the_queue_and_says_what_came_of_it(service):
    view = service.wait(service.submit_task("counting", {"steps": 4}, client="me"), 120)
    assert (view.state, view.task, view.tab, view.client) == ("done", "counting", "counting", "me")
    assert view.outcome["counted"] == 4 and view.values == {"steps": 4}
    assert view.request == GenerationRequest()


def test_a_task_can_be_interrupted(service):
    job = service.submit_task("counting", {"steps": 5000})
    while service.job(job).step == 0:
        time.sleep(0.01)
    assert service.interrupt(job)
    assert service.wait(job, 120).state == "cancelled"


def test_wrong_values_are_refused_at_the_door(service):
    with pytest.raises(InvalidRequest, match="whole number"):
        service.submit_task("counting", {"steps": "many"})
    with pytest.raises(InvalidRequest, match="no task named 'cooking'"):
        service.submit_task("cooking", {})
    assert service.jobs() == []


def test_a_queue_of_an_older_version_is_read(tmp_path):
    path = tmp_path / "queue.sqlite"
    queue = JobQueue(path)
    old = queue.add("{}")
    for column in ("task", "outcome"):
        queue._connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    queue.close()
    again = JobQueue(path)
    assert (again.get(old).task, again.get(old).outcome) == ("generate", {})
    again.close()


def test_no_task_loads_torch_before_it_runs():
    code = (
        "import sys, webui.workers.tasks as tasks\n"
        "for name in tasks.TASKS.names(): tasks.task(name).check\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
