"""Several samplers in a row, pictures to start from, masks: what of a workflow becomes a pass."""

from __future__ import annotations

import pytest

from tests.exchange.graphs import DEFAULT, changed, node
from tests.exchange.test_comfyui import reasons, request_of, sampler_of
from webui.exchange import read_workflow


def test_a_second_sampler_on_enlarged_latents_is_hires_fix():
    graph = changed(
        DEFAULT,
        n20=node("LatentUpscaleBy", upscale_method="bicubic", scale_by=1.5, samples=("3", 0)),
        n21=sampler_of(),
        n8={"samples": ("21", 0)},
    )
    first, second = request_of(graph).passes
    assert (first.source, first.width, first.height) == ("noise", 640, 384)
    assert (second.source, second.width, second.height, second.steps) == ("previous", 960, 576, 12)
    assert (second.denoising_strength, second.guidance.scale, second.upscaler) == (0.5, 5, "Latent (bicubic)")
    assert (second.sampler, second.schedule, second.prompt) == ("Euler", "Normal", None)
    assert "KSampler #21" in reasons(read_workflow(graph))  # its seed is another


def test_hires_fix_through_a_model_and_a_size():
    graph = changed(
        DEFAULT,
        n20=node("VAEEncode", pixels=("24", 0), vae=("4", 2)),
        n21=sampler_of(seed=156680208700286, denoise=0.4),
        n22=node("UpscaleModelLoader", model_name="RealESRGAN_x4plus.pth"),
        n23=node("ImageUpscaleWithModel", upscale_model=("22", 0), image=("8", 0)),
        n24=node("ImageScale", upscale_method="lanczos", width=1280, height=768, crop="disabled", image=("23", 0)),
        n25=node("VAEDecode", samples=("21", 0), vae=("4", 2)),
        n9={"images": ("25", 0)},
    )
    reading = read_workflow(graph)
    second = reading.request.passes[1]
    assert (second.source, second.width, second.height) == ("previous", 1280, 768)
    assert second.upscaler == "RealESRGAN_x4plus" and set(reasons(reading)) == {"noise"}


@pytest.mark.parametrize(("name", "factor"), [("4x-UltraSharp.pth", 4), ("2x_Compact.pth", 2), ("omni.pth", 4)])
def test_how_much_a_model_enlarges_is_in_its_name(name, factor):
    graph = changed(
        DEFAULT,
        n20=node("VAEEncode", pixels=("23", 0), vae=("4", 2)),
        n21=sampler_of(),
        n22=node("UpscaleModelLoader", model_name=name),
        n23=node("ImageUpscaleWithModel", upscale_model=("22", 0), image=("8", 0)),
        n25=node("VAEDecode", samples=("21", 0), vae=("4", 2)),
        n9={"images": ("25", 0)},
    )
    reading = read_workflow(graph)
    assert reading.request.passes[1].width == 640 * factor
    assert ("ImageUpscaleWithModel #23" in reasons(reading)) == (name == "omni.pth")


def test_a_model_behind_the_last_sampler_is_work_for_extras():
    graph = changed(
        DEFAULT,
        n22=node("UpscaleModelLoader", model_name="4x.pth"),
        n23=node("ImageUpscaleWithModel", upscale_model=("22", 0), image=("8", 0)),
        n9={"images": ("23", 0)},
    )
    reading = read_workflow(graph)
    assert len(reading.request.passes) == 1 and "Extras" in reasons(reading)["ImageUpscaleWithModel #23"]


def test_a_second_prompt_and_checkpoint_belong_to_the_second_pass():
    graph = changed(
        DEFAULT,
        n20=node(
            "LatentUpscale", upscale_method="nearest-exact", width=1024, height=0, crop="disabled", samples=("3", 0)
        ),
        n30=node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
        n31=node("CLIPTextEncode", text="sharp details", clip=("30", 1)),
        n21=sampler_of(model=("30", 0), positive=("31", 0)),
        n8={"samples": ("21", 0)},
    )
    request = request_of(graph)
    second = request.passes[1]
    assert (second.prompt, second.negative_prompt, second.checkpoint) == ("sharp details", "text, watermark", "other")
    assert (second.width, second.height, second.upscaler) == (1024, 614, "Latent (nearest-exact)")
    assert request.checkpoint == "v1-5-pruned-emaonly-fp16"


