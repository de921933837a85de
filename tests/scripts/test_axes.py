"""Every axis changes in a request exactly what it names."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from webui.errors import InvalidRequest
from webui.request import GenerationRequest, Inpaint, Pass, Refiner, replace
from webui.scripts.axes import AXES, axes_of, find_axis

TEXT = GenerationRequest(
    prompt="a cat on a mat", negative_prompt="blurry cat", checkpoint="one", seed=7, variation_seed=8
)
HIRES = replace(
    TEXT,
    passes=(
        Pass(refiner=Refiner("third")),
        Pass(source="previous", width=1024, height=1024, steps=9, denoising_strength=0.5, prompt="a cat, sharp"),
    ),
)
PICTURE = replace(TEXT, passes=(Pass(source="image", image="aGk=", mask="aGk=", denoising_strength=0.5),))

# axis -> request, field of values, what the last of them changes: {place in the request: value}
CASES: dict[str, tuple[GenerationRequest, str, dict[str, Any]]] = {
    "Nothing": (TEXT, "x", {}),
    "Seed": (TEXT, "1,2", {"seed": 2}),
    "Var. seed": (TEXT, "3", {"variation_seed": 3}),
    "Var. strength": (TEXT, "0.25", {"variation_strength": 0.25}),
    "Steps": (HIRES, "12", {"passes.0.steps": 12}),
    "Hires steps": (HIRES, "12", {"passes.1.steps": 12}),
    "CFG Scale": (TEXT, "3.5", {"passes.0.guidance.scale": 3.5}),
    "Image CFG Scale": (PICTURE, "1.5", {"passes.0.guidance.image_scale": 1.5}),
    "Prompt S/R": (
        HIRES,
        "cat, dog",
        {"prompt": "a dog on a mat", "negative_prompt": "blurry dog", "passes.1.prompt": "a dog, sharp"},
    ),
    "Negative S/R": (TEXT, "cat, dog", {"negative_prompt": "blurry dog"}),
    "Prompt order": (TEXT, "cat, mat", {"prompt": "a mat on a cat"}),
    "Sampler": (TEXT, "Euler", {"passes.0.sampler": "Euler"}),
    "Hires sampler": (HIRES, "Euler", {"passes.1.sampler": "Euler"}),
    "Checkpoint name": (TEXT, "two", {"checkpoint": "two"}),
    "Negative Guidance minimum sigma": (TEXT, "1.5", {"passes.0.guidance.minimum_sigma": 1.5}),
    "Sigma Churn": (TEXT, "2", {"passes.0.options.s_churn": 2.0}),
    "Sigma min": (TEXT, "0.1", {"passes.0.options.s_tmin": 0.1}),
    "Sigma max": (TEXT, "9", {"passes.0.options.s_tmax": 9.0}),
    "Sigma noise": (TEXT, "1.1", {"passes.0.options.s_noise": 1.1}),
    "Schedule type": (TEXT, "Karras", {"passes.0.schedule": "Karras"}),
    "Schedule min sigma": (TEXT, "0.1", {"passes.0.options.sigma_min": 0.1}),
    "Schedule max sigma": (TEXT, "10", {"passes.0.options.sigma_max": 10.0}),
    "Schedule rho": (TEXT, "5", {"passes.0.options.rho": 5.0}),
    "Eta": (TEXT, "0.5", {"passes.0.options.eta": 0.5}),
    "Clip skip": (TEXT, "2", {"clip_skip": 2}),
    "Denoising": (HIRES, "0.3", {"passes.1.denoising_strength": 0.3}),
    "Initial noise multiplier": (PICTURE, "1.1", {"passes.0.noise_multiplier": 1.1}),
    "Extra noise": (HIRES, "0.1", {"passes.1.extra_noise": 0.1}),
    "Hires upscaler": (HIRES, "Lanczos", {"passes.1.upscaler": "Lanczos"}),
    "Cond. Image Mask Weight": (PICTURE, "0.5", {"passes.0.inpaint.condition_weight": 0.5}),
    "VAE": (TEXT, "none", {"vae": "None"}),
    "Styles": (TEXT, '"soft, bright"', {"styles": ("soft", "bright")}),
    "Always discard next-to-last sigma": (TEXT, "true", {"passes.0.options.discard_penultimate": True}),
    "Refiner checkpoint": (HIRES, "fourth", {"passes.0.refiner.checkpoint": "fourth"}),
    "Refiner switch at": (HIRES, "0.5", {"passes.0.refiner.switch_at": 0.5}),
    "RNG source": (TEXT, "NV", {"noise_source": "CUDA"}),
    "Size": (
        HIRES,
        "256x768",
        {"passes.0.width": 256, "passes.0.height": 768, "passes.1.width": 512, "passes.1.height": 1536},
    ),
    "Hires schedule type": (HIRES, "Karras", {"passes.1.schedule": "Karras"}),
    "Hires checkpoint": (HIRES, "two", {"passes.1.checkpoint": "two"}),
    "CFG rescale": (TEXT, "0.5", {"passes.0.guidance.rescale": 0.5}),
    "CFG start": (TEXT, "0.1", {"passes.0.guidance.start": 0.1}),
    "CFG end": (TEXT, "0.9", {"passes.0.guidance.end": 0.9}),
    "Skip early CFG": (TEXT, "0.2", {"passes.0.guidance.skip_early": 0.2}),
    "ENSD": (TEXT, "31337", {"passes.0.options.noise_seed_delta": 31337}),
    "Emphasis": (TEXT, "No norm", {"emphasis": "No norm"}),
    "Tiling": (TEXT, "yes", {"tiling": True}),
    "Mask blur": (PICTURE, "9", {"passes.0.inpaint.mask_blur": (9, 9)}),
    "Masked padding": (PICTURE, "64", {"passes.0.inpaint.padding": 64}),
    "Masked content": (PICTURE, "fill", {"passes.0.inpaint.masked_content": "fill"}),
    "Resize mode": (PICTURE, "crop", {"passes.0.resize_mode": "crop"}),
    "Setting": (TEXT, "eta_ddim=1", {}),
}
USABLE = [axis.name for axis in AXES if not axis.problem]


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Every value of a request by its place."""
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        parts = {str(index): one for index, one in enumerate(value)}
    else:
        return {place: value}
    return {key: one for name, part in parts.items() for key, one in flat(part, f"{place}.{name}".lstrip(".")).items()}


