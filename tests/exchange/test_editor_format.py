"""The editor's format gives the same request as the server's: positions, reroutes, primitives, subgraphs, modes."""

from __future__ import annotations

import json

import pytest

from tests.exchange.graphs import DEFAULT, LINKS, SAMPLER_INPUTS, SAMPLER_VALUES, editor, editor_default, editor_node
from tests.exchange.writers import png
from webui.errors import DamagedFile
from webui.exchange import read_picture, read_workflow
from webui.request import GenerationRequest, check

WANTED = read_workflow(DEFAULT).request


def request_of(*nodes: dict, links: list | None = None, **others) -> GenerationRequest:
    """The request of the default workflow's nodes with some in place of those of the same id."""
    by_id = {**editor_default(), **{node["id"]: node for node in nodes}}
    workflow = editor(*by_id.values(), links=LINKS if links is None else links, **others)
    return check(read_workflow(json.dumps(workflow)).request)


def relinked(*links: list) -> list[list]:
    """The default links with some in place of those of the same number."""
    return list({**{link[0]: link for link in LINKS}, **{link[0]: link for link in links}}.values())


def test_the_default_workflow_is_the_same_in_both_formats():
    assert request_of() == WANTED


def test_a_picture_with_this_format_alone_is_read():
    workflow = editor(*editor_default().values(), links=LINKS)
    info = read_picture(png({"workflow": json.dumps(workflow)}))
    assert info.program == "ComfyUI" and info.request == WANTED


def test_links_that_are_objects_are_read():
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    assert request_of(links=[dict(zip(names, link)) for link in LINKS], version=1) == WANTED


def test_old_workflows_without_the_control_behind_the_seed_are_read():
    values = [value for value in SAMPLER_VALUES if value != "randomize"]
    assert request_of(editor_node(3, "KSampler", values, SAMPLER_INPUTS, ("LATENT",))) == WANTED


def test_values_by_name_are_read():
    names = ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")
    values = dict(zip(names, [value for value in SAMPLER_VALUES if value != "randomize"]))
    assert request_of(editor_node(3, "KSampler", values, SAMPLER_INPUTS, ("LATENT",))) == WANTED


def test_reroutes_are_followed():
    reroutes = [editor_node(20 + n, "Reroute", [], (("", "*", 20 + n),), ("MODEL",)) for n in range(2)]
    links = relinked([20, 4, 0, 20, 0, "MODEL"], [21, 20, 0, 21, 0, "*"], [1, 21, 0, 3, 0, "MODEL"])
    assert request_of(*reroutes, links=links) == WANTED


def test_a_primitive_node_gives_the_value_of_a_widget_that_became_an_input():
    steps = (*SAMPLER_INPUTS, ("steps", "INT", 30, "widget"))
    sampler = editor_node(3, "KSampler", SAMPLER_VALUES, steps, ("LATENT",))
    primitive = editor_node(30, "PrimitiveNode", [41, "fixed"], (), ("INT",))
    request = request_of(sampler, primitive, links=relinked([30, 30, 0, 3, 4, "INT"]))
    assert request.passes[0].steps == 41 and request.seed == WANTED.seed


def test_values_set_in_one_place_and_got_in_another():
    setter = editor_node(31, "SetNode", ["model"], (("MODEL", "MODEL", 31),), ("*",))
    getter = editor_node(32, "GetNode", ["model"], (), ("MODEL",))
    links = relinked([31, 4, 0, 31, 0, "MODEL"], [1, 32, 0, 3, 0, "MODEL"])
    assert request_of(setter, getter, links=links) == WANTED


LORA = (("model", "MODEL", 40), ("clip", "CLIP", 41))
LORA_LINKS = relinked(
    [40, 4, 0, 20, 0, "MODEL"],
    [41, 4, 1, 20, 1, "CLIP"],
    [1, 20, 0, 3, 0, "MODEL"],
    [3, 20, 1, 6, 0, "CLIP"],
    [5, 20, 1, 7, 0, "CLIP"],
)


@pytest.mark.parametrize(("mode", "words"), [(0, " <lora:film:0.5>"), (4, "")])
def test_a_bypassed_node_hands_on_what_it_was_given(mode, words):
    lora = editor_node(20, "LoraLoader", ["film.safetensors", 0.5, 0.5], LORA, ("MODEL", "CLIP"), mode)
    assert request_of(lora, links=LORA_LINKS).prompt == WANTED.prompt + words


def test_a_muted_node_gives_nothing():
    negative = editor_node(7, "CLIPTextEncode", ["text"], (("clip", "CLIP", 5),), ("CONDITIONING",), mode=2)
    assert request_of(negative).negative_prompt == ""


def test_notes_are_no_part_of_it():
    note = editor_node(50, "MarkdownNote", ["read me"])
    workflow = editor(*editor_default().values(), note, links=LINKS)
    assert {entry.name for entry in read_workflow(workflow).left_out} == {"noise"}


