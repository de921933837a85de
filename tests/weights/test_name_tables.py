"""Both spellings of every network: the tables against published key lists, and diffusers folders."""

from __future__ import annotations

import json
import random

import pytest
import torch

from tests.keys import header_of, shapes_of
from webui.errors import DamagedFile, FileError, IncompatibleModel, UnsafeFile
from webui.weights import names
from webui.weights.canonical import canonical
from webui.weights.header import read_header
from webui.weights.reader import Weights, open_weights
from webui.weights.save import save_safetensors


@pytest.mark.parametrize(("ldm", "diffusers"), [("sd15", "unet-sd15-diffusers"), ("sdxl-base", "unet-sdxl-diffusers")])
def test_the_unet_table_maps_the_published_lists_onto_each_other(ldm, diffusers):
    prefix = "model.diffusion_model."
    ours = {n[len(prefix) :]: s for n, s in shapes_of(ldm).items() if n.startswith(prefix)}
    theirs = shapes_of(diffusers)
    table = names.unet_to_ldm(theirs)
    assert {table[name]: shape for name, shape in theirs.items()} == ours
    assert names.unet_to_diffusers(ours) == {b: a for a, b in table.items()}


def test_the_vae_table_maps_the_published_lists_onto_each_other():
    theirs, ours = shapes_of("vae-kl-f8-diffusers"), shapes_of("vae-kl-f8")
    table = names.vae_to_ldm(theirs)
    assert set(table.values()) == set(ours) and len(table) == len(theirs)
    assert names.vae_to_diffusers(ours) == {b: a for a, b in table.items()}


def test_old_attention_names_of_diffusers_vaes_are_understood():
    new = names.vae_to_ldm(shapes_of("vae-kl-f8-diffusers"))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, target in new.items():
        for a, b in old.items():
            name = name.replace(f"attentions.0.{a}.", f"attentions.0.{b}.")
        renamed[name] = target
    assert names.vae_to_ldm(renamed) == renamed


def test_the_text_table_covers_the_openclip_list():
    hf = [n.removeprefix("text_model.") for n in shapes_of("clip-g-hf")]
    table = names.text_to_openclip(n for n in hf if not n.endswith("position_ids"))
    wanted = set(shapes_of("clip-g-openclip")) - {"logit_scale"}
    assert set(table) == wanted
    assert {s for sources in table.values() for s in sources} == {n for n in hf if not n.endswith("position_ids")}


def test_a_bare_diffusers_vae_and_a_bare_unet_get_the_names_of_a_full_file():
    full = shapes_of("sd15")
    vae = canonical(header_of("vae-kl-f8-diffusers")).shapes()
    unet = canonical(header_of("unet-sd15-diffusers")).shapes()
    assert vae == {n: s for n, s in full.items() if n.startswith("first_stage_model.")}
    assert unet == {n: s for n, s in full.items() if n.startswith("model.diffusion_model.")}


def test_old_merges_without_text_model_get_the_usual_names():
    header = header_of("sd15")
    old = {n.replace("transformer.text_model.", "transformer."): t for n, t in header.tensors.items()}
    assert canonical(header_of("sd15", old)).shapes() == header.shapes()


def test_random_names_come_through_unchanged():
    chance = random.Random(1)
    wild = {
        "".join(chance.choices("abc.01_", k=20)): header_of("taesd-decoder").tensors["1.weight"] for _ in range(200)
    }
    assert dict(canonical(header_of("sd15", wild)).tensors) == wild


def test_running_averages_are_taken_on_request_only(tmp_path):
    unet = "model.diffusion_model.input_blocks.0.0.weight"
    average = "model_ema.diffusion_modelinput_blocks00weight"
    tensors = {unet: torch.zeros(2), average: torch.ones(2), "model_ema.decay": torch.tensor(0.9)}
    save_safetensors(tmp_path / "x.safetensors", tensors)
    header = read_header(tmp_path / "x.safetensors")
    assert Weights(canonical(header)).tensor(unet).sum() == 0
    assert Weights(canonical(header, ema=True)).tensor(unet).sum() == 2
    assert not [n for n in canonical(header).tensors if "ema" in n]


