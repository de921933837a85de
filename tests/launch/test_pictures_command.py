"""`pictures info` says in a terminal what is in pictures of any program."""

from __future__ import annotations

import json
from pathlib import Path

from tests.exchange import samples
from tests.exchange.graphs import DEFAULT
from tests.exchange.writers import png
from webui.cli import main


def test_pictures_are_told_as_infotexts_with_what_was_left_out(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(png({"invokeai_metadata": json.dumps(samples.INVOKEAI_3)}))
    assert main(["pictures", "info", str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out
    assert "a.png: PNG, 64×48, InvokeAI" in out and "Steps: 33, Sampler: DPM++ 2M, Schedule type: Karras" in out
    assert "not translated: controlnets" in out


def test_as_json_a_workflow_file_is_one_object(tmp_path: Path, capsys) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(DEFAULT))
    assert main(["pictures", "info", str(tmp_path / "flow.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["program"] == "ComfyUI" and found["request"]["passes"][0]["steps"] == 23


def test_a_picture_that_says_nothing_gives_1_and_one_that_is_none_an_error(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(png({"Author": "me"}))
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert main(["pictures", "info", str(tmp_path / "a.png")]) == 1
    assert "Author: me" in capsys.readouterr().out
    assert main(["pictures", "info", str(tmp_path / "b.png")]) == 1
    assert "cannot be read as a picture" in capsys.readouterr().err
    assert main(["pictures", "info", str(tmp_path / "c.png")]) == 1


def test_a_text_cannot_give_orders_to_the_terminal(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(
        png({"Author": "me\x1b]0;gone\x07", "parameters": "灯塔\x1b[2J"}, international=True)
    )
    main(["pictures", "info", str(tmp_path / "a.png")])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "灯塔" in out


def test_one_file_that_is_no_picture_does_not_hide_what_the_others_say(tmp_path: Path, capsys) -> None:
    said = "Postprocess upscale to: 64x64, Postprocess crop to: 64x64, Postprocess upscaler: Lanczos"
    (tmp_path / "good.png").write_bytes(png({"parameters": samples.A1111, "postprocessing": said}))
    (tmp_path / "bad.png").write_bytes(b"")
    assert main(["pictures", "info", str(tmp_path / "bad.png"), str(tmp_path / "good.png")]) == 1
    printed = capsys.readouterr()
    assert "is empty" in printed.err and "bad.png" in printed.err
    assert "a lighthouse" in printed.out and said in printed.out