@pytest.mark.parametrize("name", USABLE)
def test_an_axis_changes_what_it_names_and_nothing_else(name: str) -> None:
    request, text, wanted = CASES[name]
    axis = find_axis(name)
    values = axis.read(text)
    before, after = flat(request), flat(axis.apply(request, values[-1], values))
    # The whole Refiner is one value where there was none; every other place exists before and after.
    assert {place: value for place, value in after.items() if before.get(place, "absent") != value} == wanted


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis.problem], ids=lambda axis: axis.name)
def test_an_axis_that_does_not_work_here_says_why(axis: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"{axis.name.split('(')[0]} cannot be used"):
        axis.read("1")


def test_the_second_pass_follows_what_it_shares_with_the_first() -> None:
    request = replace(HIRES, passes=(HIRES.passes[0], dataclasses.replace(HIRES.passes[1], steps=20)))
    changed = find_axis("Steps").apply(request, 12, [12])
    assert [step.steps for step in changed.passes] == [12, 12]
    assert [step.sampler for step in find_axis("Sampler").apply(request, "DDIM", []).passes] == ["DDIM", "DDIM"]


@pytest.mark.parametrize(
    ("name", "value", "request_"),
    [
        ("Hires steps", 3, TEXT),
        ("Denoising", 0.5, TEXT),
        ("Mask blur", 3, TEXT),
        ("Resize mode", "crop", HIRES),
        ("Refiner switch at", 0.5, TEXT),
    ],
)
def test_an_axis_that_would_change_nothing_is_refused(name: str, value: Any, request_: GenerationRequest) -> None:
    with pytest.raises(InvalidRequest):
        find_axis(name).apply(request_, value, [value])


def test_words_that_are_not_in_the_prompt_are_named() -> None:
    with pytest.raises(InvalidRequest, match="'horse' is in neither the prompt"):
        find_axis("Prompt S/R").apply(TEXT, "horse", ["horse", "dog"])
    with pytest.raises(InvalidRequest, match="'horse' is not in the prompt"):
        find_axis("Prompt order").apply(TEXT, ("cat", "horse"), [])


def test_all_orders_of_three_parts() -> None:
    axis, request = find_axis("Prompt order"), GenerationRequest(prompt="red, green; blue!")
    made = {axis.apply(request, order, []).prompt for order in axis.read("red, green, blue")}
    assert made == {
        *("red, green; blue!", "red, blue; green!", "green, red; blue!"),
        *("green, blue; red!", "blue, red; green!", "blue, green; red!"),
    }


def test_a_lora_changes_by_search_and_replace() -> None:
    axis, request = find_axis("prompt s/r"), GenerationRequest(prompt="a cat <lora:ink:0.5>")
    values = axis.read("<lora:ink:0.5>, <lora:ink:1>, <lora:chalk:1>, ")
    assert [axis.apply(request, value, values).prompt for value in values] == [
        *("a cat <lora:ink:0.5>", "a cat <lora:ink:1>", "a cat <lora:chalk:1>"),
    ]


def test_numbers_of_axes_are_those_of_a1111() -> None:
    names = [axis.name for axis in axes_of("txt2img")]
    assert [names.index(name) for name in ("Nothing", "Seed", "Steps", "CFG Scale", "Prompt S/R")] == [0, 1, 4, 6, 7]
    assert names.index("Checkpoint name") == 11
    assert "Image CFG Scale" in [axis.name for axis in axes_of("img2img")]


def test_inpainting_settings_need_no_mask_of_other_passes() -> None:
    changed = find_axis("Mask blur").apply(PICTURE, 5, [5])
    assert changed.passes[0].inpaint == Inpaint(mask_blur=(5, 5))
