"""Pictures of every program are read from files that follow that program's own shapes."""

from __future__ import annotations

import html
import json

import pytest

from tests.exchange import samples
from tests.exchange.writers import fooocus_jpeg, png, stealth, with_comment
from webui.exchange import PictureInfo, read_picture
from webui.imaging.metadata import encode_picture
from webui.infotext import request_to_infotext
from webui.request import GenerationRequest, Pass, Refiner, check


def request_of(info: PictureInfo) -> GenerationRequest:
    """The request, which must be one that a plan would take."""
    assert info.request is not None
    return check(info.request)


def names(info: PictureInfo) -> set[str]:
    """What was left out."""
    return {entry.name for entry in info.left_out}


def key_values(request: GenerationRequest) -> tuple:
    """Sampler, schedule, steps, scale, seed and size of the first pass."""
    first = request.passes[0]
    where = first.width, first.height
    return first.sampler, first.schedule, first.steps, first.guidance.scale, request.seed, where


@pytest.mark.parametrize("write", [lambda text: png({"parameters": text}), with_comment], ids=["png", "jpeg"])
def test_a1111_with_hires_fix(write):
    info = read_picture(write(samples.A1111))
    request = request_of(info)
    assert (info.program, info.infotext, info.width, info.height) == ("AUTOMATIC1111", samples.A1111, 64, 48)
    assert key_values(request) == ("DPM++ 2M SDE", "Karras", 27, 6.5, 4242, (640, 768))
    assert request.prompt == "a lighthouse, (storm:1.2), <lora:film:0.6>" and request.negative_prompt == "blurry, text"
    assert (request.checkpoint, request.vae, request.clip_skip, request.noise_source) == (
        "v1-5-pruned",
        "kl-f8",
        2,
        "CUDA",
    )
    assert [(p.source, p.width, p.height, p.steps) for p in request.passes[1:]] == [("previous", 960, 1152, 12)]


def test_forge_shows_what_has_no_place_here():
    info = read_picture(png({"parameters": samples.FORGE}))
    assert info.program == "Forge" and key_values(request_of(info)) == ("Euler", "Simple", 20, 1, 7, (896, 1152))
    assert "Model hash" not in names(info)


def test_a_vae_among_forges_modules_is_the_vae():
    info = read_picture(png({"parameters": samples.FORGE_MODULES}))
    assert info.program == "Forge" and request_of(info).vae == "ae" and names(info) == {"Module 1"}


def test_civitais_generator_names_files_by_their_titles_which_are_listed():
    info = read_picture(with_comment(samples.CIVITAI))
    request = request_of(info)
    assert key_values(request) == ("DPM++ 2M", "Karras", 22, 3.8, 89, (832, 1216))
    assert (request.prompt, request.negative_prompt, request.checkpoint) == ("a lighthouse", "", None)
    told = [(entry.name, entry.value) for entry in info.left_out]
    assert told == [("checkpoint", "SD XL v1.0 VAE fix"), ("lora", "Double Exposure v2: 0.85")]


def test_sdnext_with_hires_fix():
    info = read_picture(png({"parameters": samples.SDNEXT_HIRES}))
    second = request_of(info).passes[1]
    assert (second.width, second.height, second.steps, second.denoising_strength) == (1248, 1824, 20, 0.3)
    assert (second.guidance.scale, second.upscaler, info.left_out) == (5, "ESRGAN 4x Remacri", ())


def test_sdnext():
    info = read_picture(png({"parameters": samples.SDNEXT}))
    assert info.program == "SD.Next" and not info.left_out
    assert key_values(request_of(info)) == ("Euler a", "Automatic", 24, 5, 99, (1024, 768))


def test_old_names_of_sampler_and_schedule_are_taken_apart():
    first = request_of(read_picture(png({"parameters": samples.OLD}))).passes[0]
    assert (first.sampler, first.schedule) == ("DPM++ 2M", "Karras")


