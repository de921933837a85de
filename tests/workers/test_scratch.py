"""Unsaved pictures stay for hours, as long as there is room, and go in the order in which their jobs were over."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.workers import scratch as room
from webui.workers.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "unsaved")


def make(scratch: Scratch, job: str, size: int) -> Path:
    """A job that leaves a picture, and is over."""
    picture = scratch.folder_of(job) / "pictures" / "1.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(bytes(size))
    scratch.end(job)
    return picture


def test_thousands_are_kept_where_there_is_room(scratch: Scratch) -> None:
    pictures = [make(scratch, f"job{number}", 10) for number in range(2500)]
    assert all(picture.is_file() for picture in pictures)


def test_the_oldest_go_when_there_is_no_more_room(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = sum(path.stat().st_size for path in make(scratch, "probe", 0).parents[1].rglob("*"))
    scratch.clear()
    monkeypatch.setattr(room, "KEEP_BYTES", 3 * (folders + 1000))
    pictures = [make(scratch, f"job{number}", 1000) for number in range(5)]
    assert [picture.is_file() for picture in pictures] == [False, False, True, True, True]
    assert not scratch.folder_of("job0").exists()


def test_old_ones_go_when_another_job_is_over_even_one_that_left_nothing(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(room.time, "time", lambda: now)
    first = make(scratch, "first", 10)
    now += room.KEEP_SECONDS - 1
    second = make(scratch, "second", 10)
    assert first.is_file()
    now += 2
    scratch.end("third")
    assert not first.exists() and second.is_file()


def test_all_go_at_the_start_and_at_the_end(scratch: Scratch) -> None:
    make(scratch, "job", 10)
    Scratch(scratch.folder)
    assert not scratch.folder.exists()
    picture = make(scratch, "another", 10)
    scratch.clear()
    assert not picture.exists()
