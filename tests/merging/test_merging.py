"""What goes into a merge, what comes out of it, and what is refused."""

import hashlib
import json
import struct

import pytest
import torch

from tests.adapters.files import lora_tensors, write_lora
from tests.keys import header_of
from tests.merging.conftest import mix, tensors_of, write_sparse
from webui.engine.session import Session
from webui.errors import Cancelled, FileError, IncompatibleModel, InvalidRequest
from webui.merging import merge as module
from webui.merging.inputs import Files
from webui.merging.merge import merge
from webui.merging.recipe import read_recipe
from webui.weights.header import read_header
from webui.weights.save import save_safetensors

VAE = "first_stage_model."
FIRST = "model.diffusion_model.input_blocks.0.0.weight"


def test_an_inpainting_model_takes_a_difference_into_the_channels_that_all_have(models, tmp_path):
    mix(tmp_path, [models["inpaint"], models["b"], models["c"]], "Add difference", alpha=1)
    base, b, c = (tensors_of(models[name])[FIRST] for name in ("inpaint", "b", "c"))
    found = tensors_of(tmp_path / "merged.safetensors")[FIRST]
    torch.testing.assert_close(found[:, :4], base[:, :4] + (b - c))
    assert found.shape[1] == 9 and torch.equal(found[:, 4:], base[:, 4:])
    (tmp_path / "merged.safetensors").unlink()
    mix(tmp_path, [models["inpaint"], models["b"]], "Cosine B")
    assert torch.equal(tensors_of(tmp_path / "merged.safetensors")[FIRST][:, 4:], base[:, 4:])


def test_an_inpainting_model_in_the_second_place_is_refused(models, tmp_path):
    with pytest.raises(IncompatibleModel, match="must be the first"):
        mix(tmp_path, [models["a"], models["inpaint"]], "Weighted sum")
    with pytest.raises(IncompatibleModel, match="difference"):
        mix(tmp_path, [models["inpaint"], models["inpaint"], models["b"]], "Add difference")
    assert not list(tmp_path.iterdir())


def test_tensors_of_other_shapes_are_refused_by_name(models, tmp_path):
    tensors = tensors_of(models["b"])
    tensors["model.diffusion_model.out.2.bias"] = torch.zeros(5)
    save_safetensors(tmp_path / "wide.safetensors", tensors)
    with pytest.raises(IncompatibleModel, match=r"out\.2\.bias is \[4\] in a\.safetensors and \[5\]"):
        mix(tmp_path, [models["a"], tmp_path / "wide.safetensors"], "Weighted sum")


def test_models_of_different_families_are_refused(models, tmp_path):
    write_sparse(tmp_path / "xl.safetensors", dict(header_of("sdxl-base").tensors))
    with pytest.raises(IncompatibleModel, match=r"Stable Diffusion 1.*Stable Diffusion XL"):
        mix(tmp_path, [models["a"], tmp_path / "xl.safetensors"], "Weighted sum")


def test_what_only_one_model_has_is_kept_from_the_first_and_told(models, tmp_path):
    tensors = tensors_of(models["b"])
    gone = "model.diffusion_model.out.2.bias"
    del tensors[gone]
    tensors["model.diffusion_model.extra.weight"] = torch.ones(2)
    save_safetensors(tmp_path / "other.safetensors", tensors)
    merged = mix(tmp_path, [models["a"], tmp_path / "other.safetensors"], "Weighted sum", alpha=1)
    found = tensors_of(merged.path)
    assert torch.equal(found[gone], tensors_of(models["a"])[gone])
    assert "model.diffusion_model.extra.weight" not in found
    assert any("extra.weight" in note for note in merged.notes) and any(gone in note for note in merged.notes)


def test_a_vae_is_baked_in_whole(models, tmp_path):
    own = {n.removeprefix(VAE): t for n, t in tensors_of(models["c"]).items() if n.startswith(VAE)}
    save_safetensors(tmp_path / "soft.safetensors", own)
    mix(tmp_path, [models["a"], models["b"]], "Weighted sum", vae=tmp_path / "soft.safetensors")
    found = tensors_of(tmp_path / "merged.safetensors")
    assert {n.removeprefix(VAE) for n in found if n.startswith(VAE)} == set(own)
    assert all(torch.equal(found[VAE + name], tensor) for name, tensor in own.items())


def test_a_vae_of_another_kind_is_refused(models, tmp_path):
    own = {n.removeprefix(VAE): t for n, t in tensors_of(models["c"]).items() if n.startswith(VAE)}
    own["decoder.conv_in.weight"] = torch.zeros(32, 16, 3, 3)
    save_safetensors(tmp_path / "flux.safetensors", own)
    with pytest.raises(IncompatibleModel, match="16 channels"):
        mix(tmp_path, [models["a"]], "No interpolation", vae=tmp_path / "flux.safetensors")


