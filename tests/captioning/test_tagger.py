"""WD taggers from a model folder, against torch's own transformer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.captioning.models import TAGS, tagger_folder
from webui.captioning import tagger
from webui.errors import DamagedFile, UnknownModel

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return tagger_folder(tmp_path / "tagger")


def as_torch_has_it(tensors, depth, tanh):
    """The same network of torch's encoder layers."""
    width = tensors["pos_embed"].shape[-1]
    act = (lambda x: torch.nn.functional.gelu(x, approximate="tanh")) if tanh else "gelu"
    layers = []
    for index in range(depth):
        layer = torch.nn.TransformerEncoderLayer(width, width // 64, 2 * width, 0, act, 1e-6, True, norm_first=True)
        names = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj."}
        names |= {"linear1.": "mlp.fc1.", "linear2.": "mlp.fc2.", "norm1.": "norm1.", "norm2.": "norm2."}
        parts = ("weight", "bias")
        layer.load_state_dict({o + p: tensors[f"blocks.{index}.{n}{p}"] for o, n in names.items() for p in parts})
        layers.append(layer.eval())
    return layers


@pytest.mark.parametrize("tanh", [False, True])
def test_the_network_is_that_of_torch(folder, tanh):
    tensors = load_file(folder / "model.safetensors")
    network = tagger.VisionTransformer(tagger.Shape(128, 2, 256, 8, 4, len(TAGS)), tanh)
    network.load_state_dict(tensors)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        patches = torch.nn.functional.conv2d(
            pixels, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=8
        )
        x = patches.flatten(2).transpose(1, 2) + tensors["pos_embed"]
        for layer in as_torch_has_it(tensors, 2, tanh):
            x = layer(x)
        x = torch.nn.functional.layer_norm(x, (128,), tensors["norm.weight"], tensors["norm.bias"], 1e-6).mean(1)
        expected = x @ tensors["head.weight"].T + tensors["head.bias"]
        assert torch.allclose(network(pixels), expected, atol=1e-4)


def test_a_picture_is_seen_as_a_white_square_in_blue_green_red(folder, monkeypatch):
    seen = []
    forward = tagger.VisionTransformer.forward
    monkeypatch.setattr(tagger.VisionTransformer, "forward", lambda self, x: (seen.append(x), forward(self, x))[1])
    tagger.load(folder, CPU)(Image.new("RGB", (32, 16), (255, 0, 0)))
    (pixels,) = seen
    assert tuple(pixels.shape) == (1, 3, 32, 32)
    assert pixels[0, :, 0, 16].tolist() == [1, 1, 1]
    assert pixels[0, :, 16, 16].tolist() == [-1, -1, 1]


def test_tags_are_told_from_their_probability_on_the_surest_first():
    shares = [0.99, 0.40, 0.90, 0.34, 0.76]
    assert tagger.told(list(TAGS), shares) == ["red_eyes", "ganyu_(genshin_impact)", "1girl"]


def test_tags_are_written_as_prompts_want_them():
    written = [tagger.written(name) for name, _ in TAGS]
    assert written[2:] == ["red eyes", "^_^", r"ganyu \(genshin impact\)"]


def test_a_description_is_tags_with_commas(folder):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    tags = tagger.load(folder, CPU)(noise).split(", ")
    assert set(tags) <= {tagger.written(name) for name, kind in TAGS if kind != "9"} | {""}


def test_a_list_of_another_length_is_refused(folder):
    lines = (folder / "selected_tags.csv").read_text().splitlines()
    (folder / "selected_tags.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DamagedFile, match="5 tags, its list has 4"):
        tagger.load(folder, CPU)


def test_a_network_with_other_parts_is_named_and_not_used(folder):
    file = folder / "model.safetensors"
    save_file({**load_file(file), "cls_token": torch.zeros(1, 1, 128)}, file)
    with pytest.raises(UnknownModel, match="cls_token"):
        tagger.load(folder, CPU)
