"""Scripts on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from webui import script_options
from webui.cli import parse
from webui.errors import InvalidRequest
from webui.request import GenerationRequest
from webui.workers.tasks import script as task


def made(monkeypatch: pytest.MonkeyPatch, picture: Path, *given: str, failed: int = 0) -> int:
    """The exit code of a script whose job makes one sheet and nothing else."""

    def run(values: dict[str, Any], job: Any) -> None:
        facts = {"sheet": "xyz_grid"}
        job.report("picture", path=str(picture), seed=3, width=8, height=8, infotext="a cat", saved=False, facts=facts)
        told = {"path": "/nowhere", "seed": 3, "width": 8, "height": 8, "infotext": "", "saved": False}
        job.report("picture", **told, facts={"sheet": "loopback", "usual": True})  # left out: nobody wants it saved
        job.report("outcome", values={"cells": 2, "made": 2 - failed, "failed": failed, "work": 1.0, "seconds": 1.0})

    monkeypatch.setattr(task, "run", run)
    picture.write_bytes(b"a picture")
    options = parse(["generate", "--script", "x/y/z plot", "--script-arg", "x_values=1,2", *given])
    session: Any = SimpleNamespace(settings={"save_grids": False})
    return script_options.run_script(options, GenerationRequest(), session, 0.0)


def test_the_list_names_all_scripts_and_what_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse(["generate", "--script", "list"])
    assert options.run(options) == 0
    said = capsys.readouterr().out
    assert "X/Y/Z plot (txt2img, img2img)" in said and "denoising_curve=Linear" in said


def test_arguments_are_read_in_their_kinds() -> None:
    found = script_options.read_arguments("xyz", ["x_type=steps", "x_values=a=b", "margin_size=4", "draw_legend=false"])
    assert (found["x_type"], found["x_values"], found["margin_size"], found["draw_legend"]) == (
        "Steps",
        "a=b",
        4,
        False,
    )
    for wrong in (["x_type"], ["colour=red"], ["margin_size=wide"]):
        with pytest.raises(InvalidRequest):
            script_options.read_arguments("xyz", wrong)


def test_pictures_go_into_the_folder_that_out_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(monkeypatch, tmp_path / "picture.png", "--out", str(tmp_path / "out")) == 0
    (printed,) = capsys.readouterr().out.split()
    assert Path(printed) == tmp_path / "out" / "0000-xyz_grid.png"
    assert Path(printed).read_bytes() == b"a picture"
    with pytest.raises(InvalidRequest, match="A folder"):
        made(monkeypatch, tmp_path / "picture.png", "--out", str(tmp_path / "out.png"))


def test_a_failed_cell_shows_in_the_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert made(monkeypatch, tmp_path / "picture.png", "--json", failed=1) == 1


def test_a_folder_script_needs_no_picture_to_start_from() -> None:
    from webui.scripts import ONE_PIXEL, with_place_for_pictures

    step = with_place_for_pictures(GenerationRequest()).passes[0]
    assert (step.source, step.image) == ("image", ONE_PIXEL)
    assert isinstance(parse(["generate"]), argparse.Namespace)