@pytest.mark.parametrize(
    "data",
    [
        png({"parameters": json.dumps(samples.FOOOCUS), "fooocus_scheme": "fooocus"}),
        fooocus_jpeg(json.dumps(samples.FOOOCUS), "fooocus"),
    ],
    ids=["png", "jpeg"],
)
def test_fooocus_own_scheme(data):
    info = read_picture(data)
    request = request_of(info)
    assert info.program == "Fooocus"
    assert key_values(request) == ("DPM++ 2M SDE", "Karras", 30, 4.5, 3141592653589793238, (1152, 896))
    lora = "<lora:sd_xl_offset_example-lora_1.0:0.1>"
    assert request.prompt == f"cinematic still a lighthouse BREAK a lighthouse, sharp focus {lora}"
    assert request.negative_prompt == "(worst quality, low quality:1.4)"
    assert request.checkpoint == "juggernautXL_v8Rundiffusion" and request.vae == "Automatic"
    assert {"sharpness", "adm_guidance", "styles"} <= names(info)


@pytest.mark.parametrize(
    "data",
    [
        png({"parameters": samples.FOOOCUS_A1111, "fooocus_scheme": "a1111"}),
        fooocus_jpeg(samples.FOOOCUS_A1111, "a1111"),
    ],
    ids=["png", "jpeg"],
)
def test_fooocus_second_scheme(data):
    info = read_picture(data)
    request = request_of(info)
    assert info.program == "Fooocus" and {"Sharpness", "ADM Guidance"} <= names(info)
    assert key_values(request) == ("DPM++ 2M SDE", "Karras", 30, 4.5, 31, (1152, 896))
    assert request.prompt == "cinematic still a lighthouse <lora:offset:0.1>" and request.vae == "sdxl_vae"


def test_invokeai_2_with_weights_and_the_negative_prompt_in_brackets():
    info = read_picture(png({"sd-metadata": json.dumps(samples.INVOKEAI_2), "Dream": "whatever"}))
    request = request_of(info)
    assert info.program == "InvokeAI"
    assert key_values(request) == ("DPM++ 2S a", "Uniform", 50, 7.5, 3357757885, (512, 768))
    assert request.prompt == "a (tall lighthouse:1.3) (storm:1.21)" and request.negative_prompt == "blurry, text"
    assert request.emphasis == "No norm" and request.checkpoint == "stable-diffusion-1.5"


def test_invokeai_2_with_a_command_line():
    text = '"a red fox [blurry, text]" -s 50 -S 3357757885 -W 512 -H 768 -C 7.5 -A k_euler_a'
    request = request_of(read_picture(png({"Dream": text})))
    assert key_values(request) == ("Euler a", "Uniform", 50, 7.5, 3357757885, (512, 768))
    assert (request.prompt, request.negative_prompt) == ("a red fox", "blurry, text")


def test_invokeai_3_and_later():
    info = read_picture(png({"invokeai_metadata": json.dumps(samples.INVOKEAI_3), "invokeai_graph": "{}"}))
    request = request_of(info)
    assert key_values(request) == ("DPM++ 2M", "Karras", 33, 5.5, 2718281828, (1024, 768))
    assert request.prompt == "a (lighthouse:0.81) storm <lora:film grain:0.65>" and request.clip_skip == 2
    assert request.checkpoint == "dreamshaper-xl" and request.passes[0].guidance.rescale == 0.7
    assert "controlnets" in names(info)


def test_invokeai_with_the_graph_alone():
    graph = {"id": "sdxl", "nodes": {"a": {"type": "noise"}, "m": {**samples.INVOKEAI_3, "type": "core_metadata"}}}
    info = read_picture(png({"invokeai_graph": json.dumps(graph)}))
    assert info.program == "InvokeAI" and request_of(info).seed == 2718281828


def test_an_invokeai_blend_is_left_as_it_is_and_listed():
    text = '("a cat", "a dog").blend(0.5, 0.5)'
    info = read_picture(png({"invokeai_metadata": json.dumps({**samples.INVOKEAI_3, "positive_prompt": text})}))
    assert request_of(info).prompt.startswith(text) and "prompt" in names(info)


