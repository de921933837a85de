"""Checkpoints are found in the model folders and by the names that users write."""

import hashlib
import os

import pytest

from webui.engine.catalogue import Catalogue, conflicting_hash
from webui.errors import NotFound
from webui.library.index import Library
from webui.paths import Paths

CONTENT = {
    "Stable-diffusion/portraits/red.safetensors": b"red",
    "checkpoints/blue.ckpt": b"blue",
    "top.safetensors": b"t",
}


def open_at(models, program=None, extra=(), file=None, **options):
    paths = Paths(
        models / "data", models, models / "outputs", {"checkpoints": tuple(extra)}, program or models / "none"
    )
    return Catalogue(Library(paths, file), **options)


def hash_all(catalogue):
    for file in catalogue.checkpoints():
        catalogue.sha256(file)


@pytest.fixture
def models(tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "VAE").mkdir()
    (tmp_path / "VAE" / "soft.vae.pt").write_bytes(b"vae")
    (tmp_path / "Lora").mkdir()
    (tmp_path / "Lora" / "style.safetensors").write_bytes(b"lora")
    (tmp_path / "Stable-diffusion" / "soft.vae.safetensors").write_bytes(b"vae beside a checkpoint")
    return tmp_path


def test_checkpoints_are_those_of_the_checkpoint_folders_and_nothing_else(models):
    found = [file.name for file in open_at(models).checkpoints()]
    assert found == ["blue.ckpt", "portraits/red.safetensors", "top.safetensors"]


def test_vaes_are_listed_apart_those_beside_checkpoints_too(models):
    assert [file.name for file in open_at(models).vaes()] == ["soft.vae.pt", "soft.vae.safetensors"]


def test_a_title_shows_ten_digits_of_the_sha256_once_it_is_known(models):
    catalogue = open_at(models)
    assert catalogue.find("red").title == "portraits/red.safetensors"
    hash_all(catalogue)
    digest = hashlib.sha256(b"red").hexdigest()
    assert catalogue.find("red").title == f"portraits/red.safetensors [{digest[:10]}]"


@pytest.mark.parametrize(
    "name",
    [
        "portraits/red.safetensors",
        "red.safetensors",
        "red",
        "RED",
        hashlib.sha256(b"red").hexdigest(),
        hashlib.sha256(b"red").hexdigest()[:10],
        f"portraits/red.safetensors [{hashlib.sha256(b'red').hexdigest()[:10]}]",
        f"renamed.safetensors [{hashlib.sha256(b'red').hexdigest()[:10]}]",
        "red.safetensors [0123456789]",
        "portr",
    ],
)
def test_a_checkpoint_answers_to_title_name_stem_hash_and_part_of_its_title(models, name):
    catalogue = open_at(models)
    hash_all(catalogue)
    assert catalogue.find(name).path.name == "red.safetensors"


def test_of_two_files_of_one_name_the_hash_decides(models):
    (models / "checkpoints" / "red.safetensors").write_bytes(b"another red")
    catalogue = open_at(models)
    hash_all(catalogue)
    for content in (b"red", b"another red"):
        digest = hashlib.sha256(content).hexdigest()
        assert catalogue.find(f"red [{digest[:10]}]").sha256 == digest


def test_an_unknown_name_lists_the_closest(models):
    with pytest.raises(NotFound, match="'blue'"):
        open_at(models).find("blu3.safetensors")


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(NotFound, match="Put a"):
        open_at(tmp_path).find(None)


def test_no_name_means_the_default_and_without_one_the_starter(models):
    assert open_at(models, default="blue").find(None).stem == "blue"
    starter = models / "program" / "models" / "starter"
    starter.mkdir(parents=True)
    (starter / "zebra.safetensors").write_bytes(b"z")
    assert open_at(models, models / "program").find(None).stem == "zebra"


def test_a_title_whose_hash_belongs_to_another_file_is_noticed(models):
    catalogue = open_at(models)
    hash_all(catalogue)
    assert conflicting_hash("red.safetensors [0123456789]", catalogue.find("red")) == "0123456789"
    assert conflicting_hash(catalogue.find("red").title, catalogue.find("red")) is None


def test_hashes_are_read_once_and_kept_between_starts_until_the_file_changes(models, tmp_path):
    file = tmp_path / "library.sqlite"
    first = open_at(models, file=file)
    first.sha256(first.find("red"))
    second = open_at(models, file=file)
    assert second.find("red").sha256 == hashlib.sha256(b"red").hexdigest()
    path = second.find("red").path
    path.write_bytes(b"RED")
    os.utime(path, ns=(1, 1))
    second.refresh()
    assert second.find("red").sha256 is None


def test_refresh_sees_new_and_vanished_files(models):
    catalogue = open_at(models)
    (models / "new.safetensors").write_bytes(b"new")
    (models / "top.safetensors").unlink()
    catalogue.refresh()
    assert [file.stem for file in catalogue.checkpoints()] == ["blue", "new", "red"]


def test_a_diffusers_folder_counts_as_one_checkpoint(models):
    folder = models / "checkpoints" / "whole"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "model.safetensors").write_bytes(b"u")
    catalogue = open_at(models)
    assert catalogue.find("whole").path == folder
    assert catalogue.sha256(catalogue.find("whole")) == hashlib.sha256(b"u").hexdigest()


def test_the_same_file_reached_by_two_folders_is_listed_once(models):
    catalogue = open_at(models, extra=[models / "checkpoints"])
    assert [file.name for file in catalogue.checkpoints()].count("blue.ckpt") == 1