def advanced(seed: int, start: int, end: int, adds: str, leaves: str, **links) -> dict:
    """KSamplerAdvanced of 25 steps."""
    others = {"steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return node(
        "KSamplerAdvanced",
        add_noise=adds,
        noise_seed=seed,
        start_at_step=start,
        end_at_step=end,
        return_with_leftover_noise=leaves,
        **others,
        **{"model": ("4", 0), "positive": ("6", 0), "negative": ("7", 0), "latent_image": ("5", 0), **links},
    )


def test_a_sampler_that_takes_over_the_noise_is_the_refiner():
    graph = changed(
        DEFAULT,
        n3=advanced(77, 0, 20, "enable", "enable"),
        n30=node("CheckpointLoaderSimple", ckpt_name="sd_xl_refiner_1.0.safetensors"),
        n31=node("CLIPTextEncodeSDXLRefiner", ascore=6, width=1024, height=1024, text="a", clip=("30", 1)),
        n21=advanced(0, 20, 10000, "disable", "disable", model=("30", 0), positive=("31", 0), latent_image=("3", 0)),
        n8={"samples": ("21", 0)},
    )
    request = request_of(graph)
    assert len(request.passes) == 1 and request.seed == 77 and request.passes[0].steps == 25
    refiner = request.passes[0].refiner
    assert refiner is not None
    assert (refiner.checkpoint, refiner.switch_at, refiner.by_steps) == ("sd_xl_refiner_1.0", 0.8, True)


def test_one_checkpoint_in_two_such_samplers_is_one_run():
    graph = changed(
        DEFAULT,
        n3=advanced(77, 0, 10, "enable", "enable"),
        n21=advanced(0, 10, 10000, "disable", "disable", latent_image=("3", 0)),
        n8={"samples": ("21", 0)},
    )
    (step,) = request_of(graph).passes
    assert (step.steps, step.refiner, step.noise_multiplier) == (25, None, 1)


def test_a_split_of_the_noise_levels_is_a_refiner_too():
    def custom(sigmas: tuple, noise: str, latent: tuple, model: str) -> dict:
        return node(
            "SamplerCustomAdvanced",
            noise=(noise, 0),
            guider=(model, 0),
            sampler=("16", 0),
            sigmas=sigmas,
            latent_image=latent,
        )

    graph = changed(
        DEFAULT,
        n16=node("KSamplerSelect", sampler_name="euler"),
        n17=node("BasicScheduler", scheduler="simple", steps=20, denoise=1, model=("4", 0)),
        n18=node("SplitSigmas", step=14, sigmas=("17", 0)),
        n19=node("RandomNoise", noise_seed=3),
        n20=node("DisableNoise"),
        n30=node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
        n31=node("CFGGuider", model=("4", 0), positive=("6", 0), negative=("7", 0), cfg=5),
        n32=node("CFGGuider", model=("30", 0), positive=("6", 0), negative=("7", 0), cfg=5),
        n3=custom(("18", 0), "19", ("5", 0), "31"),
        n21=custom(("18", 1), "20", ("3", 0), "32"),
        n8={"samples": ("21", 0)},
    )
    (step,) = request_of(graph).passes
    assert step.steps == 20 and step.refiner is not None
    assert (step.refiner.checkpoint, step.refiner.switch_at) == ("other", 0.7)


def test_an_upscaling_sampler_that_starts_late_has_the_strength_that_starts_there():
    graph = changed(
        DEFAULT,
        n20=node("LatentUpscaleBy", upscale_method="bilinear", scale_by=2, samples=("3", 0)),
        n21=advanced(156680208700286, 15, 10000, "enable", "disable", latent_image=("20", 0)),
        n8={"samples": ("21", 0)},
    )
    second = request_of(graph).passes[1]
    assert (second.steps, second.denoising_strength, second.upscaler) == (10, 0.4, "Latent")
    assert int(second.steps / second.denoising_strength) == 25


