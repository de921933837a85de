"""img2img, inpainting and instruct-pix2pix give what diffusers' pipelines give, where the definitions agree.

Ten steps are taken because then diffusers' and A1111's time steps fall on whole numbers, where both mean one noise
level. diffusers runs int(steps · strength) steps, A1111 one more.
"""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from tests.families.tiny import build
from webui.engine.hooks import HookChain, NamedHooks
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.extend import JobHooks, Start
from webui.imaging.convert import to_tensor
from webui.paths import Paths
from webui.request import GenerationRequest, Guidance, Inpaint, Pass
from webui.settings import Settings

STEPS, SIZE, SEED = 10, 64, 5
TOLERANCE = 2e-3  # of latents of about unit size: float32 sums in another order, over ten steps of a random network


@pytest.fixture(scope="module")
def tiny(request, tmp_path_factory):
    """Oracle and session on the same weights, with this many input channels."""
    home = tmp_path_factory.mktemp(f"tiny{request.param}")
    (home / "models" / "checkpoints").mkdir(parents=True)
    made = build("sd1", home / "models" / "checkpoints" / "tiny", request.param)
    made.file.rename(home / "models" / "checkpoints" / "single.safetensors")
    paths = Paths(home / "data", home / "models", home / "outputs", {}, home)
    return made, Session(Settings(paths), device="cpu", precision="float32")


def network(channels):
    return pytest.mark.parametrize("tiny", [channels], indirect=True, ids=[f"{channels} channels"])


@pytest.fixture(autouse=True)
def no_sampling_of_the_posterior(monkeypatch):
    """Ours takes the mean of the posterior, as a picture should not depend on who drew before."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)


class Watching(JobHooks):
    """Keeps the last latents, and may take something off the first."""

    def __init__(self, subtract=None):
        self.latents, self.subtract = None, subtract

    def edit_start(self, start):
        taken = 0 if self.subtract is None else self.subtract
        return Start(start.latents - taken, start.sigmas, start.pass_index)

    def on_step(self, step):
        self.latents = step.denoised


def picture(seed=0):
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIZE, SIZE))


def mask():
    made = Image.new("L", (SIZE, SIZE), 0)
    made.paste(255, (16, 24, 48, 56))  # whole latent cells
    return made


def encoded(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def ours(session, watching=None, **fields):
    """The latents that our engine ends with."""
    watching = watching or Watching()
    step = Pass("image", SIZE, SIZE, "Euler", "Uniform", STEPS, image=encoded(picture()), **fields)
    request = GenerationRequest("a red apple", "mud", checkpoint="single", seed=SEED, passes=(step,), save=False)
    plan = make_plan(request, session.catalogue)
    run(replace(plan, hooks=HookChain((NamedHooks("watch", watching),))), session)
    return watching.latents


def pipeline(kind, made, **options):
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace", steps_offset=1
    )
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    found = kind(vae=made.vae, text_encoder=made.texts[0], tokenizer=None, unet=made.unet, scheduler=scheduler, **parts)
    found.set_progress_bar_config(disable=True)
    return found


def prompts(session):
    request = GenerationRequest()
    session.load(session.catalogue.find("single"))
    positive, negative = session.conditionings(("a red apple", "mud"), (False, True), request, (SIZE, SIZE))
    return {"prompt_embeds": positive.context, "negative_prompt_embeds": negative.context}


def theirs(pipe, session, strength, **options):
    call = {"num_inference_steps": STEPS, "output_type": "latent", "generator": torch.Generator().manual_seed(SEED)}
    if strength is not None:
        call["strength"] = strength
    with torch.no_grad():
        return pipe(**call, **prompts(session), image=picture(), **options).images


def distance(first, second):
    return float((first - second).abs().max() / second.abs().max())


@network(4)
@pytest.mark.parametrize(("strength", "steps"), [(0.45, 5), (0.75, 8)])
def test_img2img(tiny, strength, steps):
    made, session = tiny
    wanted = theirs(pipeline(StableDiffusionImg2ImgPipeline, made), session, steps / STEPS + 0.01, guidance_scale=6.0)
    found = ours(session, denoising_strength=strength, guidance=Guidance(6.0))
    assert distance(found, wanted) < TOLERANCE


@network(4)
def test_inpainting_with_an_ordinary_network(tiny):
    made, session = tiny
    pipe = pipeline(StableDiffusionInpaintPipeline, made)
    wanted = theirs(pipe, session, 0.81, mask_image=mask(), height=SIZE, width=SIZE, guidance_scale=6.0)
    found = ours(
        session, denoising_strength=0.75, guidance=Guidance(6.0), mask=encoded(mask()), inpaint=Inpaint((0, 0))
    )
    assert distance(found, wanted) < TOLERANCE


@network(9)
def test_an_inpainting_network_sees_what_diffusers_shows_it(tiny):
    made, session = tiny
    session.load(session.catalogue.find("single"))
    inputs = {"ours": [], "theirs": []}
    hooks = [
        made.unet.register_forward_pre_hook(lambda _, args: inputs["theirs"].append(args[0])),
        session.model.unet.register_forward_pre_hook(lambda _, args: inputs["ours"].append(args[0])),
    ]
    try:
        pipe = pipeline(StableDiffusionInpaintPipeline, made)
        theirs(pipe, session, 0.81, mask_image=mask(), height=SIZE, width=SIZE, guidance_scale=6.0)
        ours(session, denoising_strength=0.75, guidance=Guidance(6.0), mask=encoded(mask()), inpaint=Inpaint((0, 0)))
    finally:
        for hook in hooks:
            hook.remove()
    assert len(inputs["ours"]) == len(inputs["theirs"]) == 8
    first = inputs["ours"][0][:1], inputs["theirs"][0][:1]
    assert first[0].shape[1] == 9
    assert float((first[0] - first[1]).abs().max()) < 1e-4


@network(8)
def test_instruct_pix2pix_with_both_scales(tiny):
    made, session = tiny
    pipe = pipeline(StableDiffusionInstructPix2PixPipeline, made)
    wanted = theirs(pipe, session, None, guidance_scale=5.0, image_guidance_scale=1.5)
    # diffusers starts from noise alone, A1111 from the picture under the same noise
    watching = Watching(session.encode_picture(to_tensor(picture())))
    found = ours(session, watching, denoising_strength=1.0, guidance=Guidance(5.0, image_scale=1.5))
    assert distance(found, wanted) < TOLERANCE
    assert distance(ours(session, denoising_strength=1.0, guidance=Guidance(5.0, image_scale=3.0)), wanted) > TOLERANCE
