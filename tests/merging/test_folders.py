"""Diffusers folders are merged and converted like files; the pictures' text stays the same."""

import pytest
import torch

from tests.merging.conftest import mix, tensors_of
from webui.families import detect
from webui.weights.header import read_header


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tiny import build

    return build("sd2", tmp_path_factory.mktemp("folder") / "sd2")


def load(path):
    return detect(read_header(path)).load(path, dtype=torch.float32)


def test_a_folder_becomes_a_file_that_encodes_the_same(tiny, tmp_path):
    mix(tmp_path, [tiny.folder], "No interpolation")
    folder, file = load(tiny.folder), load(tmp_path / "merged.safetensors")
    ours, theirs = (model.encode(["a red apple"])[0].context for model in (file, folder))
    assert torch.equal(ours, theirs)
    for one, other in ((file.unet, folder.unet), (file.vae, folder.vae)):
        state = other.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


def test_the_layer_that_folders_leave_out_is_filled_up(tiny, tmp_path):
    mix(tmp_path, [tiny.folder], "No interpolation")
    found = tensors_of(tmp_path / "merged.safetensors")
    layers = {int(name.split("resblocks.")[1].split(".")[0]) for name in found if "resblocks." in name}
    assert layers == set(range(tiny.texts[0].config.num_hidden_layers + 1))
