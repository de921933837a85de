"""What a file is comes from its header, never from its name or its folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.adapters.files import write_lora
from tests.adapters.hypernetworks import write_hypernetwork
from tests.keys import all_lists, header_of
from tests.library.made import cards, save, write_key_list
from webui.engine.catalogue import Catalogue
from webui.library import recognise as module
from webui.library.index import Library
from webui.library.recognise import recognise
from webui.paths import MODEL_FOLDERS

KINDS = {
    "sd15": "checkpoints",
    "sdxl-base": "checkpoints",
    "unet-sd15-diffusers": "diffusion_models",
    "flux-dev": "diffusion_models",
    "flux-dev-bnb-nf4-v2": "checkpoints",
    "vae-kl-f8": "vae",
    "vae-flux-ae": "vae",
    "taesd-decoder": "preview_decoders",
    "clip-l": "text_encoders",
    "t5xxl-encoder": "text_encoders",
    "clip-vision-h": "image_encoders",
    "lora-kohya-sdxl": "loras",
    "lora-flux-xlabs-partial": "loras",
    "animatediff-motion-lora-v2": "loras",
    "controlnet-sd15-ldm": "controlnet",
    "control-lora-sdxl-r128": "controlnet",
    "controlnet-lllite-sdxl": "controlnet",
    "t2i-adapter-sdxl": "controlnet",
    "ip-adapter-plus-sd15": "ip_adapters",
    "ip-adapter-faceid-sdxl": "ip_adapters",
    "animatediff-v3": "motion_modules",
}


@pytest.fixture
def as_header(monkeypatch):
    """Recognise a published key list as if it were a file."""

    def recognised(name, place="checkpoints", **metadata):
        header = header_of(name, **metadata)
        monkeypatch.setattr(module, "read_header", lambda path: header)
        return recognise(header.path, place)

    return recognised


@pytest.mark.parametrize("name", KINDS)
def test_published_files_are_what_they_are(as_header, name):
    assert as_header(name).kind == KINDS[name]


@pytest.mark.parametrize("name", all_lists())
def test_every_published_file_belongs_into_some_folder(as_header, name):
    assert as_header(name).kind in MODEL_FOLDERS


@pytest.mark.parametrize(
    ("name", "family", "width"),
    [
        ("lora-kohya-sd15", "Stable Diffusion 1", 768),
        ("lora-kohya-sdxl", "Stable Diffusion XL", 2048),
        ("lora-kohya-flux", "Flux", 0),
        ("controlnet-sdxl-diffusers", "Stable Diffusion XL", 2048),
        ("ip-adapter-sd15", "Stable Diffusion 1", 768),
        ("flux-controlnet-xlabs", "Flux", 0),
        ("sdxl-refiner", "Stable Diffusion XL refiner", 1280),
    ],
)
def test_the_family_that_a_file_is_for_is_told(as_header, name, family, width):
    found = as_header(name)
    assert (found.family, found.width, found.bases) == (family, width, (family,))


def test_vaes_tell_their_channels_and_by_name_or_metadata_their_families(as_header):
    assert as_header("vae-flux-ae").width == 16 and as_header("vae-flux-ae").bases == ()
    assert as_header("vae-kl-f8").bases == ("Stable Diffusion 1", "Stable Diffusion 2")  # by its name
    said = as_header("vae-kl-f8", **{"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"})
    assert said.bases == ("Stable Diffusion XL", "Stable Diffusion XL refiner") and said.width == 4


def test_what_cannot_be_run_yet_says_so(as_header):
    found = as_header("flux-dev")
    assert found.family == "Flux.1" and "cannot run it yet" in found.problem
    assert as_header("sd15").problem == ""


def test_metadata_give_title_author_licence_words_and_hash(paths, models):
    found = recognise(models / "loras" / "film.safetensors", "loras")
    assert (found.title, found.author, found.licence) == ("Film look", "A. Person", "CC0")
    assert found.words == ("film grain", "street") and found.alias == "film-v1" and found.stated_hash == "ab" * 32
    assert found.rank == 4 and found.variant == "LoRA"
    assert found.details["tags"] == [["film grain", 9], ["street", 4]]


def test_metadata_of_wrong_kinds_and_sizes_do_no_harm(tmp_path):
    bad = {"ss_tag_frequency": "[1, 2", "modelspec.title": "x" * 10_000 + "\0", "sshs_model_hash": "<b>", "ss_v2": "?"}
    found = recognise(write_lora(tmp_path / "a.safetensors", bad), "loras")
    assert found.kind == "loras" and len(found.title) == 200 and found.stated_hash == "" and found.words == ()


def test_hypernetworks_and_embeddings_are_told_from_each_other(tmp_path):
    write_hypernetwork(tmp_path / "bend.pt", (768, 320))
    found = recognise(tmp_path / "bend.pt", "loras")
    assert (found.kind, found.bases) == ("hypernetworks", ("Stable Diffusion 1",))
    xl = save(tmp_path / "pair.safetensors", {"clip_l": (3, 768), "clip_g": (3, 1280)})
    found = recognise(xl, "checkpoints")
    assert (found.kind, found.width, found.family) == ("embeddings", 2048, "Stable Diffusion XL")


def test_a_bare_vector_is_an_aesthetic_embedding_where_those_are_kept(tmp_path):
    path = save(tmp_path / "mood.safetensors", {"tensor": (1, 768)})
    assert recognise(path, "aesthetic_embeddings").kind == "aesthetic_embeddings"
    assert recognise(path, "embeddings").kind == "embeddings"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "only 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x90\x01\0\0\0\0\0\0{" + b"x" * 20, "damaged"),
        (b"cos\nsystem\n(S'touch pwned'\ntR." + b" " * 20, "bare pickle"),
    ],
)
def test_a_damaged_file_is_listed_where_it_lies_with_its_problem(paths, content, told):
    (paths.models / "loras").mkdir()
    (paths.models / "loras" / "bad.safetensors").write_bytes(content)
    library = Library(paths)
    library.read_pending()
    card = cards(library)["bad"]
    assert told in card.problem and not card.fits and card.why_not == "problem" and not card.misplaced


@pytest.mark.parametrize("name", ["tiny-vae-merge_preview", "my.vae-based", "taesd.vae"])
def test_a_checkpoint_is_one_whatever_it_is_called(paths, name):
    write_key_list("sd15", paths.models / "checkpoints" / f"{name}.safetensors")
    library = Library(paths)
    assert Catalogue(library).find(name).stem == name  # also while nobody has read its header yet
    library.read_pending()
    assert [file.stem for file in library.files("checkpoints")] == [name]


def test_a_file_in_the_wrong_folder_is_listed_as_what_it_is_and_that_is_said(paths):
    write_key_list("lora-kohya-sd15", paths.models / "Stable-diffusion" / "style.safetensors")
    write_key_list("taesd-decoder", paths.models / "checkpoints" / "model_tiny.safetensors")
    library = Library(paths)
    assert [file.stem for file in library.files("checkpoints")] == ["model_tiny", "style"]  # by their folders so far
    library.read_pending()
    assert library.files("checkpoints") == []
    assert [file.stem for file in library.files("preview_decoders")] == ["model_tiny"]
    card = cards(library)["style"]
    assert (card.kind, card.place, card.misplaced) == ("loras", "checkpoints", True)


def test_reading_needs_no_torch(paths, models):
    code = f"""
import sys
from pathlib import Path
from webui.library.cards import Question, find_cards
from webui.library.index import Library
from webui.paths import Paths
library = Library(Paths(models=Path({str(models)!r}), program=Path({str(paths.program)!r})))
assert library.read_pending() == 5
assert find_cards(library, Question("loras")).total == 3
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=module.__file__.rsplit("/webui/", 1)[0]).returncode == 0
