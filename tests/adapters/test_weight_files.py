"""Adapter files as they are read and matched with networks."""

import json

import pytest
import torch

from tests.adapters.files import LAYERS, lora_tensors, write_lora
from webui.adapters.names import Part, Target, name_table
from webui.adapters.weight_file import fit, read_weight_file
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.weights.save import save_safetensors


def table_of(layers=LAYERS):
    return {
        name: Target(0, f"{number}.weight", f"{number}.bias", shape)
        for number, (name, shape) in enumerate(layers.items())
    }


def changed(file, base, target="0.weight", strength=1.0):
    total = base.clone()
    for change in fit(file, table_of()).changes(0, strength)[target]:
        change(total, base)
    return total


def test_a_file_becomes_changes_of_parameters(tmp_path):
    file = read_weight_file(write_lora(tmp_path / "a.safetensors"))
    name = next(iter(LAYERS))
    tensors = lora_tensors()
    base = torch.randn(64, 64)
    wanted = base + 0.5 * tensors[f"{name}.lora_up.weight"] @ tensors[f"{name}.lora_down.weight"]
    torch.testing.assert_close(changed(file, base, strength=0.5), wanted)


def test_strength_zero_changes_nothing(tmp_path):
    file = read_weight_file(write_lora(tmp_path / "a.safetensors"))
    assert fit(file, table_of()).changes(0, 0.0) == {}


def test_a_torch_checkpoint_is_read_as_well(tmp_path):
    torch.save(lora_tensors(), tmp_path / "a.pt")
    assert set(read_weight_file(tmp_path / "a.pt").layers) == set(LAYERS)


@pytest.mark.parametrize(
    ("extra", "scale"),
    [
        ({}, 2.0),
        ({"unet.use_rslora": True}, 4.0),
        ({"unet.alpha_pattern": {"attentions.0.proj_in": 2, "proj_out": 9}}, 0.5),
        ({"unet.alpha_pattern": ["proj_in"]}, 2.0),
    ],
)
def test_alpha_in_the_metadata_of_peft_files_counts(tmp_path, extra, scale):
    up, down = torch.randn(8, 4), torch.randn(4, 8)
    layer = "unet.mid_block.attentions.0.proj_in"
    tensors = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    settings = {"unet.lora_alpha": 8, "unet.r": 4, **extra}
    save_safetensors(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(settings)})
    (update,) = read_weight_file(tmp_path / "a.safetensors").layers.values()
    torch.testing.assert_close(update.delta(torch.zeros(8, 8)), scale * up @ down)


def test_rows_of_a_fused_projection_are_changed_alone(tmp_path):
    shapes = {
        "transformer.resblocks.0.attn.in_proj_weight": (24, 8),
        "transformer.resblocks.0.attn.in_proj_bias": (24,),
        "text_projection": (8, 6),
    }
    layers = {
        "lora_te2_text_model_encoder_layers_0_self_attn_k_proj": (8, 8),
        "lora_te2_text_projection": (6, 8),
    }
    tensors = lora_tensors(layers, rank=2)
    save_safetensors(tmp_path / "a.safetensors", tensors)
    fitted = fit(
        read_weight_file(tmp_path / "a.safetensors"), name_table([Part(2, "openclip", shapes, ("te2",), ("x",))])
    )
    changes = fitted.changes(2, 1.0)
    deltas = {}
    for name in ("transformer.resblocks.0.attn.in_proj_weight", "text_projection"):
        deltas[name] = torch.zeros(shapes[name])
        for change in changes[name]:
            change(deltas[name], torch.zeros(shapes[name]))
    key, projection = (tensors[f"{n}.lora_up.weight"] @ tensors[f"{n}.lora_down.weight"] for n in layers)
    torch.testing.assert_close(deltas["transformer.resblocks.0.attn.in_proj_weight"][8:16], key)
    assert deltas["transformer.resblocks.0.attn.in_proj_weight"][:8].count_nonzero() == 0
    assert deltas["transformer.resblocks.0.attn.in_proj_weight"][16:].count_nonzero() == 0
    torch.testing.assert_close(deltas["text_projection"], projection.T)


def test_a_bias_difference_reaches_the_bias(tmp_path):
    name = next(iter(LAYERS))
    tensors = {f"{name}.diff": torch.randn(64, 64), f"{name}.diff_b": torch.randn(64)}
    save_safetensors(tmp_path / "a.safetensors", tensors)
    file = read_weight_file(tmp_path / "a.safetensors")
    base = torch.randn(64)
    torch.testing.assert_close(changed(file, base, "0.bias", 0.5), base + 0.5 * tensors[f"{name}.diff_b"])


