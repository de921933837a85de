"""Nodes that do the work of several, of collections that many workflows use."""

from __future__ import annotations

import json

import pytest

from tests.exchange.graphs import DEFAULT, changed, node
from webui.exchange import read_workflow
from webui.exchange.comfyui.widgets import WIDGETS

EFFICIENT = {
    "1": node(
        "Efficient Loader",
        ckpt_name="dream.safetensors",
        vae_name="soft.safetensors",
        clip_skip=-2,
        lora_name="film.safetensors",
        lora_model_strength=0.7,
        lora_clip_strength=0.6,
        positive="a lighthouse",
        negative="blurry",
        token_normalization="none",
        weight_interpretation="comfy",
        empty_latent_width=640,
        empty_latent_height=768,
        batch_size=2,
        lora_stack=("9", 0),
    ),
    "9": node("LoRA Stacker", input_mode="simple", lora_count=1, lora_name_1="grain", lora_wt_1=0.5, lora_name_2="off"),
    "2": node(
        "KSampler (Efficient)",
        seed=5,
        steps=25,
        cfg=6,
        sampler_name="euler_ancestral",
        scheduler="normal",
        denoise=1,
        model=("1", 0),
        positive=("1", 1),
        negative=("1", 2),
        latent_image=("1", 3),
        optional_vae=("1", 4),
    ),
    "3": node("SaveImage", filename_prefix="x", images=("2", 5)),
}
EASY = {
    "1": node(
        "easy fullLoader",
        ckpt_name="dream.safetensors",
        vae_name="Baked VAE",
        clip_skip=-2,
        lora_name="None",
        resolution="640 x 768",
        empty_latent_width=512,
        empty_latent_height=512,
        positive="a lighthouse",
        negative="blurry",
        batch_size=2,
    ),
    "2": node(
        "easy preSampling",
        steps=25,
        cfg=6,
        sampler_name="euler_ancestral",
        scheduler="normal",
        denoise=1,
        seed=5,
        pipe=("1", 0),
    ),
    "3": node("easy kSampler", image_output="Preview", pipe=("2", 0)),
    "4": node("PreviewImage", images=("3", 1)),
}


@pytest.mark.parametrize(
    ("graph", "vae", "words"),
    [(EFFICIENT, "soft", " <lora:film:0.6:0.7> <lora:grain:0.5>"), (EASY, "Automatic", "")],
    ids=["efficiency", "easy"],
)
def test_loaders_that_do_everything_are_taken_apart(graph, vae, words):
    reading = read_workflow(graph)
    request, first = reading.request, reading.request.passes[0]
    assert (request.prompt, request.negative_prompt) == (f"a lighthouse{words}", "blurry")
    assert (request.checkpoint, request.vae, request.clip_skip, request.batch_size) == ("dream", vae, 2, 2)
    assert (first.sampler, first.schedule, first.steps, first.guidance.scale) == ("Euler a", "Normal", 25, 6)
    assert (first.width, first.height, request.seed) == (640, 768, 5)
    assert {entry.name for entry in reading.left_out} == {"noise"}


def test_a_loader_in_the_editors_format_has_its_values_in_order():
    values = {name: EFFICIENT["1"]["inputs"].get(name) for name in WIDGETS["Efficient Loader"]}
    assert list(values.values())[:3] == ["dream.safetensors", "soft.safetensors", -2]
    sampler = EFFICIENT["2"]["inputs"]
    told = [sampler[name] for name in WIDGETS["KSampler (Efficient)"]]
    outputs = [{"name": name, "type": name, "links": []} for name in "abcdef"]
    links = [[number, 1, slot, 2, number, "X"] for number, slot in enumerate((0, 1, 2, 3))] + [[4, 2, 5, 3, 0, "IMAGE"]]
    names = ("model", "positive", "negative", "latent_image")
    entries = [{"name": name, "type": "X", "link": number} for number, name in enumerate(names)]
    nodes = [
        {"id": 1, "type": "Efficient Loader", "inputs": [], "outputs": outputs, "widgets_values": [*values.values()]},
        {
            "id": 2,
            "type": "KSampler (Efficient)",
            "inputs": entries,
            "outputs": outputs,
            "widgets_values": [told[0], "randomize", *told[1:], "auto", "true"],
        },
        {
            "id": 3,
            "type": "SaveImage",
            "inputs": [{"name": "images", "type": "IMAGE", "link": 4}],
            "widgets_values": [],
        },
    ]
    request = read_workflow(json.dumps({"nodes": nodes, "links": links, "version": 0.4})).request
    assert (request.prompt, request.checkpoint) == ("a lighthouse <lora:film:0.6:0.7>", "dream")
    assert (request.passes[0].steps, request.passes[0].width, request.seed) == (25, 640, 5)


def test_a_stack_of_loras_is_taken_and_one_of_unknown_nodes_is_listed():
    stack = node("CR LoRA Stack", switch_1="On", lora_name_1="film", model_weight_1=0.5, clip_weight_1=0.4)
    stack["inputs"] |= {"switch_2": "Off", "lora_name_2": "grain", "model_weight_2": 1, "clip_weight_2": 1}
    more = {"20": node("CR Apply LoRA Stack", model=("4", 0), clip=("4", 1), lora_stack=("21", 0)), "21": stack}
    links = {"n3": {"model": ["20", 0]}, "n6": {"clip": ["20", 1]}, "n7": {"clip": ["20", 1]}}
    graph = {**changed(DEFAULT, **links), **more}
    assert read_workflow(graph).request.prompt.endswith(" <lora:film:0.4:0.5>")
    for other in (graph, EFFICIENT):
        reading = read_workflow({**other, "21": node("Some Stack", name="film"), "9": node("Some Stack", name="film")})
        assert "grain" not in reading.request.prompt and "0.4" not in reading.request.prompt
        assert {"Some Stack #21", "Some Stack #9"} & {entry.name for entry in reading.left_out}


def test_pipes_and_stacks_that_go_in_circles_end():
    graph = {
        "1": node("easy preSampling", steps=9, pipe=("2", 0)),
        "2": node("easy kSampler", pipe=("1", 0)),
        "3": node("Efficient Loader", ckpt_name="a", positive=("3", 1), lora_stack=("4", 0)),
        "4": node("LoRA Stacker", lora_stack=("4", 0), lora_count=10**9, lora_name_1="a"),
        "5": node("SaveImage", images=("2", 1)),
    }
    assert read_workflow(graph).request.passes


def test_two_empty_prompts_that_share_the_run_are_an_empty_one():
    more = {
        "20": node("ConditioningZeroOut", conditioning=("7", 0)),
        "21": node("ConditioningSetTimestepRange", conditioning=("20", 0), start=0.1, end=1),
        "22": node("ConditioningSetTimestepRange", conditioning=("7", 0), start=0, end=0.1),
        "23": node("ConditioningCombine", conditioning_1=("21", 0), conditioning_2=("22", 0)),
    }
    reading = read_workflow({**changed(DEFAULT, n3={"negative": ["23", 0]}, n7={"text": ""}), **more})
    assert (reading.request.negative_prompt, reading.request.emphasis) == ("", "Original")
