"""The VAE of a checkpoint: chosen, remembered, beside the file, its own; and one that does not belong is refused."""

import dataclasses
import json
import shutil

import pytest
import torch

from tests.engine.conftest import write_checkpoint
from webui.engine.catalogue import open_catalogue
from webui.engine.plan import make_plan
from webui.engine.vae import remembered_vae, resolve_vae, with_vae_choice
from webui.errors import IncompatibleModel, NotFound
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import SettingsStore
from webui.weights.save import save_safetensors


def vae_tensors(seed=9, **config):
    torch.manual_seed(seed)
    return Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1, 1, 1), blocks=1, **config)).state_dict()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A models folder with two checkpoints and VAEs, copied for every test that changes it."""
    models = tmp_path_factory.mktemp("vaes") / "models"
    own = write_checkpoint(models / "checkpoints" / "narrow.safetensors", 0)
    shutil.copy(own, models / "checkpoints" / "other.safetensors")
    (models / "vae").mkdir()
    save_safetensors(models / "vae" / "soft.safetensors", vae_tensors())
    save_safetensors(models / "vae" / "sharp.safetensors", vae_tensors(10))
    return models


@pytest.fixture
def catalogue(written, tmp_path):
    shutil.copytree(written, tmp_path / "models")
    return open_catalogue(SettingsStore(Paths(tmp_path / "data", tmp_path / "models", program=tmp_path)).settings)


def plan_of(catalogue, vae="Automatic", checkpoint="narrow"):
    request = GenerationRequest(checkpoint=checkpoint, vae=vae, passes=(Pass(width=64, height=64, steps=2),))
    return make_plan(request, catalogue)


def chosen(catalogue, vae="Automatic", checkpoint="narrow"):
    file = plan_of(catalogue, vae, checkpoint).vae
    return file.path.name if file else None


def beside(catalogue, name, tensors=None, metadata=None):
    folder = catalogue.find("narrow").path.parent
    save_safetensors(folder / name, tensors or vae_tensors(), metadata)
    catalogue.refresh()


def test_automatic_is_the_one_inside_where_nothing_else_is_said(catalogue):
    assert chosen(catalogue) is None


def test_automatic_takes_the_file_beside_the_checkpoint_and_none_does_not(catalogue):
    beside(catalogue, "narrow.vae.safetensors")
    assert chosen(catalogue) == "narrow.vae.safetensors"
    assert chosen(catalogue, "None") is None
    assert chosen(catalogue, checkpoint="other") is None


def test_the_file_beside_is_in_no_list_of_checkpoints(catalogue):
    beside(catalogue, "narrow.vae.safetensors")
    assert sorted(file.stem for file in catalogue.checkpoints()) == ["narrow", "other"]


def test_what_is_remembered_comes_before_the_file_beside(catalogue):
    beside(catalogue, "narrow.vae.safetensors")
    narrow = catalogue.find("narrow")
    catalogue.vae_choices = with_vae_choice({}, narrow, catalogue.find_vae("soft"))
    assert (chosen(catalogue), chosen(catalogue, checkpoint="other")) == ("soft.safetensors", None)
    assert chosen(catalogue, "sharp") == "sharp.safetensors"
    catalogue.vae_choices = with_vae_choice(catalogue.vae_choices, narrow, "None")
    assert chosen(catalogue) is None
    catalogue.vae_choices = with_vae_choice(catalogue.vae_choices, narrow, None)
    assert catalogue.vae_choices == {} and chosen(catalogue) == "narrow.vae.safetensors"


def test_a_renamed_checkpoint_keeps_its_choice_and_another_under_its_old_name_does_not_get_it(catalogue, tmp_path):
    narrow = catalogue.find("narrow")
    catalogue.sha256(narrow)
    catalogue.vae_choices = with_vae_choice({}, catalogue.find("narrow"), catalogue.find_vae("soft"))
    narrow.path.rename(narrow.path.with_name("renamed.safetensors"))
    write_checkpoint(narrow.path, 4)
    catalogue.refresh()
    for name in ("renamed", "narrow"):
        catalogue.sha256(catalogue.find(name))
    assert chosen(catalogue, checkpoint="renamed") == "soft.safetensors"
    assert chosen(catalogue) is None


def test_a_choice_that_was_made_before_the_hash_was_known_holds_afterwards(catalogue):
    narrow = dataclasses.replace(catalogue.find("narrow"), sha256=None)
    choices = with_vae_choice({}, narrow, "soft.safetensors")
    known = dataclasses.replace(narrow, sha256="ab" * 32)
    assert remembered_vae(known, choices) == "soft.safetensors"
    assert with_vae_choice(choices, known, "sharp.safetensors") == {f"{known.name} [ababababab]": "sharp.safetensors"}


def test_a_remembered_vae_that_is_gone_is_an_error_and_no_other_picture(catalogue):
    catalogue.vae_choices = with_vae_choice({}, catalogue.find("narrow"), "sift.safetensors")
    with pytest.raises(NotFound, match=r"'sift.safetensors' that is remembered for narrow.*soft"):
        chosen(catalogue)
    assert chosen(catalogue, "None") is None


@pytest.mark.parametrize(("noted", "found"), [("soft.safetensors", "soft.safetensors"), ("Automatic", None), (3, None)])
def test_what_a1111_noted_beside_a_checkpoint_counts_where_nothing_is_remembered(catalogue, noted, found):
    narrow = catalogue.find("narrow")
    narrow.path.with_suffix(".json").write_text(json.dumps({"description": "x", "vae": noted}))
    assert chosen(catalogue) == found
    catalogue.vae_choices = with_vae_choice({}, narrow, catalogue.find_vae("sharp"))
    assert chosen(catalogue) == "sharp.safetensors"


@pytest.mark.parametrize("notes", ["{", "[]", "[" * 100_000])
def test_notes_that_cannot_be_read_say_nothing(catalogue, notes):
    catalogue.find("narrow").path.with_suffix(".json").write_text(notes)
    assert chosen(catalogue) is None


def test_choices_are_kept_in_the_settings(tmp_path):
    store = SettingsStore(Paths(tmp_path / "data", tmp_path / "models", program=tmp_path))
    store.change({"vae_choices": {"a.safetensors [0123456789]": "柔.safetensors"}})
    again = SettingsStore(store.settings.paths)
    assert open_catalogue(again.settings).vae_choices == {"a.safetensors [0123456789]": "柔.safetensors"}
    assert again.problem is None


def test_a_vae_that_surely_belongs_to_another_family_is_refused_with_what_tells_so(catalogue):
    beside(catalogue, "narrow.vae.safetensors", metadata={"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"})
    with pytest.raises(
        IncompatibleModel, match=r"narrow\.vae.*Stable Diffusion XL: its metadata say stable-diffusion-xl"
    ):
        plan_of(catalogue)
    assert chosen(catalogue, "None") is None


def test_a_vae_with_other_latents_is_refused_before_anything_is_loaded(catalogue):
    beside(catalogue, "narrow.vae.safetensors", vae_tensors(latent_channels=16))
    with pytest.raises(IncompatibleModel, match="16 channels"):
        plan_of(catalogue)


def test_a_guess_is_a_note_and_the_very_encoder_of_the_checkpoint_takes_it_away(catalogue):
    folder = catalogue.find_vae("soft").path.parent
    save_safetensors(folder / "xl-soft.safetensors", vae_tensors())
    catalogue.refresh()
    (note,) = [note for note in plan_of(catalogue, "xl-soft").warnings if "xl-soft" in note]
    assert "may be made for Stable Diffusion XL (its name suggests that)" in note
    from webui.weights.reader import open_weights

    with open_weights(catalogue.find("narrow").path) as weights:
        prefix = "first_stage_model."
        own = {name.removeprefix(prefix): weights.tensor(name) for name in weights.header.with_prefix(prefix)}
    tuned = {name: tensor * 1.1 if name.startswith("decoder") else tensor.half() for name, tensor in own.items()}
    save_safetensors(folder / "xl-soft.safetensors", tuned)
    catalogue.refresh()
    assert not [note for note in plan_of(catalogue, "xl-soft").warnings if "xl-soft" in note]


def test_a_file_that_is_not_there_is_told_with_close_names(catalogue):
    with pytest.raises(NotFound, match="'soft'"):
        resolve_vae("sift", catalogue.find("narrow"), catalogue)


def test_the_picture_says_which_file_automatic_was(catalogue):
    from webui.engine.plan import picture_request

    beside(catalogue, "narrow.vae.safetensors")
    plan = plan_of(catalogue)
    again = picture_request(plan, plan.pictures[0])
    assert again.vae == "narrow.vae"
    assert make_plan(again, catalogue).vae.path == plan.vae.path