def test_what_fits_nothing_is_listed(tmp_path):
    layers = {**LAYERS, "lora_unet_elsewhere": (4, 4)}
    tensors = lora_tensors(layers) | {"stray": torch.zeros(2)}
    save_safetensors(tmp_path / "a.safetensors", tensors)
    fitted = fit(read_weight_file(tmp_path / "a.safetensors"), table_of())
    assert fitted.unfitting == ("lora_unet_elsewhere", "stray")
    assert len(fitted.updates) == len(LAYERS)


@pytest.mark.parametrize("wrong", ["names", "shapes"])
def test_a_file_for_another_base_is_refused_with_what_it_is_for(tmp_path, wrong):
    layers = {f"{n}x" if wrong == "names" else n: (o, i if wrong == "names" else i + 1) for n, (o, i) in LAYERS.items()}
    path = write_lora(tmp_path / "a.safetensors", {"modelspec.architecture": "flux-1-dev/lora"}, layers=layers)
    with pytest.raises(IncompatibleModel, match=r"narrow.*made for Flux"):
        fit(read_weight_file(path), table_of(), "narrow")


BROKEN = {
    "ranks that differ": {"lora_up.weight": (64, 4), "lora_down.weight": (3, 64)},
    "too few rows": {"lora_up.weight": (63, 4), "lora_down.weight": (4, 64)},
    "a vector": {"lora_up.weight": (64,), "lora_down.weight": (4, 64)},
    "hada of other sizes": {"hada_w1_a": (64, 4), "hada_w1_b": (5, 64), "hada_w2_a": (64, 4), "hada_w2_b": (4, 64)},
    "a product of another size": {"lokr_w1": (3, 4), "lokr_w2": (5, 6)},
    "a difference of another size": {"diff": (8, 8)},
    "blocks of another size": {"oft_blocks": (5, 4, 4)},
    "a flat block": {"oft_blocks": (4,)},
    "numbers instead of matrices": {"lora_up.weight": (), "lora_down.weight": ()},
    "nothing": {"lora_up.weight": (64, 0), "lora_down.weight": (0, 64)},
    "several alphas": {"lora_up.weight": (64, 4), "lora_down.weight": (4, 64), "alpha": (3,)},
    "no alpha": {"lora_up.weight": (64, 4), "lora_down.weight": (4, 64), "alpha": (0,)},
    "a magnitude of another size": {"lora_up.weight": (64, 4), "lora_down.weight": (4, 64), "dora_scale": (5, 1)},
    "differences of unequal length": {"diff_b": (64,), "b_norm": (63,)},
    "a core of another size": {"lora_up.weight": (64, 4), "lora_down.weight": (4, 64), "lora_mid.weight": (4, 4, 9, 9)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_tensors_that_do_not_belong_together_are_refused_before_anything_is_computed(tmp_path, name):
    layer = next(iter(LAYERS))
    save_safetensors(tmp_path / "a.safetensors", {f"{layer}.{n}": torch.ones(s) for n, s in BROKEN[name].items()})
    with pytest.raises(IncompatibleModel):
        fit(read_weight_file(tmp_path / "a.safetensors"), table_of())


def test_sparse_places_outside_the_weight_are_refused(tmp_path):
    layer = next(iter(LAYERS))
    tensors = {n: t for n, t in lora_tensors().items() if n.startswith(layer)}
    tensors[f"{layer}.bias_indices"] = torch.tensor([[9999], [0]])
    tensors[f"{layer}.bias_values"] = torch.ones(1)
    tensors[f"{layer}.bias_size"] = torch.tensor([64, 64])
    save_safetensors(tmp_path / "a.safetensors", tensors)
    with pytest.raises(IncompatibleModel):
        fit(read_weight_file(tmp_path / "a.safetensors"), table_of())


def test_a_truncated_file_is_told_of(tmp_path):
    path = write_lora(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedFile, match=r"a\.safetensors"):
        read_weight_file(path)


def test_a_checkpoint_is_no_adapter(tmp_path):
    save_safetensors(tmp_path / "a.safetensors", {"model.diffusion_model.out.2.weight": torch.zeros(4, 4)})
    with pytest.raises(UnknownModel, match="no weight updates"):
        read_weight_file(tmp_path / "a.safetensors")
