"""What watchers ask: /healthz, /readyz, /metrics. The witness of the format is Prometheus' own parser."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.api.conftest import make_house
from tests.api.started import until
from webui.api.application import guarded
from webui.api.door import HostNames
from webui.api.traffic import Traffic
from webui.request import GenerationRequest, Pass
from webui.workers.counters import JobCounters

BODY = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 2, "prompt": "a secret prompt"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A house with everything that counts."""
    house = make_house(tmp_path_factory.mktemp("house"))
    counters = JobCounters(house.service, house.context.metrics)
    counters.start()
    house.service.start()
    house.service.names("samplers")
    around = Traffic(guarded(house.app, HostNames()), house.context.metrics, access_log=True)
    house.client = TestClient(around, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)
    yield house
    house.service.stop(2)
    counters.close()


def families(client) -> dict:
    """Metrics by name, as Prometheus reads them."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(found: dict, family: str, sample: str = "", **labels: str) -> float:
    name = sample or family
    wanted = [one.value for one in found[family].samples if one.name == name and labels.items() <= one.labels.items()]
    return sum(wanted)


def test_the_web_process_says_that_it_answers(watched):
    answer = watched.client.get("/healthz")
    assert answer.status_code == 200 and answer.json() == {"status": "ok"}


def test_it_is_ready_when_the_worker_is_up(watched):
    assert watched.client.get("/readyz").json() == {"status": "ready"}


def test_it_is_not_ready_before_the_worker_is_and_says_why(tmp_path):
    house = make_house(tmp_path)
    answer = house.client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["status"] == "unready" and "Retry-After" in answer.headers
    assert house.client.get("/healthz").status_code == 200
    house.service.stop(0)


def test_it_is_not_ready_once_it_is_told_to_end(tmp_path):
    house = make_house(tmp_path)
    house.service.start()
    house.service.names("samplers")
    assert house.client.get("/readyz").status_code == 200
    house.service.drain()
    answer = house.client.get("/readyz")
    assert answer.status_code == 503 and "end" in answer.json()["detail"]
    house.service.stop(2)


def test_it_is_not_ready_while_the_queue_is_full(tmp_path):
    house = make_house(tmp_path)
    house.context.change_settings({"queue_limit": 1})
    house.service.start()
    house.service.names("samplers")
    long = GenerationRequest("held", passes=(Pass(width=64, height=64, steps=500),), save=False)
    running = house.service.submit(long)
    version = 0
    while house.service.job(running).state == "waiting":
        version = house.service.wait_change(version, 5)
    waiting = house.service.submit(long)
    answer = house.client.get("/readyz")
    assert answer.status_code == 503 and "queue is full" in answer.json()["detail"]
    house.service.interrupt(waiting)
    assert house.client.get("/readyz").status_code == 200
    house.service.stop(2)


def test_the_metrics_can_be_read_and_hold_what_was_promised(watched):
    watched.client.post("/sdapi/v1/txt2img", json=BODY)
    done = {"task": "generate", "state": "done"}  # a thread of its own counts, behind the answer
    until(lambda: value(families(watched.client), "emulsion_jobs_ended", "emulsion_jobs_ended_total", **done) >= 1)
    found = families(watched.client)
    assert value(found, "emulsion_pictures", "emulsion_pictures_total") >= 1
    for name in ("job_wait", "job", "step", "load"):
        assert found[f"emulsion_{name}_seconds"].type == "histogram", name
    assert value(found, "process_resident_memory_bytes") > 1e7
    assert value(found, "emulsion_worker_memory_bytes") > 0
    assert value(found, "emulsion_jobs_waiting") == 0 and "emulsion_graphics_memory_bytes" in found
    assert value(found, "emulsion_worker_state", state="idle") == 1
    assert found["emulsion_worker_restarts"].type == "counter"
    assert value(found, "emulsion_build_info") == 1
    units = ("_seconds", "_bytes", "_info", "_total")
    plain = ("emulsion_jobs_waiting", "emulsion_jobs_running", "emulsion_worker_state", "process_threads")
    for family in found.values():
        assert family.documentation and (
            family.name.endswith(units) or family.type == "counter" or family.name in plain
        )


def test_requests_are_counted_by_the_template_of_their_route(watched):
    for number in range(3):
        watched.client.get(f"/controlnot/{number}")
    watched.client.get("/sdapi/v1/options")
    watched.client.get("/sdapi/v1/options", headers={"host": "evil.com"})
    found, name = families(watched.client), "emulsion_http_requests_total"
    family = "emulsion_http_requests"
    assert value(found, family, name, route="/sdapi/v1/options", method="GET", status="2xx") >= 1
    assert value(found, family, name, route="none", status="4xx") >= 4  # no such route, and one refused at the door
    assert value(found, "emulsion_http_request_seconds", "emulsion_http_request_seconds_count", route="/healthz") >= 1
    text = watched.client.get("/metrics").text
    assert "controlnot" not in text and "evil" not in text and "secret" not in text


def test_a_made_up_method_adds_no_series(watched):
    watched.client.request("SECRETMETHOD", "/sdapi/v1/options")
    assert "SECRETMETHOD" not in watched.client.get("/metrics").text


def test_an_error_that_nobody_expected_is_answered_with_the_id_that_the_log_has(watched, caplog):
    @watched.app.get("/test-bug")
    def bug() -> None:
        raise ZeroDivisionError("in the middle")

    answer = watched.client.get("/test-bug")
    assert answer.status_code == 500
    error_id = answer.json()["errors"].rpartition("error ")[2].rstrip(".")
    record = next(record for record in caplog.records if record.exc_info)
    assert len(error_id) == 8 and record.fields["error"] == error_id and "in the middle" not in answer.text


def test_a_job_with_a_bug_tells_the_id_of_the_log(watched):
    answer = watched.client.post("/sdapi/v1/txt2img", json={**BODY, "prompt": "bug"})
    assert answer.status_code == 500 and "The log has the details, error " in answer.json()["errors"]


def test_an_access_line_has_route_status_and_job_but_no_question(watched, caplog):
    caplog.set_level(logging.INFO, "webui.api.traffic")
    watched.client.get("/sdapi/v1/progress?token=hunter2&skip_current_image=true")
    watched.client.post("/sdapi/v1/txt2img", json=BODY)
    asked, made = [record for record in caplog.records if record.name == "webui.api.traffic"]
    assert asked.fields["route"] == "/sdapi/v1/progress" and asked.fields["status"] == 200
    assert asked.fields["milliseconds"] >= 0 and asked.fields["client"] == "testclient"
    assert "hunter2" not in json.dumps(asked.fields) + asked.getMessage()
    assert watched.service.job(made.fields["job"]).state == "done"
    assert "secret" not in json.dumps(made.fields) + made.getMessage()


def test_the_web_process_answers_while_every_thread_of_its_pool_is_busy(watched):
    """/healthz needs no thread: a full pool must not look like a dead server."""
    release, entered = threading.Event(), threading.Semaphore(0)

    @watched.app.get("/test-hold")
    def hold() -> None:
        entered.release()
        release.wait(120)

    with TestClient(watched.client.app, base_url="http://127.0.0.1:7860") as client:
        callers = [threading.Thread(target=client.get, args=("/test-hold",)) for _ in range(40)]
        for caller in callers:
            caller.start()
        for _ in callers:
            assert entered.acquire(timeout=120)
        try:
            assert client.get("/healthz").status_code == 200
        finally:
            release.set()
            for caller in callers:
                caller.join()
