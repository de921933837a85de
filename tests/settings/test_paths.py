"""Where things lie: our folders, those of older programs, and the starter's."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.paths import MODEL_FOLDERS, PROGRAM, Paths, make_paths


def test_without_options_all_lies_beside_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMULSION_DATA_DIR", raising=False)
    paths = make_paths()
    assert (paths.data, paths.models, paths.outputs) == (PROGRAM / "data", PROGRAM / "models", PROGRAM / "outputs")


def test_a_data_folder_holds_models_and_outputs_too(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    assert (paths.settings_file, paths.models) == (tmp_path / "settings.json", tmp_path / "models")
    assert paths.outputs == tmp_path / "outputs"


def test_the_data_folder_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULSION_DATA_DIR", str(tmp_path))
    assert make_paths().data == tmp_path


def test_the_folders_of_an_older_program_are_found(tmp_path: Path) -> None:
    for name in ("Stable-diffusion", "Lora", "VAE"):
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "embeddings").mkdir()
    paths = Paths(models=tmp_path / "models", program=tmp_path / "nowhere")
    assert paths.folders("checkpoints") == (tmp_path / "models" / "Stable-diffusion",)
    assert paths.folders("loras") == (tmp_path / "models" / "Lora",)
    assert paths.folders("embeddings") == (tmp_path / "embeddings",)


def test_folders_given_by_option_come_first_and_each_is_searched_once(tmp_path: Path) -> None:
    (tmp_path / "models" / "loras").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "same").symlink_to(tmp_path / "mine")
    extra = {"loras": (str(tmp_path / "mine"), str(tmp_path / "same"), str(tmp_path / "gone"))}
    paths = make_paths(tmp_path, extra=extra)
    assert paths.folders("loras") == (tmp_path / "mine", tmp_path / "models" / "loras")


def test_the_starter_is_found_wherever_the_models_lie(tmp_path: Path) -> None:
    (tmp_path / "program" / "models" / "starter").mkdir(parents=True)
    paths = Paths(models=tmp_path / "elsewhere", program=tmp_path / "program")
    assert paths.folders("checkpoints") == (paths.starter,)


@pytest.mark.parametrize("kind", MODEL_FOLDERS)
def test_a_models_folder_that_is_empty_gives_no_folders(kind: str, tmp_path: Path) -> None:
    assert Paths(models=tmp_path / "a" / "models", program=tmp_path).folders(kind) == ()
