"""Which captioners there are, and what is said where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.captioning.models import blip_folder
from webui.captioning.names import SENTENCE, TAGS, captioners, find_captioner
from webui.errors import NotFound
from webui.library.index import Library
from webui.paths import Paths


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "data", tmp_path / "models", tmp_path / "outputs", program=tmp_path / "program")


def put(paths, name, config, *files):
    folder = paths.models / "captioners" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for file in files:
        (folder / file).write_text("")


@pytest.fixture
def filled(paths):
    put(paths, "a tagger", {"architecture": "vit_base_patch16_224"}, "selected_tags.csv")
    put(paths, "my-blip", {"model_type": "blip"})
    put(paths, "another", {"model_type": "git"})
    put(paths, "broken", "{")
    put(paths, "list", "[]")
    return paths


def test_folders_of_known_kinds_are_listed_sentences_first(filled):
    found = [(one.name, one.kind, one.writes) for one in captioners(filled)]
    assert found == [("my-blip", "BLIP", SENTENCE), ("a tagger", "WD tagger", TAGS)]


def test_what_was_fetched_in_part_gives_way_to_what_is_whole(paths):
    put(paths, "a-half", {"model_type": "blip"})
    assert find_captioner("clip", paths).name == "a-half"  # using it tells what is missing
    put(paths, "whole", {"model_type": "blip"}, "model.safetensors")
    assert find_captioner("clip", paths).name == "whole" and find_captioner("a-half", paths).name == "a-half"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("", "my-blip"),
        ("clip", "my-blip"),
        ("deepdanbooru", "a tagger"),
        ("MY-BLIP", "my-blip"),
        ("A Tagger", "a tagger"),
    ],
)
def test_a_captioner_is_found_by_its_folder_and_by_what_clients_call_it(filled, asked, name):
    assert find_captioner(asked, filled).name == name


def test_where_there_is_none_one_learns_what_to_fetch_and_where_to(paths):
    with pytest.raises(NotFound) as told:
        find_captioner("", paths)
    words = str(told.value)
    assert "hf download Salesforce/blip-image-captioning-base" in words
    assert str(paths.models / "captioners") in words


def test_a_tagger_that_is_missing_is_told_apart_from_a_captioner(paths):
    put(paths, "my-blip", {"model_type": "blip"})
    with pytest.raises(NotFound, match=r"No tagger is installed.*selected_tags\.csv"):
        find_captioner("deepdanbooru", paths)


def test_an_unknown_name_brings_those_that_are_there(filled):
    with pytest.raises(NotFound, match="my-blip, a tagger"):
        find_captioner("llava", filled)


def test_the_library_takes_no_captioner_for_an_encoder(paths):
    blip_folder(paths.models / "captioners" / "my-blip")
    library = Library(paths)
    library.refresh()
    library.read_pending()
    assert [file.name for file in library.files("captioners")] == ["my-blip/model.safetensors"]
    assert library.files("image_encoders") == library.files("text_encoders") == library.files("checkpoints") == []


def test_the_names_are_listed_without_heavy_packages():
    code = "import sys; import webui.captioning.names, webui.workers.tasks.caption as c; c.check({'images': ['x']});"
    code += "print([n for n in ('torch', 'numpy', 'PIL', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
