"""Which family a file belongs to, from its header alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from tests.keys import all_lists, header_of
from webui import families
from webui.errors import UnknownModel
from webui.families import FAMILIES
from webui.registry import Registry
from webui.weights.canonical import canonical
from webui.weights.header import read_header
from webui.weights.save import save_safetensors
from webui.weights.tensors import DTYPE_BYTES, Header, TensorInfo

CHECKPOINTS = {
    "sd15": ("sd1", "text"),
    "sd15-inpaint": ("sd1", "inpaint"),
    "sd15-pix2pix": ("sd1", "edit"),
    "unet-sd15-diffusers": ("sd1", "text"),
    "sd21-v": ("sd2", "text"),
    "sdxl-base": ("sdxl", "text"),
    "unet-sdxl-diffusers": ("sdxl", "text"),
    "sdxl-refiner": ("sdxl-refiner", "text"),
}
OTHERS = {
    "animatediff-motion-lora": "a motion or attention LoRA",
    "animatediff-": "an AnimateDiff motion module",
    "animatelcm-": "an AnimateDiff motion module",
    "cascade-effnet": "a Stable Cascade image encoder",
    "cascade-previewer": "a Stable Cascade previewer",
    "cascade-stage-a": "a Stable Cascade stage A",
    "cascade-stage-b": "a Stable Cascade stage B",
    "cascade-stage-c": "a Stable Cascade stage C",
    "clip-g-hf": "a CLIP text encoder",
    "clip-g-openclip": "an OpenCLIP text encoder",
    "clip-h-openclip": "an OpenCLIP text encoder",
    "clip-l": "a CLIP text encoder",
    "clip-vision": "a CLIP image encoder",
    "control-lora": "a Control-LoRA",
    "controlnet-lllite": "a ControlNet-LLLite",
    "controlnet-": "a ControlNet",
    "flux-controlnet": "a ControlNet",
    "flux-dev-bnb": "a checkpoint in 4-bit NF4 or FP4 form",
    "flux-ip-adapter": "an IP-Adapter",
    "flux-": "a Flux.1 network",
    "ip-adapter": "an IP-Adapter",
    "kolors-chatglm3": "a ChatGLM text encoder",
    "kolors-unet": "a Kolors network",
    "lora-": "a LoRA",
    "sd3-": "a Stable Diffusion 3 network",
    "t2i-adapter": "a T2I-Adapter",
    "t5xxl": "a T5 text encoder",
    "taef1": "a tiny autoencoder for previews (TAESD)",
    "taesd": "a tiny autoencoder for previews (TAESD)",
    "vae-": "a VAE",
}


@pytest.mark.parametrize("name", all_lists())
def test_of_every_published_key_list_one_family_fits_or_the_error_says_what_it_is(name):
    header = header_of(name)
    fitting = [entry.name for entry in FAMILIES if entry.value.detects(canonical(header))]
    if name in CHECKPOINTS:
        assert fitting == [CHECKPOINTS[name][0]]
        assert families.facts(header).variant == CHECKPOINTS[name][1]
        return
    assert fitting == []
    expected = next(what for start, what in OTHERS.items() if name.startswith(start))
    with pytest.raises(UnknownModel, match=f"is {expected}".replace("(", r"\(").replace(")", r"\)")):
        families.detect(header)


@pytest.mark.parametrize(
    ("name", "width", "pooled", "size", "scale"),
    [("sd15", 768, 0, 512, 0.18215), ("sd21-v", 1024, 0, 512, 0.18215), ("sdxl-base", 2048, 2816, 1024, 0.13025),
     ("sdxl-refiner", 1280, 2560, 1024, 0.13025)],
)  # fmt: skip
def test_facts_hold_what_the_shapes_say(name, width, pooled, size, scale):
    facts = families.facts(header_of(name))
    assert (facts.context_width, facts.pooled_width, facts.native_size) == (width, pooled, size)
    assert (facts.latent_channels, facts.factor, facts.scale, facts.shift) == (4, 8, scale, 0)
    assert facts.parts == ("unet", "vae", "text")
    assert len(facts.latents.preview_factors) == 4 and facts.latents.tiny_decoder


def test_two_families_that_fit_are_an_error_that_names_both(monkeypatch):
    double: Registry = Registry("model family")
    double.register("a")(FAMILIES["sd1"])
    double.register("b")(FAMILIES["sd1"])
    monkeypatch.setattr(families, "FAMILIES", double)
    with pytest.raises(UnknownModel, match="several families: Stable Diffusion 1, Stable Diffusion 1"):
        families.detect(header_of("sd15"))


def changed(name: str, **extra: TensorInfo) -> Header:
    header = header_of(name)
    return header_of(name, {**header.tensors, **{key.replace("__", "."): info for key, info in extra.items()}})


SCALAR = TensorInfo((), "F32")


def test_an_xl_network_with_another_text_encoder_is_refused_by_name():
    with pytest.raises(UnknownModel, match="Kolors"):
        families.detect(changed("sdxl-base", encoder_hid_proj__weight=SCALAR))


def test_playground_is_an_xl_with_a_continuous_noise_law_and_standardised_latents():
    facts = families.facts(changed("sdxl-base", edm_mean=TensorInfo((4,), "F32"), edm_std=TensorInfo((4,), "F32")))
    assert facts.continuous == (0.002, 80.0, 0.5) and facts.prediction == "epsilon" and facts.scale == 0.5
    latents = torch.randn(1, 4, 3, 3)
    inside = facts.latents.into_network(latents)
    # diffusers' Playground pipeline: (latents − mean)·scale / std
    mean, std = (torch.tensor(v).view(1, 4, 1, 1) for v in (facts.latents.mean, facts.latents.deviation))
    assert torch.allclose(inside, (latents - mean) * 0.5 / std, atol=1e-6)
    assert torch.allclose(facts.latents.out_of_network(inside), latents, atol=1e-5)


def test_cosxl_takes_its_noise_levels_from_the_file(tmp_path):
    marks = {"edm_vpred.sigma_min": torch.tensor(0.004), "edm_vpred.sigma_max": torch.tensor(90.0)}
    save_safetensors(tmp_path / "cos.safetensors", marks)
    file = read_header(tmp_path / "cos.safetensors")
    both = Header(file.path, "safetensors", {**header_of("sdxl-base").tensors, **file.tensors}, {}, file.places)
    facts = families.facts(both)
    assert facts.prediction == "v" and facts.continuous == pytest.approx((0.004, 90.0, 1.0))
    assert facts.law().sigma_max == pytest.approx(90)


def test_a_depth_checkpoint_and_an_unclip_checkpoint_are_refused_by_name():
    depth = "depth_model__model__pretrained__act_postprocess3__0__project__0__bias"
    with pytest.raises(UnknownModel, match="depth"):
        families.detect(changed("sd21-v", **{depth: SCALAR}))
    with pytest.raises(UnknownModel, match="unCLIP"):
        families.detect(changed("sd21-v", embedder__model__ln_final__weight=SCALAR))


def test_a_network_with_an_odd_number_of_input_channels_is_refused():
    name = "model.diffusion_model.input_blocks.0.0.weight"
    with pytest.raises(UnknownModel):
        families.detect(changed("sd15", **{name.replace(".", "__"): TensorInfo((320, 5, 3, 3), "F32")}))


def test_stray_lora_tensors_in_a_merge_do_no_harm():
    header = changed("sdxl-base", lora_te1_text_model_encoder__lora_up__weight=TensorInfo((4, 4), "F16"))
    assert families.detect(header).name == "sdxl"


def test_a_base_with_a_text_encoder_missing_fits_nothing():
    header = header_of("sdxl-base")
    kept = {name: info for name, info in header.tensors.items() if "embedders.1" not in name}
    with pytest.raises(UnknownModel):
        families.detect(header_of("sdxl-base", kept))


@pytest.mark.parametrize(
    ("metadata", "size"),
    [({"emulsion.native_size": "128"}, 128), ({"modelspec.resolution": "768x768"}, 768),
     ({"modelspec.resolution": "1344x768"}, 1016), ({"modelspec.resolution": "large"}, 512), ({}, 512)],
)  # fmt: skip
def test_the_native_size_comes_from_the_metadata_or_the_family(metadata, size):
    assert families.facts(header_of("sd15", **metadata)).native_size == size


def test_a_checkpoint_can_bring_its_own_preview_colours():
    rows = "[[1,2,3],[4,5,6],[7,8,9],[1,1,1],[0.5,0.5,0.5]]"
    latents = families.facts(header_of("sd15", **{"emulsion.preview_factors": rows})).latents
    assert latents.preview_factors[1] == (4, 5, 6) and latents.preview_bias == (0.5, 0.5, 0.5)
    broken = families.facts(header_of("sd15", **{"emulsion.preview_factors": "[[1]]"})).latents
    assert broken.preview_factors == families.facts(header_of("sd15")).latents.preview_factors


# --- prediction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd15", "sd21-v", "sdxl-base"])
@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [({"modelspec.prediction_type": "v"}, "v"), ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
     ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v"), ({}, "epsilon")],
)  # fmt: skip
def test_metadata_tell_the_prediction(name, metadata, prediction):
    assert families.facts(header_of(name, **metadata)).prediction == prediction


def test_marker_tensors_of_xl_tell_velocity_and_zero_terminal_snr():
    facts = families.facts(changed("sdxl-base", v_pred=SCALAR, ztsnr=SCALAR))
    assert facts.prediction == "v" and facts.zero_terminal_snr
    assert facts.defaults.guidance_rescale == 0.7
    assert not families.facts(header_of("sdxl-base")).zero_terminal_snr


@pytest.mark.parametrize(("line", "prediction"), [('parameterization: "v"', "v"), ("parameterization: eps", "epsilon")])
def test_a_sidecar_file_overrides_everything_else(line, prediction, tmp_path):
    header = header_of("sd21-v", **{"modelspec.prediction_type": "v"})
    (tmp_path / "m.yaml").write_text(f"model:\n  params:\n    {line}\n")
    moved = Header(tmp_path / "m.safetensors", "safetensors", header.tensors, header.metadata)
    assert families.facts(moved).prediction == prediction


@pytest.mark.parametrize(("step", "prediction"), [("110000", "v"), ("220000", "epsilon"), ("5", "epsilon")])
def test_the_training_step_of_the_original_sd2_files_tells_the_prediction(step, prediction):
    assert families.facts(header_of("sd21-v", global_step=step)).prediction == prediction


@pytest.mark.parametrize(("spread", "prediction", "size"), [(0.2, "v", 768), (0.03, "epsilon", 512)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_spread_of_one_bias_tells_sd2_velocity_nets_apart(spread, prediction, size, dtype, tmp_path):
    name = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    torch.manual_seed(0)
    save_safetensors(tmp_path / "bias.safetensors", {name: (torch.randn(320) * spread).to(dtype)})
    bias = read_header(tmp_path / "bias.safetensors")
    tensors = {**header_of("sd21-v").tensors, name: bias.tensors[name]}
    facts = families.facts(Header(bias.path, "safetensors", tensors, {}, bias.places))
    assert (facts.prediction, facts.native_size) == (prediction, size)


def test_detection_reads_nothing_but_the_header(tmp_path):
    path = tmp_path / "header-only.safetensors"
    entries, position = {}, 0
    for name, info in header_of("sd15").tensors.items():
        size = info.count * DTYPE_BYTES[info.dtype]
        entries[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": (position, position + size)}
        position += size
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)  # a sparse file of 4 GB
    assert families.detect(read_header(path)).name == "sd1"
    assert Path(path).stat().st_blocks * 512 < 1 << 24