def test_novelai():
    info = read_picture(png({**samples.NOVELAI_TEXTS, "Comment": json.dumps(samples.NOVELAI)}))
    request = request_of(info)
    assert info.program == "NovelAI"
    assert key_values(request) == ("DPM++ 2S a", "Karras", 28, 5.5, 3071474384, (832, 1216))
    assert request.prompt == r"(lighthouse:1.1025), (storm:0.95238) \(really\)"
    assert request.negative_prompt == "lowres, (bad anatomy:1.05)"
    assert request.passes[0].source == "noise" and request.passes[0].guidance.rescale == 0.2
    assert (request.clip_skip, request.passes[0].options.noise_seed_delta) == (2, 31337)
    assert {"Source", "uncond_scale"} <= names(info)


def test_novelai_4_with_characters():
    caption = {"base_caption": "1.5::lighthouse, storm::, sea", "char_captions": [{"char_caption": "girl"}]}
    comment = {**samples.NOVELAI, "v4_prompt": {"caption": caption, "use_order": True}}
    info = read_picture(png({**samples.NOVELAI_TEXTS, "Comment": json.dumps(comment)}))
    assert request_of(info).prompt == "(lighthouse, storm:1.5), sea, girl" and request_of(info).clip_skip == 1
    assert "character prompt" in names(info)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"parameters": {**samples.FOOOCUS, "refiner_model": "fine.safetensors", "refiner_switch": 0.6}}, "fine"),
        (
            {"invokeai_metadata": {**samples.INVOKEAI_3, "refiner_model": {"name": "xl fine"}, "refiner_start": 0.6}},
            "xl fine",
        ),
    ],
    ids=["fooocus", "invokeai"],
)
def test_refiners_of_other_programs_are_refiners(data, name):
    info = read_picture(png({key: json.dumps(value) for key, value in data.items()}))
    assert request_of(info).passes[0].refiner == Refiner(name, 0.6, by_steps=True)
    assert not {"refiner_model", "refiner_switch", "refiner_start"} & names(info)


@pytest.mark.parametrize("packed", [True, False])
def test_novelai_in_the_lowest_bits_of_alpha(packed):
    hidden = json.dumps({**samples.NOVELAI_TEXTS, "Comment": json.dumps(samples.NOVELAI)})
    info = read_picture(stealth(hidden, "alpha", packed))
    assert info.program == "NovelAI" and request_of(info).seed == 3071474384
    assert info.items == {"hidden text": hidden}


@pytest.mark.parametrize("channels", ["alpha", "rgb"])
def test_an_infotext_in_the_lowest_bits(channels):
    info = read_picture(stealth(samples.A1111, channels, packed=True))
    assert info.program == "AUTOMATIC1111" and request_of(info).seed == 4242


@pytest.mark.parametrize(
    "data", [png({"parameters": json.dumps(samples.SWARMUI)}), with_comment(json.dumps(samples.SWARMUI))]
)
def test_swarmui(data):
    info = read_picture(data)
    request = request_of(info)
    assert info.program == "SwarmUI" and names(info) == {"emphasis"}
    assert key_values(request) == ("Euler a", "SGM Uniform", 26, 6.5, 882695506, (1216, 768))
    assert request.prompt == "a lighthouse, (storm:1.3) <lora:film:0.4> <lora:grain:0.7>"
    assert (request.checkpoint, request.clip_skip, request.emphasis) == ("sd_xl_base_1.0", 2, "No norm")


@pytest.mark.parametrize(
    "data",
    [
        png({name: str(value) for name, value in samples.EASY_DIFFUSION.items()}),
        with_comment(json.dumps(samples.EASY_DIFFUSION)),
    ],
    ids=["png", "jpeg"],
)
def test_easy_diffusion(data):
    info = read_picture(data)
    request = request_of(info)
    assert info.program == "Easy Diffusion" and not info.left_out
    assert key_values(request) == ("Euler a", "Automatic", 25, 7.5, 1234, (512, 640))
    assert request.prompt == "a lighthouse <lora:film:0.5>" and request.negative_prompt == "blurry"
    assert (request.checkpoint, request.vae, request.clip_skip) == ("sd-v1-5", "vae-ft-mse", 2)


