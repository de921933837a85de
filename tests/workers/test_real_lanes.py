"""The starter checkpoint through one worker and through two that divide the cores."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import Settings
from webui.workers.plain import WorkerSettings, lanes, to_plain
from webui.workers.service import JobService

WANTED = GenerationRequest(
    prompt="a red apple on a table", seed=4, passes=(Pass(width=128, height=128, steps=2),), save=False
)


def pictures(folder: Path, workers: int) -> list[str]:
    """The bytes of one picture a worker, made at the same time."""
    paths = Paths(folder / "data", folder / "models", folder / "outputs")
    plain = to_plain(WorkerSettings(Settings(paths), "cpu", extensions=False))
    service = JobService(plain, paths.data, lanes=lanes("cpu", workers))
    service.start()
    try:
        service.load(None)
        with service._changes.lock:  # the first is not over before the last is there
            ids = [service.submit(WANTED, client=f"{number}") for number in range(workers)]
            assert len(service.running()) == workers
        views = [service.wait(job, 600) for job in ids]
        assert [view.state for view in views] == ["done"] * workers, [view.error for view in views]
        return [hashlib.sha256(Path(view.results[0].path).read_bytes()).hexdigest() for view in views]
    finally:
        service.stop(2)


@pytest.mark.slow
def test_two_workers_make_the_very_pictures_of_one(tmp_path):
    assert pictures(tmp_path / "two", 2) == pictures(tmp_path / "one", 1) * 2
