"""`extras` on the command line."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from webui.cli import main
from webui.imaging.metadata import read_metadata, save_picture


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        save_picture(
            Image.linear_gradient("L").resize((24, 16)).convert("RGB"), tmp_path / "in" / f"{name}.png", "a cat"
        )
    return tmp_path


def run(folder, *arguments):
    return main(["extras", *map(str, arguments), "--data-dir", str(folder / "data"), "--device", "cpu"])


def test_pictures_of_a_folder_are_enlarged_into_another(folder, capsys):
    code = run(folder, folder / "in", "--upscaler", "lanczos", "--scale", 3, "--out", folder / "out")
    assert code == 0
    assert capsys.readouterr().out.split() == [str(folder / "out" / "a.png"), str(folder / "out" / "b.png")]
    assert Image.open(folder / "out" / "a.png").size == (72, 48)


def test_of_a_folder_every_kind_of_picture_is_taken_and_no_hidden_one(folder, capsys):
    (folder / "in" / "._a.png").write_bytes(b"what macOS leaves on other disks")
    Image.new("L", (8, 8)).save(folder / "in" / "c.gif")
    assert run(folder, folder / "in", "--upscaler", "lanczos", "--out", folder / "out") == 0
    assert [path.rpartition("/")[2] for path in capsys.readouterr().out.split()] == ["a.png", "b.png", "c.png"]


def test_without_out_they_go_to_the_outputs_and_json_tells_what_was_done(folder, capsys):
    size = ("--width", 20, "--height", 20)
    assert run(folder, folder / "in" / "a.png", "--upscaler", "Nearest", *size, "--json") == 0
    (picture,) = json.loads(capsys.readouterr().out)["images"]
    assert picture["path"].startswith(str(folder / "data" / "outputs" / "extras"))
    assert (picture["width"], picture["height"], picture["infotext"]) == (20, 20, "a cat")
    assert picture["postprocessing"].startswith("Postprocess upscale to: 20x20")


def test_a_file_that_out_names_is_written_over_in_its_own_format(folder, capsys):
    target = folder / "new" / "big.webp"
    for scale in (2, 4):
        assert run(folder, folder / "in" / "a.png", "--upscaler", "Nearest", "--scale", scale, "--out", target) == 0
    assert capsys.readouterr().out.split() == [str(target)] * 2
    found = read_metadata(target)
    assert (found.format, found.width) == ("WEBP", 96) and [file.name for file in target.parent.iterdir()] == [
        "big.webp"
    ]


def test_one_file_cannot_hold_several_pictures(folder, capsys):
    assert run(folder, folder / "in", "--out", folder / "one.png") == 2
    assert "there are 2 pictures" in capsys.readouterr().err


def test_a_damaged_picture_among_others_is_told_and_the_exit_code_is_1(folder, capsys):
    (folder / "in" / "c.png").write_bytes(b"nothing")
    assert run(folder, folder / "in", "--upscaler", "Nearest", "--out", folder / "out") == 1
    told = capsys.readouterr()
    assert len(told.out.split()) == 2 and told.err.startswith("c: ")


def test_a_wrong_upscaler_is_told_in_words(folder, capsys):
    assert run(folder, folder / "in", "--upscaler", "Lancsoz") == 1
    assert "no upscaler named 'Lancsoz'. Closest: Lanczos" in capsys.readouterr().err