def subgraph() -> tuple[list[dict], list[list], dict]:
    """The default workflow with loader and sampler in a subgraph that shows the text and the steps."""
    uuid = "399f98f2-6727-4601-8715-e9ab7fb028ed"
    nodes = editor_default()
    inside = [nodes[number] for number in (3, 4, 5, 6, 7)]
    inside[0] = editor_node(
        3, "KSampler", SAMPLER_VALUES, (*SAMPLER_INPUTS, ("steps", "INT", 51, "widget")), ("LATENT",)
    )
    inside[3] = editor_node(
        6, "CLIPTextEncode", ["unused"], (("clip", "CLIP", 3), ("text", "STRING", 50, "widget")), ("CONDITIONING",)
    )
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    ends = [
        [50, -10, 0, 6, 1, "STRING"],
        [51, -10, 1, 3, 4, "INT"],
        [52, 3, 0, -20, 0, "LATENT"],
        [53, 4, 2, -20, 1, "VAE"],
    ]
    definition = {
        "id": uuid,
        "version": 1,
        "revision": 0,
        "name": "Text to latents",
        "inputNode": {"id": -10, "bounding": [0, 0, 120, 60]},
        "outputNode": {"id": -20, "bounding": [900, 0, 120, 60]},
        "inputs": [
            {"id": "a", "name": "text", "type": "STRING", "linkIds": [50]},
            {"id": "b", "name": "steps", "type": "INT", "linkIds": [51]},
        ],
        "outputs": [
            {"id": "c", "name": "LATENT", "type": "LATENT", "linkIds": [52]},
            {"id": "d", "name": "VAE", "type": "VAE", "linkIds": [53]},
        ],
        "nodes": inside,
        "links": [dict(zip(names, link)) for link in [*LINKS[:6], *ends]],
    }
    instance = editor_node(
        60,
        uuid,
        [WANTED.prompt, 23],
        (("text", "STRING", None, "widget"), ("steps", "INT", 70, "widget")),
        ("LATENT", "VAE"),
    )
    instance["properties"]["proxyWidgets"] = [["-1", "text"], ["-1", "steps"]]
    primitive = editor_node(61, "PrimitiveInt", [23, "fixed"], (("value", "INT", None, "widget"),), ("INT",))
    outside = [instance, primitive, nodes[8], nodes[9]]
    links = [
        [7, 60, 0, 8, 0, "LATENT"],
        [8, 60, 1, 8, 1, "VAE"],
        [9, 8, 0, 9, 0, "IMAGE"],
        [70, 61, 0, 60, 1, "INT"],
    ]
    return outside, links, {"subgraphs": [definition]}


def test_subgraphs_are_entered_with_the_values_of_their_instance():
    nodes, links, definitions = subgraph()
    reading = read_workflow(editor(*nodes, links=links, definitions=definitions))
    assert reading.request == WANTED and {entry.name for entry in reading.left_out} == {"noise"}


def test_a_subgraph_that_holds_itself_is_refused():
    nodes, links, definitions = subgraph()
    definitions["subgraphs"][0]["nodes"].append(editor_node(9, definitions["subgraphs"][0]["id"]))
    with pytest.raises(DamagedFile, match="too large"):
        read_workflow(editor(*nodes, links=links, definitions=definitions))


def test_flux_in_the_editors_format():
    nodes = (
        editor_node(12, "UNETLoader", ["flux1-dev.safetensors", "fp8_e4m3fn"], (), ("MODEL",)),
        editor_node(11, "DualCLIPLoader", ["t5xxl_fp16.safetensors", "clip_l.safetensors", "flux"], (), ("CLIP",)),
        editor_node(10, "VAELoader", ["ae.safetensors"], (), ("VAE",)),
        editor_node(6, "CLIPTextEncode", ["a lighthouse"], (("clip", "CLIP", 1),), ("CONDITIONING",)),
        editor_node(26, "FluxGuidance", [2.5], (("conditioning", "CONDITIONING", 2),), ("CONDITIONING",)),
        editor_node(25, "RandomNoise", [219670278747233, "randomize"], (), ("NOISE",)),
        editor_node(16, "KSamplerSelect", ["euler"], (), ("SAMPLER",)),
        editor_node(17, "BasicScheduler", ["simple", 21, 1], (("model", "MODEL", 3),), ("SIGMAS",)),
        editor_node(22, "BasicGuider", [], (("model", "MODEL", 4), ("conditioning", "CONDITIONING", 5)), ("GUIDER",)),
        editor_node(27, "EmptySD3LatentImage", [1024, 768, 1], (), ("LATENT",)),
        editor_node(
            13,
            "SamplerCustomAdvanced",
            [],
            (
                ("noise", "NOISE", 6),
                ("guider", "GUIDER", 7),
                ("sampler", "SAMPLER", 8),
                ("sigmas", "SIGMAS", 9),
                ("latent_image", "LATENT", 10),
            ),
            ("LATENT", "LATENT"),
        ),
        editor_node(8, "VAEDecode", [], (("samples", "LATENT", 11), ("vae", "VAE", 12)), ("IMAGE",)),
        editor_node(9, "SaveImage", ["ComfyUI"], (("images", "IMAGE", 13),)),
    )
    links = [
        [1, 11, 0, 6, 0, "CLIP"],
        [2, 6, 0, 26, 0, "CONDITIONING"],
        [3, 12, 0, 17, 0, "MODEL"],
        [4, 12, 0, 22, 0, "MODEL"],
        [5, 26, 0, 22, 1, "CONDITIONING"],
        [6, 25, 0, 13, 0, "NOISE"],
        [7, 22, 0, 13, 1, "GUIDER"],
        [8, 16, 0, 13, 2, "SAMPLER"],
        [9, 17, 0, 13, 3, "SIGMAS"],
        [10, 27, 0, 13, 4, "LATENT"],
        [11, 13, 0, 8, 0, "LATENT"],
        [12, 10, 0, 8, 1, "VAE"],
        [13, 8, 0, 9, 0, "IMAGE"],
    ]
    request = check(read_workflow(editor(*nodes, links=links)).request)
    step = request.passes[0]
    assert (step.sampler, step.schedule, step.steps, step.width, step.height) == ("Euler", "Simple", 21, 1024, 768)
    assert (request.seed, request.checkpoint, request.vae) == (219670278747233, "flux1-dev", "ae")
