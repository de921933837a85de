"""Distilled models are known by their publishers' names, and what only sounds like one is not."""

import subprocess
import sys

import pytest

from webui.adapters.speed import speed_recipe
from webui.diffusion.samplers import SAMPLERS, resolve_names
from webui.request import Guidance, Pass, SamplerOptions
from webui.weights.tensors import Header, TensorInfo

FILES = {  # as published, with what the publishers say: kind, sampler, steps, guidance
    "lcm-lora-sdv1-5/pytorch_lora_weights.safetensors": ("lcm", "LCM", 6, 1.5),
    "sdxl_lcm_lora.safetensors": ("lcm", "LCM", 6, 1.5),
    "LCM_LoRA_Weights_SD15": ("lcm", "LCM", 6, 1.5),
    "sdxl_lightning_2step_lora": ("lightning", "Euler", 2, 1.0),
    "sdxl_lightning_4step_lora.safetensors": ("lightning", "Euler", 4, 1.0),
    "sdxl_lightning_8step_lora": ("lightning", "Euler", 8, 1.0),
    "Hyper-SD15-1step-lora": ("hyper", "DDIM", 1, 1.0),
    "Hyper-SDXL-8steps-lora.safetensors": ("hyper", "DDIM", 8, 1.0),
    "Hyper-SDXL-12steps-CFG-lora": ("hyper", "DDIM", 12, 6.0),
    "Hyper-SD15-8steps-CFG-lora": ("hyper", "DDIM", 8, 6.0),
    "sdxl_hyper_sd_4step_lora": ("hyper", "DDIM", 4, 1.0),
    "TCD-SDXL-LoRA/pytorch_lora_weights": ("tcd", "DDIM", 4, 1.0),
    "dmd2_sdxl_4step_lora_fp16": ("dmd2", "LCM", 4, 1.0),
    "DMD2 speed": ("dmd2", "LCM", 4, 1.0),
    "pcm_sd15_smallcfg_4step_converted": ("pcm", "DDIM", 4, 1.0),
    "pcm_sdxl_normalcfg_8step_converted": ("pcm", "DDIM", 8, 7.5),
    "pcm_sd15_lcmlike_lora_converted": ("pcm", "LCM", 4, 1.0),
    "sd_xl_turbo_lora_v1": ("turbo", "Euler a", 4, 1.0),
}
CHECKPOINTS = {
    "sdxl_lightning_4step.safetensors": ("lightning", "Euler", 4, 1.0),
    "juggernautXL_v9Rdphoto2Lightning": ("lightning", "DPM++ SDE", 6, 2.0),
    "realvisxlV50_v50LightningBakedvae": ("lightning", "DPM++ SDE", 6, 2.0),
    "sd_xl_turbo_1.0_fp16.safetensors": ("turbo", "Euler a", 4, 1.0),
    "sd-turbo": ("turbo", "Euler a", 4, 1.0),
    "DreamShaperXL_Turbo_v2": ("turbo", "DPM++ SDE", 7, 2.0),
    "photonLCM_v10": ("lcm", "LCM", 6, 1.5),
    "epicrealismXL_Hyper": ("hyper", "DDIM", 8, 1.0),
}
OTHERS = [
    "film", "add_detail", "steps", "4step", "dmd", "tcdress", "pcmaster", "calcmotion", "hyperrealistic_v2",
    "hyperdetailed_8k", "hypernetwork", "lightning_mage", "white-lightning", "turbocharged cars", "starter",
    "Hyper-FLUX.1-dev-8steps-lora", "FLUX.1-Turbo-Alpha", "Hyper-SD3-4steps-CFG-lora", "Qwen-Image-Lightning-4steps",
    "dmd2_sdxl_1step_unet", "character-000010-steps",
]  # fmt: skip


def header(layers=("lora_unet_mid_block_resnets_0_conv1.lora_down.weight",), **metadata):
    return Header(None, "safetensors", dict.fromkeys(layers, TensorInfo((64, 8), "F16")), metadata)


@pytest.mark.parametrize("name", FILES)
def test_published_loras_have_their_recipes(name):
    found = speed_recipe(name)
    assert found is not None
    assert (found.kind, found.sampler, found.steps, found.guidance_scale) == FILES[name]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_have_them_too(name):
    found = speed_recipe(name, checkpoint=True)
    assert found is not None
    assert (found.kind, found.sampler, found.steps, found.guidance_scale) == CHECKPOINTS[name]


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_sounds_like_it_has_none(name):
    assert speed_recipe(name) is None
    assert speed_recipe(name, header(ss_tag_frequency='{"a": {"lightning": 3}}')) is None


@pytest.mark.parametrize("name", ["superlightning", "my_turbo", "cool hyper"])
def test_ambiguous_words_count_when_the_layers_agree(name):
    assert speed_recipe(name, header()) is not None
    assert speed_recipe(name, header(layers=["lora_te_text_model_encoder_layers_0_mlp_fc1.alpha"])) is None
    assert speed_recipe(name, header(**{"modelspec.trigger_phrase": "a storm"})) is None


def test_metadata_name_a_file_that_was_renamed():
    assert speed_recipe("fast", header(ss_output_name="lcm-lora-sdv1-5")).kind == "lcm"
    assert speed_recipe("fast", header(**{"modelspec.title": "SDXL Lightning 4 step"})).steps == 4
    assert speed_recipe("lcm fast", header(**{"modelspec.architecture": "flux-1-dev/lora"})) is None


@pytest.mark.parametrize("name", [*FILES, *CHECKPOINTS])
def test_every_recipe_names_what_there_is(name):
    found = speed_recipe(name, checkpoint=name in CHECKPOINTS)
    assert resolve_names(found.sampler, found.schedule) == (found.sampler, found.schedule)
    assert found.note and found.label
    assert found.eta is None or "eta" in SAMPLERS.find(found.sampler).facts["options"]


def test_a_recipe_changes_its_own_settings_of_a_pass_alone():
    before = Pass(width=640, guidance=Guidance(7, rescale=0.5), options=SamplerOptions(eta=0.7, s_noise=1.1))
    after = speed_recipe("Hyper-SDXL-8steps-lora").applied(before)
    assert (after.sampler, after.schedule, after.steps, after.width) == ("DDIM", "SGM Uniform", 8, 640)
    assert after.guidance == Guidance(1.0, rescale=0.5)
    assert after.options == SamplerOptions(eta=0.0, s_noise=1.1)


def test_trailing_levels_are_those_that_the_models_were_made_for():
    """Publishers say 999, 749, 499, 249 for four steps."""
    from webui.diffusion.laws import DiscreteLaw
    from webui.diffusion.schedules import sigmas_for

    law = DiscreteLaw()
    recipe = speed_recipe("dmd2_sdxl_4step_lora")
    sigmas = sigmas_for(recipe.sampler, recipe.schedule, recipe.steps, law, SamplerOptions())
    assert [law.timestep(sigma) for sigma in sigmas[:-1]] == pytest.approx([999, 749, 499, 249], abs=1)


def test_it_is_told_without_torch():
    script = "import sys, webui.adapters.speed as s; s.speed_recipe('lcm'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
