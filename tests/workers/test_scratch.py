"""Pictures that were not to be saved are kept for a while, and not for ever."""

from __future__ import annotations

import os
import time

from webui.workers.scratch import KEEP_JOBS, KEEP_SECONDS, Scratch


def fill(scratch: Scratch, count: int) -> None:
    """So many jobs with a picture, the first one the oldest."""
    for number in range(count):
        folder = scratch.folder_of(f"job {number}")
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(b"picture")
        os.utime(folder, (time.time() - count + number,) * 2)


def test_the_oldest_go_when_there_are_too_many(tmp_path):
    scratch = Scratch(tmp_path / "unsaved")
    fill(scratch, KEEP_JOBS + 3)
    scratch.prune()
    assert not any(scratch.folder_of(f"job {number}").exists() for number in range(3))
    assert len(list(scratch.folder.iterdir())) == KEEP_JOBS


def test_the_old_go_whatever_their_number_and_all_go_at_the_start(tmp_path):
    scratch = Scratch(tmp_path / "unsaved")
    fill(scratch, 3)
    os.utime(scratch.folder_of("job 0"), (time.time() - KEEP_SECONDS - 1,) * 2)
    scratch.prune()
    assert sorted(path.name for path in scratch.folder.iterdir()) == ["job 1", "job 2"]
    assert not Scratch(scratch.folder).folder.exists()
