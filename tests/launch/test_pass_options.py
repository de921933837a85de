"""Options of `generate` for pictures, masks, second passes, refiners and tiles."""

import base64
import re
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from webui.cli import parse
from webui.commands import build_request
from webui.errors import InvalidRequest
from webui.families.base import Defaults
from webui.request import GenerationRequest, Guidance, Inpaint, Outpaint, Pass, Refiner, SoftInpaint, Tiles
from webui.settings import SETTINGS as DECLARED

FACTS: Any = types.SimpleNamespace(native_size=512, defaults=Defaults())
SETTINGS = {setting.name: setting.value.default for setting in DECLARED}


def request_of(*arguments: str, start: GenerationRequest | None = None, **settings: Any) -> GenerationRequest:
    """The request of a `generate` command line."""
    return build_request(parse(["generate", *arguments]), FACTS, SETTINGS | settings, start)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """A file of 640 × 384 pixels."""
    Image.new("RGB", (640, 384), "teal").save(tmp_path / "p.png")
    return str(tmp_path / "p.png")


def content(file: str) -> str:
    return base64.b64encode(Path(file).read_bytes()).decode()


def test_a_picture_makes_an_image_pass_of_its_size(picture: str) -> None:
    step = request_of("--init-image", picture).passes[0]
    assert (step.source, step.image, step.denoising_strength) == ("image", content(picture), 0.75)
    assert (step.width, step.height) == (640, 384)
    assert request_of("--init-image", picture, "--width", "256").passes[0].width == 256


def test_a_picture_far_above_the_checkpoints_size_is_made_smaller(tmp_path: Path) -> None:
    Image.new("L", (4000, 3000)).save(tmp_path / "large.png")
    step = request_of("--init-image", str(tmp_path / "large.png")).passes[0]
    assert abs(step.width * step.height - FACTS.native_size**2) < 0.05 * FACTS.native_size**2
    assert abs(step.width / step.height - 4 / 3) < 0.02


def test_every_option_of_a_picture_and_its_mask_reaches_the_pass(picture: str) -> None:
    step = request_of(
        *("--init-image", picture, "--init-image", picture, "--denoise", "0.4", "--resize-mode", "crop"),
        *("--upscaler", "ESRGAN", "--exact-steps", "--noise-multiplier", "0.9", "--extra-noise", "0.1"),
        *("--match-colours", "--background", "#102030", "--image-cfg", "1.25", "--mask", picture, "--mask-blur", "8"),
        *("--invert-mask", "--masked-content", "latent noise", "--inpaint-area", "masked", "--padding", "16"),
        *("--mask-weight", "0.5", "--soft-inpaint", "--mask-from-alpha"),
    ).passes[0]
    assert step.images == (content(picture),)
    assert step.mask == content(picture)
    assert (step.denoising_strength, step.resize_mode, step.upscaler) == (0.4, "crop", "ESRGAN")
    assert (step.exact_steps, step.noise_multiplier, step.extra_noise) == (True, 0.9, 0.1)
    assert (step.match_colours, step.background, step.guidance.image_scale) == (True, "#102030", 1.25)
    assert step.inpaint == Inpaint((8, 8), True, "latent noise", "masked", 16, True, True, 0.5, SoftInpaint())


def test_outpainting_grows_the_size_that_the_picture_has(picture: str) -> None:
    step = request_of("--init-image", picture, "--outpaint", "left=64, down=128").passes[0]
    assert step.outpaint == Outpaint(left=64, down=128)
    assert (step.width, step.height) == (704, 512)
    for text in ("left", "top=3", "left=x"):
        with pytest.raises(InvalidRequest, match="outpaint"):
            request_of("--init-image", picture, "--outpaint", text)


def test_any_hires_option_adds_a_second_pass_like_the_first() -> None:
    size = FACTS.native_size
    first, second = request_of("--steps", "9", "--cfg", "5", "--hires-scale", "1.5").passes
    assert second == Pass(
        *("previous", int(size * 1.5), int(size * 1.5), first.sampler, first.schedule, 9),
        guidance=first.guidance,
        denoising_strength=0.7,
    )
    assert request_of("--hires-steps", "4").passes[1].width == 2 * size
    assert request_of("--width", "512", "--height", "768", "--hires-height", "1536").passes[1].width == 1024


def test_every_option_of_the_second_pass_reaches_it() -> None:
    second = request_of(
        *("--hires-width", "800", "--hires-height", "600", "--hires-upscaler", "Latent (nearest)"),
        *("--hires-steps", "5", "--hires-denoise", "0.3", "--hires-sampler", "Heun", "--hires-schedule", "Karras"),
        *("--hires-cfg", "3", "--hires-prompt", "fine", "--hires-negative", "mud", "--hires-checkpoint", "other"),
    ).passes[1]
    assert (second.width, second.height, second.upscaler, second.steps) == (800, 600, "Latent (nearest)", 5)
    assert (second.denoising_strength, second.sampler, second.schedule) == (0.3, "Heun", "Karras")
    assert (second.guidance.scale, second.prompt, second.negative_prompt) == (3, "fine", "mud")
    assert second.checkpoint == "other"


def test_refiner_and_tiles_belong_to_the_last_pass() -> None:
    options = "--refiner", "r", "--refiner-at", "0.6", "--refiner-by-steps", "--upscale-tiles", "512"
    alone = request_of(*options).passes
    assert (alone[0].refiner, alone[0].tiles) == (Refiner("r", 0.6, True), Tiles(512))
    first, second = request_of(*options, "--tile-overlap", "96", "--hires-scale", "2").passes
    assert (first.refiner, first.tiles) == (None, None)
    assert (second.refiner, second.tiles) == (Refiner("r", 0.6, True), Tiles(512, 96))


def test_options_change_the_passes_of_a_request_from_a_file() -> None:
    start = GenerationRequest(
        passes=(Pass(), Pass("previous", 1024, 1024, guidance=Guidance(3.0), denoising_strength=0.2))
    )
    _, second = request_of("--hires-denoise", "0.5", "--hires-scale", "3", start=start).passes
    assert (second.width, second.denoising_strength, second.guidance.scale) == (1536, 0.5, 3.0)


@pytest.mark.parametrize(
    "options",
    [
        ["--denoise", "0.5"],
        ["--mask", "x.png"],
        ["--outpaint", "left=8"],
        ["--refiner-at", "0.5"],
        ["--mask-blur", "3"],
    ],
)
def test_options_that_would_do_nothing_are_refused(options: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        request_of(*options)


@pytest.mark.parametrize("options", [["--invert-mask"], ["--soft-inpaint"], ["--mask-blur", "3"], ["--padding", "8"]])
def test_options_of_a_mask_are_refused_where_there_is_none(picture: str, options: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=options[0]):
        request_of("--init-image", picture, *options)
    for mask in (["--mask", picture], ["--mask-from-alpha"], ["--outpaint", "left=8"]):
        assert request_of("--init-image", picture, *mask, *options).passes[0].masked


def test_a_file_that_is_no_picture_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("notes.txt", "missing.png"):
        with pytest.raises(InvalidRequest, match=re.escape(name)):
            request_of("--init-image", str(tmp_path / name))


def test_what_settings_say_about_pictures_is_what_is_not_given(picture: str) -> None:
    changes = {"match_colours": True, "noise_multiplier": 0.9, "inpainting_mask_weight": 0.4}
    step = request_of("--init-image", picture, **changes).passes[0]
    assert (step.match_colours, step.noise_multiplier, step.inpaint.condition_weight) == (True, 0.9, 0.4)