def test_a_baked_lora_is_what_attaching_it_gives(home, session, tmp_path):
    from webui.engine.adapters import Adapters, AdapterUse

    path = write_lora(home.models / "loras" / "film.safetensors")
    checkpoint = home.models / "checkpoints" / "narrow.safetensors"
    mix(tmp_path, [checkpoint], "No interpolation", loras=[(path, 0.8, 0.3)])
    session.load(session.catalogue.find("narrow"), None)
    adapters = Adapters(session.model)
    adapters.switch([AdapterUse("lora", "film", session.catalogue.file(path), 0.3, 0.8)])
    attached = {"model.diffusion_model.": session.model.unet}
    attached["cond_stage_model.transformer.text_model."] = session.model.text_encoders[0]
    found, base = tensors_of(tmp_path / "merged.safetensors"), tensors_of(checkpoint)
    changed = 0
    for prefix, network in attached.items():
        for name, tensor in network.named_parameters():
            torch.testing.assert_close(found[prefix + name], tensor.detach(), msg=prefix + name)
            changed += not torch.equal(found[prefix + name], base[prefix + name])
    adapters.detach()
    assert changed == 5


def test_loras_are_baked_into_the_merged_weights_in_any_order(models, tmp_path):
    one = write_lora(tmp_path / "one.safetensors", seed=1)
    two = write_lora(tmp_path / "two.safetensors", seed=2)
    files = []
    for number, loras in enumerate(([(one, 1, None), (two, 0.5, None)], [(two, 0.5, None), (one, 1, None)])):
        (tmp_path / str(number)).mkdir()
        mix(tmp_path / str(number), [models["a"], models["b"]], "Weighted sum", loras=loras, precision="fp16")
        files.append(tensors_of(tmp_path / str(number) / "merged.safetensors"))
    assert all(torch.equal(tensor, files[1][name]) for name, tensor in files[0].items())
    up_down = lora_tensors(seed=1), lora_tensors(seed=2)
    layer = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    deltas = [t[f"{layer}.lora_up.weight"] @ t[f"{layer}.lora_down.weight"] for t in up_down]
    name = "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"
    half = (tensors_of(models["a"])[name] + tensors_of(models["b"])[name]) / 2
    torch.testing.assert_close(files[0][name], (half + deltas[0] + 0.5 * deltas[1]).half())


def test_a_lora_for_another_base_is_refused_before_anything_is_written(models, tmp_path):
    layers = {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (640, 2048)}
    path = write_lora(tmp_path / "xl.safetensors", layers=layers)
    with pytest.raises(IncompatibleModel, match="does not fit"):
        mix(tmp_path, [models["a"]], "No interpolation", loras=[(path, 1, None)])
    assert [file.name for file in tmp_path.iterdir()] == ["xl.safetensors"]


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_the_sum_is_rounded_once_to_the_precision(models, tmp_path, precision, dtype):
    mix(tmp_path, [models["a"], models["b"]], "Weighted sum", alpha=0.3, precision=precision)
    first, second = tensors_of(models["a"]), tensors_of(models["b"])
    found = tensors_of(tmp_path / "merged.safetensors")
    for name, tensor in found.items():
        assert torch.equal(tensor, (first[name] * 0.7 + second[name] * 0.3).to(dtype)), name


def test_eight_bits_are_for_the_networks_matrices_and_the_result_still_loads(home, session, tmp_path):
    checkpoint = home.models / "checkpoints" / "narrow.safetensors"
    mix(tmp_path, [checkpoint], "No interpolation", precision="fp8")
    found = tensors_of(tmp_path / "merged.safetensors")
    kinds = {torch.float8_e4m3fn: [], torch.float16: []}
    for name, tensor in found.items():
        kinds[tensor.dtype].append((name.startswith("model.diffusion_model."), tensor.ndim > 1))
    assert set(kinds[torch.float8_e4m3fn]) == {(True, True)} and (True, True) not in kinds[torch.float16]
    session.load(session.catalogue.file(tmp_path / "merged.safetensors"), None)
    session.load(session.catalogue.find("narrow"), None)


def test_values_too_large_for_the_precision_are_told(models, tmp_path):
    tensors = tensors_of(models["a"])
    tensors["model.diffusion_model.out.2.bias"][0] = 1e6
    save_safetensors(tmp_path / "large.safetensors", tensors)
    merged = mix(tmp_path, [tmp_path / "large.safetensors"], "No interpolation", precision="fp16")
    assert any("out.2.bias" in note for note in merged.notes)


