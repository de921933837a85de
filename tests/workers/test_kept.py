"""Finished cells of scripts where two workers run equal jobs at once."""

from __future__ import annotations

from webui.workers.kept import Kept

KEY = {"script": "X/Y/Z plot"}


def picture(folder, name: str) -> dict[str, str]:
    path = folder / f"{name}.png"
    path.write_bytes(name.encode())
    return {"path": str(path)}


def test_equal_jobs_at_the_same_time_share_neither_cells_nor_seeds(tmp_path):
    first, second = Kept(tmp_path / "kept", KEY), Kept(tmp_path / "kept", KEY)
    first.keep(0, [picture(tmp_path, "apple")])
    assert first.folder != second.folder and first.number != second.number
    assert second.pictures(0) is None
    second.done()
    second.close()
    assert first.pictures(0) is not None


def test_a_job_that_is_taken_up_again_finds_its_cells(tmp_path):
    first = Kept(tmp_path / "kept", KEY)
    first.keep(0, [picture(tmp_path, "apple")])
    first.close()
    again = Kept(tmp_path / "kept", KEY)
    assert again.pictures(0) is not None and again.number == first.number
    again.done()
    again.close()
    assert Kept(tmp_path / "kept", KEY).pictures(0) is None
