"""Passes in infotexts: img2img, inpainting, hires fix, refiners, tiles, and the same from A1111."""

import pytest

from webui.infotext import infotext_to_request, read_infotext, request_to_infotext, written_part
from webui.request import (
    GenerationRequest,
    Guidance,
    Inpaint,
    Outpaint,
    Pass,
    Refiner,
    SoftInpaint,
    Tiles,
    from_dict,
    from_json,
    replace,
)


def back(request):
    return infotext_to_request(request_to_infotext(request))[0]


def fields(request):
    return read_infotext(request_to_infotext(request)).fields


IMAGE = Pass("image", denoising_strength=0.6)
MASKED = replace(IMAGE, mask="QUJD")
CASES = [  # passes, some of the fields that A1111 would write
    ((IMAGE,), {"Denoising strength": "0.6"}),
    ((replace(IMAGE, resize_mode="latent"),), {"Resize mode": "Just resize (latent upscale)"}),
    ((replace(IMAGE, noise_multiplier=0.5, extra_noise=0.1),), {"Noise multiplier": "0.5", "Extra noise": "0.1"}),
    ((replace(IMAGE, match_colours=True, exact_steps=True, background="#000000"),), {"Color correction": "True"}),
    ((MASKED,), {"Mask blur": "4"}),
    ((replace(MASKED, inpaint=Inpaint(mask_blur=(8, 2), invert=True)),), {"Mask mode": "Inpaint not masked"}),
    (
        (replace(MASKED, inpaint=Inpaint(area="masked", masked_content="latent noise", padding=48)),),
        {"Inpaint area": "Only masked", "Masked area padding": "48", "Masked content": "latent noise"},
    ),
    ((replace(MASKED, inpaint=Inpaint(area="masked")),), {"Masked area padding": "32"}),
    ((replace(MASKED, inpaint=Inpaint(condition_weight=0.5, round_mask=False)),), {"Conditional mask weight": "0.5"}),
    (
        (replace(MASKED, inpaint=Inpaint(soft=SoftInpaint(preservation=0.75))),),
        {"Soft inpainting enabled": "True", "Soft inpainting preservation strength": "0.75"},
    ),
    ((replace(IMAGE, outpaint=Outpaint(left=64, down=128)),), {"Outpainting": "left 64 down 128"}),
    ((replace(IMAGE, inpaint=Inpaint(from_alpha=True)),), {"Mask from alpha": "True"}),
    (
        (Pass(refiner=Refiner("xl refiner [7440042bbd]", 0.7)),),
        {"Refiner": "xl refiner [7440042bbd]", "Refiner switch at": "0.7"},
    ),
    ((Pass(refiner=Refiner("r", 0.5, by_steps=True)),), {"Refiner switch by sampling steps": "True"}),
    ((replace(IMAGE, tiles=Tiles(512, 96)),), {"Tile size": "512", "Tile overlap": "96"}),
    (
        (Pass(), Pass("previous", 768, 768, denoising_strength=0.4, upscaler="R-ESRGAN 4x+")),
        {"Hires upscale": "1.5", "Hires upscaler": "R-ESRGAN 4x+", "Hires steps": "20", "Denoising strength": "0.4"},
    ),
    (
        (Pass(), Pass("previous", 700, 512, denoising_strength=0.4)),
        {"Hires resize-1": "700", "Hires upscaler": "Latent"},
    ),
    (
        (
            Pass(),
            Pass(
                *("previous", 1024, 1024, "DPM++ 2M", "Karras", 12, Guidance(5.0)),
                denoising_strength=0.4,
                prompt="finer, a cat",
                negative_prompt="mud: no",
                checkpoint="other [0123456789]",
                refiner=Refiner("r"),
            ),
        ),
        {
            "Hires sampler": "DPM++ 2M",
            "Hires schedule type": "Karras",
            "Hires CFG Scale": "5",
            "Hires prompt": "finer, a cat",
            "Hires negative prompt": "mud: no",
            "Hires checkpoint": "other [0123456789]",
            "Hires refiner": "second pass",
        },
    ),
    (
        (Pass(refiner=Refiner("r")), Pass("previous", 1024, 1024, refiner=Refiner("r"))),
        {"Hires refiner": "both passes"},
    ),
    ((Pass(refiner=Refiner("r")), Pass("previous", 1024, 1024)), {"Hires refiner": "first pass"}),
]


@pytest.mark.parametrize(("passes", "wanted"), CASES)
def test_every_kind_of_pass_is_written_in_a1111s_keys_alone_and_read_back(passes, wanted):
    request = GenerationRequest("p", passes=passes, seed=1)
    found = fields(request)
    assert {key: found.get(key) for key in wanted} == wanted
    assert "Passes" not in found
    assert back(request) == written_part(request)
    assert from_json(request.to_json()) == request


def test_an_enlarged_picture_of_ones_own_is_written_in_full_and_short():
    passes = (replace(IMAGE, denoising_strength=0.0), Pass("previous", 1024, 1024, denoising_strength=0.4))
    text = request_to_infotext(GenerationRequest("p", passes=passes))
    assert infotext_to_request(text)[0].passes == passes
    assert len(text) < 600
    assert "Denoising strength: 0.4, " in text and "Hires upscale: 2, " in text  # for other programs


INPAINTED = """a cat
Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.75, \
Mask mode: Inpaint not masked, Inpaint area: Only masked, Masked area padding: 64, Mask blur: 8, \
Masked content: fill, Soft inpainting enabled: True, Soft inpainting schedule bias: 1, Version: v1.10.1"""


def test_an_inpainted_picture_of_a1111_becomes_a_request():
    step = infotext_to_request(INPAINTED)[0].passes[0]
    assert step.source == "image"
    assert step.inpaint == Inpaint((8, 8), True, "fill", "masked", 64, soft=SoftInpaint())


@pytest.mark.parametrize(("version", "by_steps"), [("v1.6.0", True), ("v1.8.0", False), ("v1.10.1", False)])
def test_refiners_of_old_pictures_switch_at_a_share_of_the_steps(version, by_steps):
    text = f"x\nSteps: 9, Sampler: Euler, Refiner: r [abc], Refiner switch at: 0.6, Version: {version}"
    assert infotext_to_request(text)[0].passes[0].refiner == Refiner("r [abc]", 0.6, by_steps)


@pytest.mark.parametrize("value", ["left", "left x", "top 4", "left 4 right"])
def test_unreadable_outpainting_stays_in_the_rest(value):
    request, rest = infotext_to_request(f"x\nSteps: 9, Seed: 4, Denoising strength: 0.5, Outpainting: {value}")
    assert request.passes[0].outpaint == Outpaint()
    assert rest["Outpainting"] == value


def test_requests_of_before_these_passes_are_still_read():
    old = {"prompt": "p", "passes": [{"source": "image", "image": "QUJD", "denoising_strength": 0.5}], "version": 1}
    assert from_dict(old).passes == (Pass("image", image="QUJD", denoising_strength=0.5),)
