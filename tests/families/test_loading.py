"""Checkpoints from disk to networks, compared with diffusers on the same random weights."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from webui import families
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.families.loading import load
from webui.families.vae import doubt, sidecar_vae
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.weights.assign import without_memory
from webui.weights.header import read_header
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors

ROOT = Path(__file__).parents[2]
CPU, F32 = torch.device("cpu"), torch.float32
NAMES = ("sd1", "sd2", "sdxl", "sdxl-refiner")


def loaded(path, **options):
    with open_weights(path) as weights:
        return families.detect(weights.header).load(weights, CPU, F32, **options)


def state_of(path) -> dict[str, torch.Tensor]:
    with open_weights(path) as weights:
        return {name: weights.tensor(name).clone() for name in weights.header.tensors}


def oracle_prediction(tiny, x, timestep, context, pooled, facts):
    """diffusers' UNet; its XL kind builds the vector of sizes itself, so ours is taken apart again."""
    if not facts.pooled_width:
        return tiny.unet(x, timestep, context).sample
    width = tiny.texts[-1].config.projection_dim
    ids = torch.tensor([[96.0, 64.0, 0.0, 0.0, 96.0, 64.0]])[:, : (facts.pooled_width - width) // 256]
    text = pooled[:, :width]
    return tiny.unet(x, timestep, context, added_cond_kwargs={"text_embeds": text, "time_ids": ids}).sample


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("name", NAMES)
def test_the_network_computes_what_diffusers_computes(name, kind, tiny):
    from webui.families.sdxl import pooled_vector

    oracle = tiny(name)
    model = loaded(getattr(oracle, kind))
    torch.manual_seed(0)
    x, timestep = torch.randn(2, 4, 8, 8), torch.tensor([17.0, 900.0])
    context, pooled = torch.randn(2, 77, model.facts.context_width), None
    if model.facts.pooled_width:
        width = oracle.texts[-1].config.projection_dim
        numbers = (96.0, 64.0, 0.0, 0.0, 96.0, 64.0)[: (model.facts.pooled_width - width) // 256]
        text = torch.randn(1, width)
        pooled = pooled_vector(text, numbers).expand(2, -1)
    with torch.no_grad():
        ours = model.unet(x, timestep, context, pooled)
        theirs = oracle_prediction(oracle, x, timestep, context, None if pooled is None else pooled[:1], model.facts)
    assert (ours - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_autoencoder_computes_what_diffusers_computes(kind, tiny):
    oracle = tiny("sd1")
    model = loaded(getattr(oracle, kind))
    torch.manual_seed(0)
    latents, picture = torch.randn(1, 4, 8, 8), torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        theirs = oracle.vae.decode(latents).sample, oracle.vae.encode(picture).latent_dist.mean
        ours = model.vae.decode(latents), model.vae.encode(picture)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() < 1e-4 * max(1, b.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_a_file_is_used(name, tiny):
    assert loaded(tiny(name).file).unused == ()


def test_tensors_that_nothing_takes_are_shown(tiny, tmp_path):
    state = state_of(tiny("sd1").file) | {"odd.tensor": torch.ones(1), "alphas_cumprod": torch.ones(1000)}
    save_safetensors(tmp_path / "x.safetensors", state)
    assert loaded(tmp_path / "x.safetensors").unused == ("odd.tensor",)


@pytest.mark.parametrize(("channels", "variant"), [(9, "inpaint"), (8, "edit")])
def test_inpainting_and_editing_networks_are_told_by_their_input_channels(channels, variant, tiny):
    model = loaded(tiny("sd1", channels).file)
    assert model.facts.variant == variant
    assert model.unet.input_blocks[0][0].weight.shape[1] == channels


def test_a_lightning_checkpoint_gives_its_last_weights_or_its_averages(tiny, tmp_path):
    state = state_of(tiny("sd1").file)
    prefix = "model.diffusion_model."
    averages = {
        "model_ema." + ("diffusion_model." + name[len(prefix) :]).replace(".", ""): tensor + 1
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    torch.save({"state_dict": {**state, **averages}, "global_step": 7}, tmp_path / "train.ckpt")
    last, average = loaded(tmp_path / "train.ckpt"), loaded(tmp_path / "train.ckpt", ema=True)
    assert torch.equal(last.unet.out[2].weight + 1, average.unet.out[2].weight)
    assert torch.equal(last.vae.encoder.conv_in.weight, average.vae.encoder.conv_in.weight)
    assert last.unused == ()


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    """A checkpoint of the starter's make: fewer levels, narrow text encoder, one residual block a level in the VAE."""
    folder, width = tmp_path_factory.mktemp("starter"), 192
    with without_memory():
        unet = UNet(UNetConfig.regular(96, (1, 2, 3), (1, 1, 1), 1, 2, context_width=width))
        vae = Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 2, 4, 4), blocks=1))
        text = ClipText(ClipTextConfig(width=width, layers=4, heads=width // 64, hidden=4 * width))
    generator = torch.Generator().manual_seed(0)
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model.")
    state = {
        prefix + name: (torch.randn(tensor.shape, generator=generator) * 0.02).half()
        for prefix, module in zip(prefixes, (unet, vae, text), strict=True)
        for name, tensor in module.state_dict().items()
    }
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = (
        torch.arange(77).view(1, 77).float() + 0.01
    )
    save_safetensors(folder / "starter.safetensors", state, {"emulsion.native_size": "128"})
    return folder / "starter.safetensors"


def test_a_narrower_net_of_the_same_shape_is_read_off_its_file(starter):
    model = loaded(starter)
    assert model.facts.family == "sd1" and model.facts.native_size == 128 and model.facts.factor == 8
    assert model.unet.config.channels == 96 and model.facts.context_width == 192
    assert [c.context.shape for c in model.encode(["a red apple"])] == [(1, 77, 192)]
    with torch.no_grad():
        out = model.unet(torch.randn(1, 4, 16, 16), torch.tensor([5.0]), torch.randn(1, 77, 192))
    assert out.shape == (1, 4, 16, 16) and bool(out.isfinite().all())
    assert model.unused == ()


def test_a_network_that_is_cut_off_is_refused_with_its_name(tiny, tmp_path):
    state = state_of(tiny("sd1").file)
    del state["model.diffusion_model.middle_block.0.in_layers.2.bias"]
    save_safetensors(tmp_path / "cut.safetensors", state)
    with pytest.raises(DamagedFile, match=r"cut\.safetensors lacks 1 tensors: middle_block.0.in_layers.2.bias"):
        loaded(tmp_path / "cut.safetensors")


def test_a_half_renamed_network_gives_a_typed_error(tiny, tmp_path):
    state = state_of(tiny("sd1").file)
    state = {name: t for name, t in state.items() if "input_blocks.2." not in name}
    save_safetensors(tmp_path / "gap.safetensors", state)
    with pytest.raises(IncompatibleModel, match="input_blocks"):
        loaded(tmp_path / "gap.safetensors")


def test_loading_brings_neither_the_compiler_nor_the_oracles_libraries_and_no_second_copy(starter):
    program = (
        "import sys, torch\n"
        "from webui import families\n"
        "from webui.weights.header import read_header\n"
        "import webui.families.loading\n"
        "anonymous = lambda: next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon'))\n"
        "before = anonymous()\n"
        "model = families.detect(read_header(sys.argv[1])).load(sys.argv[1], 'cpu', torch.float16, storage='file')\n"
        "print(anonymous() - before, *{'torch._dynamo', 'transformers', 'diffusers'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(starter)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    kilobytes, *modules = done.stdout.split()
    assert modules == []
    assert int(kilobytes) < 30_000  # of 70 MB: the weights stay where they are mapped


# --- parts from other files ------------------------------------------------------------------------------------------


def test_a_bare_network_takes_text_encoders_and_vae_from_other_files(tiny, tmp_path):
    for name in ("sd1", "sdxl"):
        state = state_of(tiny(name).file)
        bare = {n.removeprefix("model.diffusion_model."): t for n, t in state.items() if n.startswith("model.diff")}
        save_safetensors(tmp_path / "bare.safetensors", bare)
        assert families.facts(read_header(tmp_path / "bare.safetensors")).parts == ("unet",)
        with pytest.raises(IncompatibleModel, match="no text encoder"):
            loaded(tmp_path / "bare.safetensors")
        options = {"text_paths": [tiny(name).file]}
        with pytest.raises(IncompatibleModel, match="no VAE"):
            loaded(tmp_path / "bare.safetensors", **options)
        model = loaded(tmp_path / "bare.safetensors", vae_path=tiny(name).folder, **options)
        whole = loaded(tiny(name).file)
        a, b = (m.encode(["cat"])[0].context for m in (model, whole))
        assert torch.equal(a, b)


def test_a_text_encoder_of_another_width_is_refused(tiny, tmp_path):
    state = state_of(tiny("sd1").file)
    other = ClipText(ClipTextConfig(width=128, layers=1, heads=2, hidden=64, vocabulary=49408)).state_dict()
    state = {n: t for n, t in state.items() if not n.startswith("cond")}
    state |= {f"cond_stage_model.transformer.text_model.{n}": t for n, t in other.items()}
    save_safetensors(tmp_path / "x.safetensors", state)
    with pytest.raises(IncompatibleModel, match=r"width 128.*wants 64"):
        loaded(tmp_path / "x.safetensors")


@pytest.fixture
def vae_state(tiny) -> dict[str, torch.Tensor]:
    prefix = "first_stage_model."
    state = state_of(tiny("sd1").file)
    return {n[len(prefix) :]: t + 1 for n, t in state.items() if n.startswith(prefix)}


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
@pytest.mark.parametrize("wrapper", [True, False])
def test_a_separate_vae_replaces_the_files_own(prefix, wrapper, vae_state, tiny, tmp_path):
    state = {prefix + n: t for n, t in vae_state.items()} | {"loss.discriminator.weight": torch.ones(3)}
    torch.save({"state_dict": state} if wrapper else state, tmp_path / "my.vae.pt")
    model = loaded(tiny("sd1").file, vae_path=tmp_path / "my.vae.pt")
    assert torch.equal(model.vae.decoder.conv_in.weight, vae_state["decoder.conv_in.weight"])


def test_the_vae_of_a_diffusers_folder_can_be_taken(tiny):
    model = loaded(tiny("sd1").file, vae_path=tiny("sdxl").folder)
    assert model.vae.config.latent_channels == 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"latent_channels": 16}, "16 channels"),
        ({"multipliers": (1, 2, 2)}, "4 times"),
        ({"multipliers": (1,) * 5}, "16 times"),
    ],
)
def test_a_vae_with_other_latents_is_refused(config, message, tiny, tmp_path):
    vae = Autoencoder(dataclasses.replace(AutoencoderConfig(channels=32, blocks=1), **config))
    save_safetensors(tmp_path / "v.safetensors", vae.state_dict())
    with pytest.raises(IncompatibleModel, match=message):
        loaded(tiny("sd1").file, vae_path=tmp_path / "v.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vae_with_values_that_are_no_numbers_is_refused(value, vae_state, tiny, tmp_path):
    vae_state["encoder.down.0.block.0.conv1.weight"][0, 0, 0, 0] = value
    save_safetensors(tmp_path / "v.safetensors", vae_state)
    with pytest.raises(DamagedFile, match="no numbers"):
        loaded(tiny("sd1").file, vae_path=tmp_path / "v.safetensors")


def test_a_checkpoint_without_a_vae_is_no_vae_and_a_lora_is_no_vae(tiny, tmp_path):
    save_safetensors(tmp_path / "lora.safetensors", {"lora_unet_x.lora_up.weight": torch.ones(2, 2)})
    with pytest.raises(IncompatibleModel, match="holds no VAE"):
        loaded(tiny("sd1").file, vae_path=tmp_path / "lora.safetensors")


@pytest.mark.parametrize(
    ("file", "metadata", "warned_for"),
    [
        ("sdxl_vae.safetensors", {}, {"sd1", "sd2"}),
        ("vae-ft-mse-840000.safetensors", {}, {"sdxl"}),
        ("mine.safetensors", {"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"}, {"sd1", "sd2"}),
        ("mine.safetensors", {}, set()),
    ],
)
def test_a_vae_of_the_wrong_make_is_doubted_by_name_or_metadata(file, metadata, warned_for, vae_state, tiny, tmp_path):
    save_safetensors(tmp_path / file, {"decoder.conv_in.weight": torch.ones(1)}, metadata)
    header = read_header(tmp_path / file)
    for name in ("sd1", "sd2", "sdxl"):
        facts = families.facts(read_header(tiny(name).file))
        assert (doubt(header, facts) is not None) == (name in warned_for)


def test_a_vae_beside_the_checkpoint_under_its_name_is_found(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert sidecar_vae(tmp_path / "model.safetensors") is None
    (tmp_path / "model.vae.pt").touch()
    assert sidecar_vae(tmp_path / "model.safetensors") == tmp_path / "model.vae.pt"


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", [None, torch.float16, torch.float8_e4m3fn, "file"])
def test_weights_may_be_stored_in_another_type_than_they_compute_in(storage, tiny):
    oracle = tiny("sd1")
    model = loaded(oracle.file, storage=storage)
    wanted = {None: F32, "file": F32}.get(storage, storage)
    assert model.unet.middle_block[0].in_layers[2].weight.dtype == wanted
    assert model.unet.middle_block[0].in_layers[0].weight.dtype == F32  # norms stay
    torch.manual_seed(0)
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    with torch.no_grad():
        ours = model.unet(x, torch.tensor([9.0]), context)
        theirs = oracle.unet(x, 9, context).sample
    # relative error of one rounding to 3 or 10 stored bits, times a generous growth through the net
    bound = {torch.float8_e4m3fn: 0.5, torch.float16: 5e-3}.get(storage, 1e-4)
    assert (ours - theirs).norm() / theirs.norm() < bound
    assert model.encode(["cat"])[0].context.dtype == F32


def test_a_half_precision_file_computes_in_float32_from_mapped_weights(starter):
    model = loaded(starter, storage="file")
    linear = model.unet.time_embed[0].weight
    with open_weights(starter) as weights:
        stored = weights.tensor("model.diffusion_model.time_embed.0.weight")
    assert linear.dtype == torch.float16 and torch.equal(linear, stored)
    assert model.encode(["cat"])[0].context.isfinite().all()


def test_an_xl_autoencoder_is_not_run_in_float16(tiny):
    with open_weights(tiny("sdxl").file) as weights:
        model = families.FAMILIES["sdxl"].load(weights, CPU, torch.float16)
    assert model.vae.decoder.conv_in.weight.dtype == F32
    assert model.unet.out[2].weight.dtype == torch.float16


# --- folders and errors ----------------------------------------------------------------------------------------------


def test_a_folders_scheduler_tells_prediction_and_noise_levels(tiny, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(tiny("sd2").folder, folder)
    (folder / "scheduler").mkdir()
    settings = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "beta_end": 0.014,
                "num_train_timesteps": 1100, "beta_schedule": "scaled_linear"}  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    facts = families.facts(read_header(folder))
    assert (facts.prediction, facts.zero_terminal_snr, facts.betas) == ("v", True, (0.00085, 0.014, 1100))
    assert len(facts.law().sigmas) == 1100 and facts.law().sigma_max > 1000


def test_the_law_of_a_model_is_the_published_one(tiny):
    law = loaded(tiny("sd1").file).law(512, 512)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    assert law.sigma_max == pytest.approx(float(((1 - alphas[-1]) / alphas[-1]) ** 0.5), rel=1e-9)


def test_a_family_refuses_another_familys_file(tiny):
    with pytest.raises(IncompatibleModel, match="no Stable Diffusion 2"):
        load(families.FAMILIES["sd2"], tiny("sd1").file, CPU, F32)


def test_a_folder_without_a_unet_is_described(tiny, tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "X", "vae": ["diffusers", "AutoencoderKL"]}))
    (tmp_path / "vae").symlink_to(tiny("sd1").folder / "vae")
    with pytest.raises(UnknownModel):
        families.detect(read_header(tmp_path))
