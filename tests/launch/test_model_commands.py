"""Fetching and merging from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.files import write_lora
from tests.engine.conftest import write_checkpoint
from tests.library.file_server import FileServer
from webui import cli


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number, name in enumerate(("one", "two")):
        write_checkpoint(tmp_path / "models" / "checkpoints" / f"{name}.safetensors", number)
    return tmp_path


def test_a_file_is_fetched_into_the_folder_of_its_kind(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    server = FileServer()
    data = write_lora(home / "film.safetensors").read_bytes()
    server.serve("/film.safetensors", data)
    line = ["models", "download", f"{server.url}/film.safetensors", "--kind", "lora", "--data-dir", str(home), "--json"]
    assert cli.main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(home / "models" / "loras" / "film.safetensors") and told["size"] == len(data)
    assert cli.main([*line, "--sha256", "0" * 64]) == 1
    assert "SHA-256" in json.loads(capsys.readouterr().out)["error"]
    server.close()


def test_checkpoints_are_merged_by_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["models", "merge", "one", "two", "--alpha", "0.25", "--precision", "fp32", "--out", "both"]
    line += ["--data-dir", str(home), "--json"]
    assert cli.main(line) == 0
    path = json.loads(capsys.readouterr().out)["path"]
    assert path == str(home / "models" / "checkpoints" / "both.safetensors") and Path(path).is_file()
    assert cli.main(line) == 2
    assert "already" in json.loads(capsys.readouterr().out)["error"]


def test_the_method_follows_from_the_number_of_models(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "merge", "one", "--out", "half", "--data-dir", str(home)]) == 0
    half = Path(capsys.readouterr().out.strip())
    assert half.stat().st_size < (half.parent / "one.safetensors").stat().st_size * 0.6


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("models download", 2, "0 addresses"),
        ("models download a b", 2, "2 addresses"),
        ("models download a/b --kind nonsense", 2, "no kind of model"),
        ("models merge one two", 2, "no name"),
        ("models merge one two --out x --method magic", 2, "no merge method"),
        ("models merge one three --out x", 1, "three"),
        ("models inspect", 2, "0 files"),
    ],
)
def test_what_does_not_fit_is_told_in_words(
    home: Path, capsys: pytest.CaptureFixture[str], line: str, code: int, words: str
) -> None:
    assert cli.main([*line.split(), "--data-dir", str(home)]) == code
    assert words in capsys.readouterr().err
