"""The checkpoint that ships, through masks and tiles: what is seen, not only what is computed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.engine.pictures import as_base64, pixels
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.imaging.masks import blurred
from webui.paths import Paths
from webui.request import GenerationRequest, Guidance, Inpaint, Pass, Tiles
from webui.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
APPLE = "red apple, flat style, white background"


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    """Draw with the starter."""
    home = tmp_path_factory.mktemp("starter")
    paths = Paths(home / "data", home / "models", home / "outputs", {}, ROOT)
    settings = Settings(paths).changed({"live_previews": False})
    session = Session(settings, device="cpu", precision="float32")

    def draw(prompt, *passes):
        request = GenerationRequest(prompt, checkpoint="starter", seed=7, passes=passes, save=False)
        return run(make_plan(request, session.catalogue), session)[0].image

    return draw


def step(source="noise", size=128, steps=12, **fields):
    return Pass(source, size, size, "DPM++ 2M", steps=steps, guidance=Guidance(4.0), **fields)


@pytest.fixture(scope="module")
def apple(draw):
    return draw(APPLE, step())


def test_a_frog_is_painted_into_an_apple_and_the_apple_around_it_stays(draw, apple):
    mask = Image.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).ellipse((34, 40, 94, 100), fill=255)
    inpaint = Inpaint((2, 2), masked_content="latent noise")
    made = pixels(
        draw(
            "frog, flat style, white background",
            step("image", image=as_base64(apple), mask=as_base64(mask), inpaint=inpaint, denoising_strength=1.0),
        )
    ).astype(int)
    before, painted = pixels(apple).astype(int), np.asarray(blurred(mask, (2, 2))) > 0
    assert (made[~painted] == before[~painted]).all()
    greenness = [(p[..., 1] - p[..., 0])[np.asarray(mask) > 0].mean() for p in (before, made)]
    assert greenness[0] < -100, "an apple is red"
    assert greenness[1] > greenness[0] + 60, "a frog is green"


def test_an_enlarged_apple_is_the_same_apple_without_seams_between_its_tiles(draw, apple):
    kept = step("image", image=as_base64(apple), denoising_strength=0.0)
    later = step("previous", 256, 6, denoising_strength=0.3, upscaler="Lanczos", tiles=Tiles(128, 32))
    made = pixels(draw(APPLE, kept, later)).astype(float)
    small = np.asarray(Image.fromarray(made.astype(np.uint8)).resize((128, 128), Image.Resampling.BOX), float)
    assert np.corrcoef(small.ravel(), pixels(apple).ravel())[0, 1] > 0.95
    across = np.abs(np.diff(made, axis=1)).mean((0, 2))  # of each column to the next, [255]
    seams = across[[63, 127, 191]]  # where tiles of 16 cells begin and end
    assert seams.mean() < 1.5 * np.delete(across, [63, 127, 191]).mean()