def test_asking_for_averages_that_are_not_there_is_an_error():
    with pytest.raises(IncompatibleModel, match="model_ema"):
        canonical(header_of("sd15"), ema=True)


# --- folders ---------------------------------------------------------------------------------------------------------

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.30.0",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a UNet in two shards."""
    unet = tmp_path / "unet"
    unet.mkdir()
    shards = {"a.weight": "one", "b.weight": "two"}
    for number, name in enumerate(shards, 1):
        shards[name] = f"diffusion_pytorch_model-{number:05d}-of-00002.safetensors"
        save_safetensors(unet / shards[name], {name: torch.full((2,), float(number))})
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (unet / "config.json").write_text(json.dumps({"in_channels": 4, "unknown_key": {"deep": [1]}}))
    (tmp_path / "model_index.json").write_text(json.dumps(INDEX))
    return tmp_path


def test_a_sharded_folder_is_read_as_one_file(folder):
    with open_weights(folder) as weights:
        assert weights.tensor("unet/a.weight").tolist() == [1, 1]
        assert weights.tensor("unet/b.weight").tolist() == [2, 2]


def test_unknown_settings_of_a_config_are_left_out(folder):
    assert json.loads(read_header(folder).metadata["unet/config"]) == {"in_channels": 4}


@pytest.mark.parametrize("indexed", [True, False])
def test_a_half_written_sharded_folder_is_refused_and_names_the_missing_shard(indexed, folder):
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors.incomplete").write_bytes(b"x")
    if not indexed:
        (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").unlink()
    with pytest.raises(DamagedFile, match="00002-of-00002"):
        read_header(folder)


def test_a_shard_without_a_tensor_that_the_index_promises_is_refused(folder):
    save_safetensors(folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors", {"c": torch.ones(1)})
    with pytest.raises(DamagedFile, match=r"b\.weight"):
        read_header(folder)


@pytest.mark.parametrize("name", ["../secret-00001-of-00002.safetensors", "/etc/passwd", "x.safetensors"])
def test_an_index_that_points_outside_its_folder_is_refused(name, folder):
    index = {"weight_map": {"a.weight": name}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(FileError):
        read_header(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": ["my_pipeline", "Pipeline"]},
        {"unet": ["my_module", "UNet"]},
        {"unet": ["diffusers", "UNet", "extra"]},
        {"unet": ["diffusers", ["a"]]},
        {"helper": ["pipeline.py", "X"]},
    ],
)
def test_an_index_that_names_foreign_code_is_refused(change, folder):
    (folder / "model_index.json").write_text(json.dumps(INDEX | change))
    with pytest.raises(UnsafeFile):
        read_header(folder)


@pytest.mark.parametrize("name", ["pipeline.py", "unet/modeling.py", "vae/x.so"])
def test_a_folder_that_brings_code_is_refused(name, folder):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("raise SystemExit")
    with pytest.raises(UnsafeFile, match="code"):
        read_header(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModel": "x.Y"}},
        {"_attn_implementation_internal": "hub/kernel"},
        {"custom_pipeline": "x"},
        {"in_channels": "four"},
        {"attention_head_dim": [{"a": 1}]},
        ["list"],
    ],
)
def test_hostile_configs_are_refused(config, folder):
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileError):
        read_header(folder)


def test_a_folder_without_an_index_or_a_component_is_refused(folder):
    (folder / "model_index.json").write_text(json.dumps(INDEX | {"vae": ["diffusers", "AutoencoderKL"]}))
    with pytest.raises(DamagedFile, match="no folder vae"):
        read_header(folder)
    (folder / "model_index.json").unlink()
    with pytest.raises(DamagedFile, match="model_index"):
        read_header(folder)
