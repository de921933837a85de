"""The log: its two forms, what never gets into it, and records that come from a worker."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from webui import logs
from webui.errors import FileError
from webui.logs import LogOptions, bound, fields, private, report, set_up
from webui.request import GenerationRequest, Pass
from webui.workers.service import JobService
from webui.workers.worker import prompts_in

log = logging.getLogger("webui.test")
GARDEN = "a secret garden, (roses by night:1.2), <lora:hidden_name:1>"


@pytest.fixture
def write(tmp_path):
    """A function that sets the log up and gives what was written, one line each."""
    undone, file = [], tmp_path / "logs" / "server.log"
    private(())

    def begin(form: str = "json", hidden=(), **options):
        undone.append(set_up(LogOptions(form, file=file, **options), hidden))
        return lambda: file.read_text("utf-8").splitlines()

    yield begin
    private(())
    for undo in undone:
        undo()


def test_a_json_line_is_one_object_with_the_named_values(write):
    lines = write()
    with bound(job="abc", client="ann"):
        log.info("two\nlines", extra=fields(route="/x", status=200, nothing=None))
    (line,) = lines()
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "info",
        "logger": "webui.test",
        "message": "two\nlines",
        "job": "abc",
        "client": "ann",
        "route": "/x",
        "status": 200,
    }


def test_a_line_for_people_stays_one_line_whatever_is_in_it(write):
    lines = write("human")
    with bound(job="abc"):
        log.warning("a name: %s", "ann\n2026-01-01 12:00:00 ERROR forged \x1b[31m")
    (line,) = lines()
    assert "ann\\n2026" in line and "\\x1b" in line and line.endswith("[job abc]")


def test_what_is_bound_ends_with_its_block(write):
    lines = write()
    with bound(job="abc"):
        pass
    log.info("later")
    assert "job" not in json.loads(lines()[0])


def test_an_unexpected_error_has_an_id_and_its_traceback(write):
    lines = write()
    try:
        raise ZeroDivisionError("in the middle")
    except ZeroDivisionError as error:
        error_id = report(log, "it failed", error)
    told = json.loads(lines()[0])
    assert told["error"] == error_id and len(error_id) == 8 and error_id in told["message"]
    assert "ZeroDivisionError: in the middle" in told["traceback"] and told["level"] == "error"


@pytest.mark.parametrize("form", logs.FORMATS)
def test_prompts_stay_out_even_in_pieces_and_tracebacks(write, form):
    lines = write(form)
    private([GARDEN])
    log.info("cannot read %s", GARDEN)
    log.info("no LoRA named %r", "hidden_name")
    try:
        raise ValueError(f"wrong: {GARDEN!r} at roses by night")
    except ValueError as error:
        report(log, "it failed", error)
    text = "\n".join(lines())
    assert not [word for word in ("secret", "roses", "hidden_name") if word in text] and "***" in text


def test_prompts_are_there_where_they_were_asked_for(write):
    lines = write(prompts=True)
    private([GARDEN])
    log.info("cannot read %s", GARDEN)
    assert GARDEN in json.loads(lines()[0])["message"]


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Basic YW5uOmh1bnRlcjI=",
        "authorization=Bearer hunter2.hunter2",
        "GET /x?token=hunter2&x=1",
        "GET /x?access_token=hunter2",
        '{"password": "hunter2"}',
        "api_key: hunter2",
        "https://ann:hunter2@example.com/file",
        "cookie: hunter2",
        "the own-secret of the command line",
    ],
)
def test_secrets_are_hidden_in_whatever_form(write, line):
    lines = write(hidden=["own-secret"])
    log.info(line)
    log.info("as a value: %s", line)
    text = "\n".join(lines())
    assert "hunter2" not in text and "YW5u" not in text and "own-secret" not in text and "***" in text


def test_words_about_tokens_are_no_secrets(write):
    lines = write()
    log.info("75 tokens were counted, tokens of the prompt")
    assert "***" not in lines()[0]


def test_a_message_of_megabytes_is_cut(write):
    lines = write()
    log.info("x" * (4 << 20))
    assert len(lines()[0]) < 2 * logs.MOST_CHARACTERS


def test_a_sentence_that_does_not_fit_its_values_is_logged_all_the_same():
    record = logging.makeLogRecord({"msg": "%d pictures", "args": ("many",)})
    assert logs.Scrub().filter(record) and record.getMessage() == "%d pictures (TypeError)"


def test_libraries_are_heard_only_when_they_warn(write):
    lines = write(level="debug")
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("a warning")
    log.debug("ours")
    assert [json.loads(line)["message"] for line in lines()] == ["a warning", "ours"]


def test_the_file_is_bounded(write, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    write()
    for number in range(200):
        log.info("line %d %s", number, "x" * 100)
    files = list((tmp_path / "logs").iterdir())
    assert len(files) == logs.FILES_KEPT + 1 and all(file.stat().st_size <= 2000 for file in files)


def test_a_log_file_that_cannot_be_written_is_told_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="--log-file"):
        set_up(LogOptions(file=tmp_path / "file" / "server.log"))


def test_prompts_are_found_in_requests_however_deep():
    values = {"prompt": "a", "passes": [{"negative_prompt": "b", "sampler": "Euler"}], "request": {"prompt": "c"}}
    assert prompts_in(values) == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform == "win32", reason="the fake engine dies by a signal")
def test_what_a_worker_logs_reaches_the_log_of_the_web_process_with_its_job(tmp_path, write):
    lines = write()
    service = JobService({}, tmp_path / "data", "tests.workers.fake_engine:engine")
    service.start()
    try:
        job_id = service.submit(GenerationRequest(prompt="bug", passes=(Pass(width=64, height=64),), save=False))
        view = service.wait(job_id, 120)
    finally:
        service.stop(2)
    told = [json.loads(line) for line in lines() if "failed (error" in line]
    assert len(told) == 1 and told[0]["job"] == job_id and told[0]["level"] == "error"
    assert "ValueError: a ***" in told[0]["traceback"]  # the prompt was "bug", and so is what the engine says
    assert f"error {told[0]['error']}." in view.error


def test_a_worker_that_does_not_start_leaves_its_traceback_in_the_log(tmp_path, write):
    lines = write()
    service = JobService({"raise_at_start": True}, tmp_path / "data", "tests.workers.fake_engine:engine")
    service.start()
    version = 0
    while service.status().worker != "broken":
        version = service.wait_change(version, 10)
    service.stop(0)
    assert any("RuntimeError: no such device" in json.loads(line).get("traceback", "") for line in lines())