@pytest.mark.parametrize("start", range(1, 25))
def test_every_start_finds_its_noise_level_again(start):
    """A pass of n steps at strength s goes through the last n of int(n / s) noise levels."""
    graph = changed(
        DEFAULT,
        n20=node("LatentUpscaleBy", upscale_method="bilinear", scale_by=2, samples=("3", 0)),
        n21=advanced(1, start, 10000, "enable", "disable", latent_image=("20", 0)),
        n8={"samples": ("21", 0)},
    )
    second = request_of(graph).passes[1]
    assert second.steps == 25 - start and int(second.steps / second.denoising_strength) == 25


def test_a_loaded_picture_makes_img2img():
    graph = changed(
        DEFAULT,
        "5",
        n40=node("LoadImage", image="sea.png"),
        n41=node("ImageScale", upscale_method="lanczos", width=768, height=512, crop="center", image=("40", 0)),
        n42=node("VAEEncode", pixels=("41", 0), vae=("4", 2)),
        n3={"latent_image": ("42", 0), "denoise": 0.6},
    )
    reading = read_workflow(graph)
    (step,) = reading.request.passes
    assert (step.source, step.width, step.height, step.denoising_strength) == ("image", 768, 512, 0.6)
    assert (step.exact_steps, step.steps, step.resize_mode, step.masked) == (True, 23, "crop", False)
    assert {entry.name: entry.value for entry in reading.left_out}["LoadImage #40"] == "image: sea.png"


def test_the_finished_picture_tells_the_size_where_the_workflow_does_not():
    graph = changed(
        DEFAULT,
        "5",
        n40=node("LoadImage", image="sea.png"),
        n42=node("VAEEncode", pixels=("40", 0), vae=("4", 2)),
        n3={"latent_image": ("42", 0), "denoise": 0.6},
    )
    (step,) = read_workflow(graph, (704, 448)).request.passes
    assert (step.width, step.height) == (704, 448)
    assert "size" in reasons(read_workflow(graph))


def test_masks_of_the_two_kinds():
    fill = changed(
        DEFAULT,
        "5",
        n40=node("LoadImage", image="sea.png"),
        n42=node("VAEEncodeForInpaint", grow_mask_by=6, pixels=("40", 0), mask=("40", 1), vae=("4", 2)),
        n3={"latent_image": ("42", 0)},
    )
    step = read_workflow(fill, (512, 512)).request.passes[0]
    assert step.masked and step.inpaint.masked_content == "fill" and step.inpaint.mask_blur == (0, 0)
    original = changed(
        fill,
        "42",
        n42=node("VAEEncode", pixels=("40", 0), vae=("4", 2)),
        n43=node("SetLatentNoiseMask", samples=("42", 0), mask=("40", 1)),
        n3={"latent_image": ("43", 0)},
    )
    step = read_workflow(original, (512, 512)).request.passes[0]
    assert step.masked and step.inpaint.masked_content == "original"


def test_inpainting_checkpoints_get_their_latents_with_the_prompts():
    graph = changed(
        DEFAULT,
        "5",
        n40=node("LoadImage", image="sea.png"),
        n42=node(
            "InpaintModelConditioning",
            noise_mask=True,
            positive=("6", 0),
            negative=("7", 0),
            pixels=("40", 0),
            mask=("40", 1),
            vae=("4", 2),
        ),
        n3={"latent_image": ("42", 2), "positive": ("42", 0), "negative": ("42", 1)},
    )
    request = read_workflow(graph, (512, 512)).request
    assert request.passes[0].masked and request.negative_prompt == "text, watermark"
    assert request.prompt == "beautiful scenery nature glass bottle landscape"


def test_repeated_latents_are_the_batch():
    graph = changed(DEFAULT, n10=node("RepeatLatentBatch", amount=3, samples=("5", 0)), n3={"latent_image": ("10", 0)})
    assert request_of(graph).batch_size == 6
