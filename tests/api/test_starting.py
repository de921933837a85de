"""Starts under bad conditions (R22): without a network, a home, a log file, a place to write."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest

from tests.api.started import REAL, complaints, server
from webui.app import serve
from webui.errors import FileError
from webui.logs import LogOptions
from webui.paths import Paths, StartOptions


def test_nothing_is_asked_of_the_network_by_the_whole_program(tmp_path):
    """Page, real worker, no GPU: every look-up of a name and every connection would be written down and refused."""
    options = "nowebui=False, device='cpu', offline=True"
    with server(tmp_path, options, engine=REAL) as running:
        assert httpx.get(f"{running.address}/", timeout=120).status_code == 200
        assert httpx.get(f"{running.address}/sdapi/v1/samplers", timeout=120).status_code == 200
        assert httpx.get(f"{running.address}/readyz", timeout=120).status_code == 200
        assert running.stop() == 0
    assert "REACHED" not in complaints(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="folders that nobody can write, of Linux")
def test_a_home_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    """All of its files lie in the data folder; libraries that look for a cache at home find none."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "/proc/self/nowhere")
    with server(tmp_path, "nowebui=False") as running:
        assert httpx.get(f"{running.address}/", timeout=120).status_code == 200
        assert running.stop() == 0
    assert "Traceback" not in complaints(tmp_path)


def test_a_log_file_that_cannot_be_written_ends_the_start_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    log = LogOptions(file=tmp_path / "file" / "server.log")
    with pytest.raises(FileError, match="--log-file"):
        serve(StartOptions(paths=Paths(tmp_path / "data"), nowebui=True, log=log))


@pytest.mark.skipif(os.name == "nt", reason="a folder that nobody can write, of Linux")
def test_a_cache_that_cannot_be_written_is_told_by_its_folder(tmp_path):
    """The page's cache is a file here, so that no folder can be made."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "page-cache").write_text("")
    with pytest.raises(FileError, match=r"page-cache.*--data-dir"):
        serve(StartOptions(paths=Paths(data, tmp_path, tmp_path), extensions=False), "tests.workers.fake_engine:engine")


def test_the_log_of_both_processes_is_json_and_holds_no_prompt(tmp_path):
    log = f"log=LogOptions('json', file=Path({str(tmp_path / 'server.log')!r}), access=True)"
    hook = "from webui.logs import LogOptions\n"
    with server(tmp_path / "home", f"nowebui=True, {log}", hook) as running:
        body = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}
        for prompt, status in (("a secret garden", 200), ("bug", 500)):
            answer = httpx.post(f"{running.address}/sdapi/v1/txt2img?token=hunter2", json={**body, "prompt": prompt})
            assert answer.status_code == status
        error_id = answer.json()["errors"].rpartition("error ")[2].rstrip(".")
        assert running.stop() == 0
    text = Path(tmp_path / "server.log").read_text("utf-8")
    assert "secret garden" not in text and "hunter2" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    access = [line for line in lines if line["logger"] == "webui.api.traffic" and line["route"].endswith("txt2img")]
    failed = next(line for line in lines if line.get("error") == error_id and "traceback" in line)
    assert [line["status"] for line in access] == [200, 500] and failed["job"] == access[1]["job"]
    assert {line["message"].split()[-1] for line in lines if line.get("job") == failed["job"]} >= {"begins"}
