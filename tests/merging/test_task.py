"""The job finds files by name and puts the result among the user's checkpoints."""

import json
from types import SimpleNamespace

import pytest

from webui.errors import Cancelled, InvalidRequest, NotFound
from webui.paths import Paths
from webui.weights.header import read_header
from webui.workers.tasks import TaskJob, merge, task
from webui.workers.worker import Control

VALUES = {"method": "Weighted sum", "models": ["narrow", "other"], "name": "both", "alpha": 0.25}


@pytest.fixture
def job(session, tmp_path):
    """A job that keeps what it reports in `job.said`."""
    said = []
    job = TaskJob(session, lambda kind, blob=b"", **values: said.append((kind, values)), Control(), tmp_path)
    yield SimpleNamespace(job=job, said=said, control=job.control)
    (session.settings.paths.models / "checkpoints" / "both.safetensors").unlink(missing_ok=True)


def test_the_task_is_known_by_its_name():
    assert task("merge") is merge
    assert merge.check(VALUES)["precision"] == "fp16"
    with pytest.raises(InvalidRequest, match="takes 2"):
        task("merge").check({**VALUES, "models": ["narrow"]})


def test_the_result_is_a_checkpoint_that_knows_what_it_was_made_of(job, session):
    merge.run(merge.check(VALUES), job.job)
    kinds = [kind for kind, _ in job.said]
    assert "progress" in kinds and kinds[-1] == "outcome"
    found = session.catalogue.find("both")
    assert job.said[-1][1]["values"] == {"path": str(found.path), "name": "both.safetensors"}
    told = json.loads(read_header(found.path).metadata["sd_merge_models"])
    hashes = {session.catalogue.sha256(session.catalogue.find(name)) for name in ("narrow", "other")}
    assert set(told) == hashes and all(len(model["legacy_hash"]) == 8 for model in told.values())


def test_a_name_that_is_taken_or_unknown_is_told_before_any_work(job):
    with pytest.raises(InvalidRequest, match="already"):
        merge.run(merge.check({**VALUES, "name": "narrow"}), job.job)
    with pytest.raises(NotFound, match="narow"):
        merge.run(merge.check({**VALUES, "models": ["narow", "other"]}), job.job)
    with pytest.raises(NotFound, match="LoRA"):
        merge.run(merge.check({**VALUES, "loras": ["nothing:1"]}), job.job)
    assert not [kind for kind, _ in job.said if kind == "outcome"]


def test_an_interrupted_job_leaves_no_file(job, session):
    job.control.interrupted.set()
    with pytest.raises(Cancelled):
        merge.run(merge.check(VALUES), job.job)
    assert not [p.name for p in (session.settings.paths.models / "checkpoints").iterdir() if "both" in p.name]


def test_new_files_go_into_the_folder_that_the_user_has(tmp_path):
    paths = Paths(tmp_path, tmp_path / "models", tmp_path / "outputs", {}, tmp_path / "program")
    assert paths.new_folder("checkpoints") == tmp_path / "models" / "checkpoints"
    (tmp_path / "models" / "Stable-diffusion").mkdir(parents=True)
    assert paths.new_folder("checkpoints").name == "Stable-diffusion"
    (tmp_path / "mine").mkdir()
    own = Paths(tmp_path, tmp_path / "models", extra={"checkpoints": (tmp_path / "mine",)})
    assert own.new_folder("checkpoints") == tmp_path / "mine"
