"""What is said about an adapter file before it is used."""

import json

import pytest
import torch

from tests.adapters.files import LAYERS, write_lora
from tests.adapters.hypernetworks import write_hypernetwork
from tests.keys import header_of
from webui import cli
from webui.adapters.inspection import describe, trigger_words
from webui.weights.header import read_header
from webui.weights.save import save_safetensors


def test_a_lora_tells_its_kinds_ranks_and_base():
    found = describe(header_of("lora-kohya-sdxl"))
    assert found is not None
    assert found["kind"] == "LoRA" and found["made for"] == "Stable Diffusion XL"
    assert found["updates"] == {"LoRA": 986} and found["ranks"] == ["16"] and found["other tensors"] == []


@pytest.mark.parametrize("name", ["sd15", "sdxl-base", "vae-kl-f8", "controlnet-sd15-ldm", "clip-l", "flux-dev"])
def test_other_models_are_no_adapters(name):
    assert describe(header_of(name)) is None


def test_a_hypernetwork_and_an_embedding_are_told_apart(tmp_path):
    write_hypernetwork(tmp_path / "a.pt", (8, 16), {"activation_func": "relu"}, activation=torch.nn.ReLU)
    assert describe(read_header(tmp_path / "a.pt")) == {
        "kind": "hypernetwork",
        "widths": ["8", "16"],
        "activation": "relu",
    }
    save_safetensors(tmp_path / "b.safetensors", {"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(2, 1280)})
    found = describe(read_header(tmp_path / "b.safetensors"))
    assert found == {"kind": "embedding", "vectors": "2 of width 1280, 2 of width 768"} or found == {
        "kind": "embedding",
        "vectors": "2 of width 768, 2 of width 1280",
    }


def test_trigger_words_are_the_makers_phrase_or_the_most_frequent_tags():
    tags = json.dumps({"3_a": {"cat": 5, "red hat": 9}, "1_b": {"cat": 7}})
    assert trigger_words(header_of("lora-kohya-sd15", ss_tag_frequency=tags)) == ["cat", "red hat"]
    phrase = {"modelspec.trigger_phrase": "in ink"}
    assert trigger_words(header_of("lora-kohya-sd15", ss_tag_frequency=tags, **phrase)) == ["in ink"]
    assert trigger_words(header_of("lora-kohya-sd15", ss_tag_frequency="{")) == []


def test_the_command_line_inspects_adapters(tmp_path, capsys):
    path = write_lora(tmp_path / "a.safetensors", {"ss_base_model_version": "sd_v1"})
    assert cli.main(["models", "inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kind"] == "LoRA" and said["updates"] == {"LoRA": len(LAYERS)} and "problem" not in said
    assert cli.main(["models", "inspect", str(path)]) == 0
    assert "made for     Stable Diffusion 1" in capsys.readouterr().out
