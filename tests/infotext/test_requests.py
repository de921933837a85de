"""Requests as infotexts, and back."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.infotext import infotext_to_request, read_infotext, request_to_infotext, written_part
from webui.request import (
    MASKED_CONTENTS,
    RESIZE_MODES,
    GenerationRequest,
    Guidance,
    Inpaint,
    Outpaint,
    Pass,
    Refiner,
    SamplerOptions,
    SoftInpaint,
    Tiles,
    replace,
)


def back(request, facts=None):
    return infotext_to_request(request_to_infotext(request, facts))[0]


def fields(request, facts=None):
    return read_infotext(request_to_infotext(request, facts)).fields


def test_a_plain_request_looks_as_other_programs_write_it():
    request = GenerationRequest("a red apple", "blurry", checkpoint="starter", seed=7)
    facts = {"Model hash": "0123456789", "VAE hash": None}
    assert request_to_infotext(request, facts, "0.1.0") == (
        "a red apple\nNegative prompt: blurry\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 7, Size: 512x512, "
        "Model hash: 0123456789, Model: starter, RNG: CPU, Version: Emulsion 0.1.0"
    )


def test_everything_that_a_request_can_say_has_its_key():
    request = GenerationRequest(
        "p",
        vae="my vae",
        clip_skip=2,
        seed=1,
        variation_seed=2,
        variation_strength=0.25,
        resize_seed_from=(640, 448),
        noise_source="CUDA",
        emphasis="No norm",
        comma_backtrack=5,
        tiling=True,
        styles=("a", "b, c"),
        passes=(
            Pass(
                width=768,
                height=448,
                guidance=Guidance(5.5, 0.7, 0.1, 0.9, 0.2, 1.5, 1.25),
                options=SamplerOptions(0.3, 1.0, 0.1, 9.5, 1.003, 0.03, 14.6, 6.5, True, 31337),
            ),
        ),
    )
    found = fields(request)
    wanted = {
        "CFG scale": "5.5",
        "Image CFG scale": "1.25",
        "VAE": "my vae",
        "Variation seed": "2",
        "Variation seed strength": "0.25",
        "Seed resize from-1": "640",
        "Seed resize from-2": "448",
        "Clip skip": "2",
        "ENSD": "31337",
        "RNG": "NV",
        "Tiling": "True",
        "Schedule min sigma": "0.03",
        "Schedule max sigma": "14.6",
        "Schedule rho": "6.5",
        "Discard penultimate sigma": "True",
        "Sigma churn": "1",
        "Sigma tmin": "0.1",
        "Sigma tmax": "9.5",
        "Sigma noise": "1.003",
        "Eta": "0.3",
        "NGMS": "1.5",
        "Skip Early CFG": "0.2",
        "CFG rescale": "0.7",
        "CFG start": "0.1",
        "CFG end": "0.9",
        "Emphasis": "No norm",
        "Comma padding backtrack": "5",
        "Styles": '["a", "b, c"]',
    }
    assert {key: found.get(key) for key in wanted} == wanted
    assert back(request) == request


def test_the_eta_of_ddim_has_a_key_of_its_own():
    request = GenerationRequest(passes=(Pass(sampler="DDIM", options=SamplerOptions(eta=0.5)),))
    assert fields(request)["Eta DDIM"] == "0.5"
    assert back(request) == request


def test_a_second_pass_is_written_as_hires_fix():
    first = Pass(guidance=Guidance(6.0))
    second = Pass("previous", 1024, 1024, "DPM++ 2M", "Karras", 12, Guidance(6.0), denoising_strength=0.55)
    request = GenerationRequest(seed=1, passes=(first, second))
    found = fields(request)
    assert found["Denoising strength"] == "0.55"
    assert (found["Hires upscale"], found["Hires steps"], found["Hires sampler"]) == ("2", "12", "DPM++ 2M")
    assert "Passes" not in found
    assert back(request) == request


def test_passes_that_hires_fix_cannot_say_are_written_in_full():
    second = Pass("previous", 1024, 1024, guidance=Guidance(rescale=0.5), denoising_strength=0.4)
    third = Pass("previous", 2048, 2048, denoising_strength=0.2)
    request = GenerationRequest(seed=1, passes=(Pass(), second, third))
    assert "Passes" in fields(request)
    assert back(request) == request


def test_an_image_pass_is_written_as_img2img_without_its_picture():
    request = GenerationRequest(passes=(Pass("image", denoising_strength=0.6, image="QUJD", mask="QUJD"),))
    assert "QUJD" not in request_to_infotext(request)
    assert back(request).passes == (Pass("image", denoising_strength=0.6),)


def test_what_has_no_effect_on_one_picture_is_not_written():
    request = GenerationRequest(seed=5, variation_seed=9, batch_size=4, count=3, save=False)
    assert back(request) == GenerationRequest(seed=5)


def test_facts_take_the_place_of_what_the_request_left_open():
    request = GenerationRequest(seed=1)
    assert back(request, {"Model": "starter"}).checkpoint == "starter"


def test_what_has_no_place_in_a_request_is_handed_back():
    text = request_to_infotext(GenerationRequest(), {"Model hash": "abc", "Tint strength": 0.5}, "1")
    assert infotext_to_request(text)[1] == {"Model hash": "abc", "Tint strength": "0.5", "Version": "Emulsion 1"}


@pytest.mark.parametrize("name", ["Model", "512x512", '"x"', "a, b: c", " x ", "ü/ñ 中", "True", ""])
def test_odd_checkpoint_names_survive(name):
    assert back(GenerationRequest(checkpoint=name)).checkpoint == name


A1111 = """a cat
Negative prompt: dog
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 5.5, Seed: 42, Size: 512x768, Model hash: 6ce0161689, Model: v1-5, \
Denoising strength: 0.4, Clip skip: 2, ENSD: 31337, Hires upscale: 1.5, Hires steps: 10, Hires upscaler: ESRGAN_4x, \
Version: v1.6.0"""


def test_a_picture_of_another_program_becomes_a_request():
    request, rest = infotext_to_request(A1111)
    first, second = request.passes
    assert (request.prompt, request.negative_prompt, request.seed, request.clip_skip) == ("a cat", "dog", 42, 2)
    assert (first.source, first.sampler, first.schedule, first.steps) == ("noise", "DPM++ 2M Karras", "Automatic", 28)
    assert (first.width, first.height, first.options.noise_seed_delta) == (512, 768, 31337)
    assert (second.source, second.width, second.height, second.steps) == ("previous", 768, 1152, 10)
    assert (second.denoising_strength, second.sampler) == (0.4, "DPM++ 2M Karras")
    assert second.upscaler == "ESRGAN_4x"
    assert rest == {"Model hash": "6ce0161689", "Version": "v1.6.0"}


def test_old_sampler_names_are_taken_apart_by_who_knows_them():
    request, _ = infotext_to_request(A1111, lambda name: (name.removesuffix(" Karras"), "Karras"))
    assert [(p.sampler, p.schedule) for p in request.passes] == [("DPM++ 2M", "Karras")] * 2


def test_a_separate_schedule_is_not_taken_apart():
    text = "x\nSteps: 1, Sampler: Euler a, Schedule type: Beta, Seed: 1"
    request, _ = infotext_to_request(text, lambda name: pytest.fail("not asked for"))
    assert (request.passes[0].sampler, request.passes[0].schedule) == ("Euler a", "Beta")


@pytest.mark.parametrize(("rng", "source"), [("", "CUDA"), (", RNG: CPU", "CPU"), (", RNG: NV", "CUDA")])
def test_pictures_without_a_noise_source_were_drawn_by_the_graphics_card(rng, source):
    text = f"x\nSteps: 1, Sampler: Euler a, Seed: 1{rng}"
    assert infotext_to_request(text)[0].noise_source == source


def test_a_text_without_fields_is_a_prompt_and_the_rest_stays_at_its_defaults():
    assert infotext_to_request("a cat\nNegative prompt: dog") == (GenerationRequest("a cat", "dog"), {})


def test_the_oldest_hires_fix_is_understood():
    text = "x\nSteps: 1, Sampler: Euler, Size: 1024x768, Denoising strength: 0.7, First pass size: {}"
    for first_pass, size in (("512x384", (512, 384)), ("0x0", (640, 448))):
        first, second = infotext_to_request(text.format(first_pass))[0].passes
        assert ((first.width, first.height), (second.width, second.height)) == (size, (1024, 768))


def test_the_oldest_hypernetwork_key_becomes_a_directive():
    text = "x\nSteps: 1, Sampler: Euler, Hypernet: anime, Hypernet strength: 0.5"
    assert infotext_to_request(text)[0].prompt == "x<hypernet:anime:0.5>"


def test_one_side_of_the_hires_size_follows_from_the_other():
    text = "x\nSteps: 1, Size: 512x768, Denoising strength: 0.5, Hires resize: 1024x0"
    assert infotext_to_request(text)[0].passes[1].height == 1536


@pytest.mark.parametrize("value", ["abc", "", "nan", "inf", "9" * 5000, "1e999"])
def test_a_value_that_does_not_fit_stays_in_the_rest(value):
    request, rest = infotext_to_request(f"x\nSteps: {value}, CFG scale: {value}x, Sampler: Euler, Seed: 4")
    assert (request.passes[0].steps, request.passes[0].guidance.scale, request.seed) == (20, 7.0, 4)
    assert rest["Steps"] == value


@pytest.mark.parametrize("passes", ["[1]", "[]", "{}", "[" * 100_000, '[{"sampler": 1}]', '[{"size": 1}]', "null"])
def test_hostile_passes_are_left_alone(passes):
    import json

    request, _ = infotext_to_request(f"x\nSteps: 5, Sampler: Euler, Passes: {json.dumps(passes)}")
    assert len(request.passes) == 1
    assert request.passes[0].steps == 5


NUMBERS = st.floats(0, 1000, allow_subnormal=False)
NAMES = st.text(max_size=20)
GUIDANCE = st.builds(Guidance, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.none() | NUMBERS)
MAYBE = st.none() | NUMBERS
OPTIONS = st.builds(
    SamplerOptions,
    MAYBE,
    NUMBERS,
    NUMBERS,
    MAYBE,
    NUMBERS,
    MAYBE,
    MAYBE,
    MAYBE,
    st.none() | st.booleans(),
    st.integers(),
)
SIDES = st.integers(16, 16384)
PASSES = st.builds(
    Pass,
    st.sampled_from(["noise", "image", "previous"]),
    SIDES,
    SIDES,
    st.sampled_from(["Euler a", "DDIM", "DPM++ 2M Karras"]) | NAMES,
    st.sampled_from(["Automatic", "Karras"]) | NAMES,
    st.integers(1, 1000),
    GUIDANCE,
    OPTIONS,
    NUMBERS,
    resize_mode=st.sampled_from(RESIZE_MODES),
    upscaler=st.sampled_from(["Latent", "Latent (nearest)", "R-ESRGAN 4x+"]) | NAMES,
    exact_steps=st.booleans(),
    noise_multiplier=NUMBERS,
    extra_noise=NUMBERS,
    match_colours=st.booleans(),
    colours_of=st.none() | st.just("aGk="),
    inpaint=st.builds(
        Inpaint,
        st.tuples(st.integers(0, 64), st.integers(0, 64)),
        st.booleans(),
        st.sampled_from(MASKED_CONTENTS),
        st.sampled_from(["whole", "masked"]),
        st.integers(0, 256),
        st.booleans(),
        st.booleans(),
        NUMBERS,
        st.none() | st.builds(SoftInpaint, *[NUMBERS] * 6),
    ),
    outpaint=st.builds(Outpaint, *[st.integers(0, 512)] * 4),
    prompt=st.none() | NAMES,
    negative_prompt=st.none() | NAMES,
    checkpoint=st.none() | NAMES,
    refiner=st.none() | st.builds(Refiner, NAMES, NUMBERS, st.booleans()),
    tiles=st.none() | st.builds(Tiles, SIDES, SIDES),
)
PROMPTS = st.text(max_size=100) | st.sampled_from(
    [
        "a\nNegative prompt: b\nSteps: 20, Sampler: Euler a, CFG scale: 7",
        "\nNegative prompt:",
        "Steps: 1, Seed: 2, Size: 3x3",
        " \r\n\t",
        "\0",
        "👩‍👩‍👧‍👦 שלום \u202eمرحبا\u2028",
        "x" * 1_000_000,
    ]
)
REQUESTS = st.builds(
    GenerationRequest,
    PROMPTS,
    PROMPTS,
    st.lists(NAMES, max_size=3).map(tuple),
    NAMES | st.none(),
    NAMES,
    st.integers(1, 12),
    st.integers(-1, 2**64 - 1),
    st.integers(-1, 2**64 - 1),
    NUMBERS,
    st.none() | st.tuples(SIDES, SIDES),
    st.sampled_from(["CPU", "CUDA"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["None", "Ignore", "Original", "No norm"]),
    st.integers(0, 74),
    st.booleans(),
    passes=st.lists(PASSES, min_size=1, max_size=3).map(tuple),
)


@settings(max_examples=500, deadline=None)
@given(REQUESTS)
def test_reading_an_infotext_back_gives_the_same_request(request):
    assert back(request) == written_part(request)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([*A1111.replace(":", ",").split(","), ": ", ", ", "\n"])).map("".join)
)
def test_any_text_becomes_a_request(text):
    request, rest = infotext_to_request(text)
    assert isinstance(request, GenerationRequest)
    assert all(isinstance(value, str) for value in rest.values())


def test_a_prompt_of_a_megabyte_survives():
    request = GenerationRequest("x, " * 333_333, "\nNegative prompt: y" * 50_000)
    assert back(request) == request


def test_written_part_keeps_what_matters():
    request = GenerationRequest("a", variation_seed=3, variation_strength=0.5, seed=2)
    assert written_part(request) == request
    assert written_part(replace(request, variation_strength=0.0)).variation_seed == -1


def test_the_module_needs_no_torch():
    code = "import sys, webui.infotext; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