def test_draw_things_in_xmp():
    packet = samples.XMP.format(html.escape(json.dumps(samples.DRAW_THINGS)))
    info = read_picture(png({"XML:com.adobe.xmp": packet}, international=True))
    request = request_of(info)
    assert info.program == "Draw Things" and not info.left_out
    assert key_values(request) == ("DPM++ 2M", "Karras", 22, 6.5, 424242, (512, 768))
    assert request.prompt == "a lighthouse <lora:film:0.6>" and request.checkpoint == "sd_v1.5_f16"


def test_midjourney_gives_its_words():
    info = read_picture(png({"Description": samples.MIDJOURNEY, "Author": "someone"}))
    assert info.program == "Midjourney" and names(info) == {"--ar", "--v"}
    assert request_of(info).prompt == "a lighthouse in a storm" and request_of(info).negative_prompt == "people, boats"


def test_own_pictures_read_back():
    from PIL import Image

    request = GenerationRequest(prompt="a [b:c:0.5] d", seed=5, checkpoint="x", passes=(Pass(steps=9, sampler="LMS"),))
    text = request_to_infotext(request, version="1.0")
    info = read_picture(encode_picture(Image.new("RGB", (8, 8)), text))
    assert (info.program, info.request, info.left_out) == ("Emulsion", request, ())


def test_a_picture_that_says_nothing_of_a_program_is_shown_raw():
    info = read_picture(png({"Author": "me", "Copyright": "mine"}))
    assert (info.program, info.request, info.infotext) == (None, None, "")
    assert info.items == {"Author": "me", "Copyright": "mine"}


def test_values_that_cannot_be_used_are_listed_and_the_rest_is_read():
    data = {**samples.INVOKEAI_3, "steps": 10**9, "width": "wide", "scheduler": "magic"}
    info = read_picture(png({"invokeai_metadata": json.dumps(data)}))
    assert {"steps", "width", "scheduler"} <= names(info)
    assert request_of(info).passes[0].height == 768 and request_of(info).passes[0].steps == Pass().steps


UPSCALED = "Postprocess upscale to: 512x768, Postprocess crop to: 512x768, Postprocess upscaler: R-ESRGAN 4x+"
SAID = {
    "Postprocess upscale to": "512x768",
    "Postprocess crop to": "512x768",
    "Postprocess upscaler": "R-ESRGAN 4x+",
}


@pytest.mark.parametrize(
    "data",
    [
        png({"parameters": samples.A1111, "extras": UPSCALED, "postprocessing": UPSCALED}),
        with_comment(f"{samples.A1111}, {UPSCALED}"),
        with_comment(f"{samples.A1111}, {UPSCALED}", "WEBP"),
    ],
)
def test_what_extras_did_is_read_apart_from_how_the_picture_was_drawn(data):
    info = read_picture(data)
    assert info.postprocessing == SAID
    assert info.request == read_picture(png({"parameters": samples.A1111})).request
    assert not [one for one in info.left_out if one.name.startswith("Postprocess")]


@pytest.mark.parametrize("text", [UPSCALED, "Postprocess upscale by: 4, Postprocess upscaler: Lanczos"])
@pytest.mark.parametrize("write", [with_comment, lambda text: png({"postprocessing": text, "extras": text})])
def test_a_picture_that_was_only_enlarged_fills_no_prompt(write, text):
    info = read_picture(write(text))
    assert info.request is None and "Postprocess upscaler" in info.postprocessing


def test_a_prompt_without_settings_stays_one_when_its_picture_was_enlarged():
    info = read_picture(png({"parameters": "a red barn", "postprocessing": UPSCALED}))
    assert info.request is not None and info.request.prompt == "a red barn"