def test_discarded_weights_are_not_in_the_file(models, tmp_path):
    mix(tmp_path, [models["a"]], "No interpolation", discard=r"^first_stage_model\.|position_embedding")
    found = tensors_of(tmp_path / "merged.safetensors")
    wanted = {n for n in tensors_of(models["a"]) if not n.startswith(VAE) and "position_embedding" not in n}
    assert set(found) == wanted
    with pytest.raises(InvalidRequest, match="Nothing would be left"):
        mix(tmp_path / "..", [models["a"]], "No interpolation", discard=".")


def test_a_ckpt_goes_in_as_a_safetensors_file_does(models, tmp_path):
    torch.save({"state_dict": tensors_of(models["b"])}, tmp_path / "b.ckpt")
    for number, second in enumerate((models["b"], tmp_path / "b.ckpt")):
        (tmp_path / str(number)).mkdir()
        mix(tmp_path / str(number), [models["a"], second], "Weighted sum")
    one, two = (tensors_of(tmp_path / str(number) / "merged.safetensors") for number in (0, 1))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_the_metadata_name_the_models_and_the_hash_of_the_data(models, tmp_path):
    (tmp_path / "first").mkdir()
    tensors = tensors_of(models["a"])
    told = {"ss_note": "a story", "modelspec.title": "old", "emulsion.native_size": "128", "sshs_model_hash": "1"}
    save_safetensors(tmp_path / "first" / "a.safetensors", tensors, told)
    mix(tmp_path, [tmp_path / "first" / "a.safetensors", models["b"]], "Weighted sum", alpha=0.25)
    path = tmp_path / "merged.safetensors"
    found = read_header(path).metadata
    recipe = json.loads(found["sd_merge_recipe"])
    assert recipe["interp_method"] == "Weighted sum" and recipe["multiplier"] == 0.25
    assert recipe["primary_model_hash"] == "a" * 8 and recipe["tertiary_model_hash"] is None
    assert json.loads(found["sd_merge_models"])["b" * 8]["name"] == "b"
    assert found["ss_note"] == "a story" and found["modelspec.title"] == "merged" and "sshs_model_hash" not in found
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert found["modelspec.hash_sha256"] == "0x" + hashlib.sha256(data[8 + length :]).hexdigest()


def test_metadata_may_be_dropped_but_for_how_the_model_is_run(models, tmp_path):
    told = {"ss_note": "a story", "emulsion.native_size": "128", "modelspec.prediction_type": "v"}
    save_safetensors(tmp_path / "a.safetensors", tensors_of(models["a"]), told)
    mix(tmp_path, [tmp_path / "a.safetensors"], "No interpolation", copy_metadata=False, write_recipe=False)
    found = read_header(tmp_path / "merged.safetensors").metadata
    assert not {"ss_note", "sd_merge_recipe", "sd_merge_models"} & set(found)
    assert found["emulsion.native_size"] == "128" and found["modelspec.prediction_type"] == "v"


def test_a_model_that_stands_there_already_is_never_written_over(models, tmp_path):
    (tmp_path / "merged.safetensors").write_bytes(b"precious")
    with pytest.raises(InvalidRequest, match="already"):
        mix(tmp_path, [models["a"]], "No interpolation")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("merged.safetensors", b"precious")]


def test_a_full_disk_is_told_before_anything_is_written(models, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(FileError, match="free"):
        mix(tmp_path, [models["a"]], "No interpolation")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_merge_leaves_nothing(models, tmp_path):
    steps = []

    def check():
        steps.append(1)
        if len(steps) == 20:
            raise Cancelled("The job was interrupted.")

    recipe = read_recipe({"method": "No interpolation", "models": ["a"], "name": "x"})
    with pytest.raises(Cancelled):
        merge(recipe, Files((models["a"],)), [], tmp_path / "x.safetensors", check=check)
    assert not list(tmp_path.iterdir())


def test_a_merged_file_makes_pictures(home, settings, make, session, wanted, tmp_path):
    paths = [home.models / "checkpoints" / f"{name}.safetensors" for name in ("narrow", "other")]
    mix(home.models / "checkpoints", paths, "Weighted sum", alpha=0.5, precision="fp16")
    session.catalogue.refresh()
    before, after = (make(wanted(checkpoint=name))[0].image.tobytes() for name in ("narrow", "merged"))
    assert isinstance(session, Session) and before != after
    (home.models / "checkpoints" / "merged.safetensors").unlink()
    session.catalogue.refresh()
