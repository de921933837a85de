"""Workflows in the server's format become requests: samplers, loaders, prompts, passes, and a list of the rest."""

from __future__ import annotations

import copy
import json

import pytest

from tests.exchange import graphs
from tests.exchange.graphs import DEFAULT, FLUX, KOLORS, KOLORS_MZ, changed, node
from tests.exchange.writers import comfy_webp, png, with_comment
from webui.errors import DamagedFile
from webui.exchange import Reading, read_picture, read_workflow
from webui.request import GenerationRequest, Pass, check


def request_of(graph: dict) -> GenerationRequest:
    """The request, which must be one that a plan would take."""
    return check(read_workflow(json.dumps(graph)).request)


def reasons(reading: Reading) -> dict[str, str]:
    """What was left out, by name."""
    return {entry.name: entry.reason for entry in reading.left_out}


def sampler_of(kind: str = "KSampler", **inputs) -> dict:
    """A second sampler behind node 3, on node 20's latents unless told otherwise."""
    others = {"seed": 5, "steps": 12, "cfg": 5, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}
    links = {"model": ("4", 0), "positive": ("6", 0), "negative": ("7", 0), "latent_image": ("20", 0)}
    return node(kind, **{**others, **links, **inputs})


def test_the_default_workflow():
    reading = read_workflow(json.dumps(DEFAULT))
    request = check(reading.request)
    assert request.prompt == "beautiful scenery nature glass bottle landscape"
    assert (request.negative_prompt, request.seed, request.batch_size) == ("text, watermark", 156680208700286, 2)
    assert (request.checkpoint, request.vae) == ("v1-5-pruned-emaonly-fp16", "Automatic")
    assert (request.noise_source, request.emphasis, request.clip_skip) == ("CPU", "Original", 1)
    step = Pass(width=640, height=384, sampler="DPM++ 2M", schedule="Karras", steps=23)
    assert len(request.passes) == 1
    assert request.passes[0].guidance.scale == 6.5
    assert [
        getattr(request.passes[0], name) for name in ("width", "height", "sampler", "schedule", "steps", "source")
    ] == [getattr(step, name) for name in ("width", "height", "sampler", "schedule", "steps", "source")]
    assert set(reasons(reading)) == {"noise"}


@pytest.mark.parametrize(
    "data",
    [
        png({"prompt": json.dumps(DEFAULT), "workflow": '{"nodes": []}'}),
        png({"prompt": json.dumps(DEFAULT)}, international=True),
        comfy_webp(DEFAULT, {"nodes": [], "links": []}),
        with_comment(json.dumps({"prompt": DEFAULT, "workflow": {}})),
    ],
    ids=["png", "itxt", "webp", "comment"],
)
def test_pictures_hold_it_in_several_places(data):
    info = read_picture(data)
    assert info.program == "ComfyUI" and info.request == request_of(DEFAULT)


def test_not_a_number_in_the_json_is_read():
    text = json.dumps(DEFAULT)[:-1] + ', "90": {"class_type": "X", "inputs": {"a": NaN}}}'
    assert read_workflow(text).request.seed == 156680208700286


def test_loras_stand_in_the_prompt_in_the_order_in_which_they_are_loaded():
    graph = changed(
        DEFAULT,
        n10=node(
            "LoraLoader",
            lora_name="a/one.safetensors",
            strength_model=0.5,
            strength_clip=0.5,
            model=("4", 0),
            clip=("4", 1),
        ),
        n11=node(
            "LoraLoader",
            lora_name="two.safetensors",
            strength_model=0.7,
            strength_clip=0.3,
            model=("10", 0),
            clip=("10", 1),
        ),
        n12=node("LoraLoaderModelOnly", lora_name="three.safetensors", strength_model=-1, model=("11", 0)),
        n3={"model": ("12", 0)},
        n6={"clip": ("11", 1)},
        n7={"clip": ("11", 1)},
    )
    words = "<lora:one:0.5> <lora:two:0.3:0.7> <lora:three:0:-1>"
    assert request_of(graph).prompt == f"beautiful scenery nature glass bottle landscape {words}"


def test_rows_of_a_stack_of_loras_that_are_off_are_not_taken():
    rows = {
        "lora_1": {"on": True, "lora": "one.safetensors", "strength": 0.5},
        "lora_2": {"on": False, "lora": "two.safetensors", "strength": 1},
    }
    loader = node("Power Lora Loader (rgthree)", model=("4", 0), clip=("4", 1), **rows)
    graph = changed(DEFAULT, n10=loader, n3={"model": ("10", 0)}, n6={"clip": ("10", 1)}, n7={"clip": ("10", 1)})
    assert request_of(graph).prompt.endswith(" <lora:one:0.5>") and "two" not in request_of(graph).prompt


def test_clip_skip_vae_and_rescale():
    graph = changed(
        DEFAULT,
        n10=node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=("4", 1)),
        n11=node("VAELoader", vae_name="vae-ft-mse.safetensors"),
        n12=node("RescaleCFG", multiplier=0.7, model=("4", 0)),
        n3={"model": ("12", 0)},
        n6={"clip": ("10", 0)},
        n7={"clip": ("10", 0)},
        n8={"vae": ("11", 0)},
    )
    request = request_of(graph)
    assert (request.clip_skip, request.vae, request.passes[0].guidance.rescale) == (2, "vae-ft-mse", 0.7)


def test_weights_ask_for_emphasis_without_normalising_and_say_so():
    reading = read_workflow(changed(DEFAULT, n6={"text": "a (b (c:1.5):1.2) [d] embedding:easy.pt"}))
    assert reading.request.prompt == r"a (b :1.2)(c:1.5) \[d\] easy"
    assert reading.request.emphasis == "No norm" and "emphasis" in reasons(reading)


@pytest.mark.parametrize(
    ("name", "scheduler", "sampler", "schedule", "discards"),
    [
        ("euler_ancestral", "normal", "Euler a", "Normal", None),
        ("dpm_2", "sgm_uniform", "DPM2", "SGM Uniform", None),
        ("uni_pc", "simple", "UniPC", "Simple", True),
        ("dpmpp_3m_sde_gpu", "exponential", "DPM++ 3M SDE", "Exponential", False),
        ("ddim", "ddim_uniform", "DDIM", "DDIM", None),
        ("res_multistep", "beta", "Res Multistep", "Beta", None),
        ("lcm", "kl_optimal", "LCM", "KL Optimal", None),
        ("uni_pc_bh2", "linear_quadratic", "UniPC bh2", "Linear Quadratic", True),
    ],
)
def test_names_of_samplers_and_schedulers(name, scheduler, sampler, schedule, discards):
    """KSampler leaves out the last but one noise level for four samplers, which are not the ones that do so here."""
    step = request_of(changed(DEFAULT, n3={"sampler_name": name, "scheduler": scheduler})).passes[0]
    assert (step.sampler, step.schedule, step.options.discard_penultimate) == (sampler, schedule, discards)


def test_flux():
    reading = read_workflow(FLUX)
    request = check(reading.request)
    step = request.passes[0]
    assert (step.sampler, step.schedule, step.steps, step.guidance.scale) == ("Euler", "Simple", 21, 1)
    assert (step.width, step.height, request.seed) == (1024, 768, 219670278747233)
    assert (request.checkpoint, request.vae) == ("flux1-dev", "ae")
    assert request.prompt == "a lighthouse <lora:film:0:0.8>" and request.negative_prompt == ""
    assert {"FluxGuidance #26", "ModelSamplingFlux #30", "DualCLIPLoader #11", "noise"} == set(reasons(reading))


def test_flux_with_its_own_text_node_and_a_guider_with_guidance():
    graph = changed(
        FLUX,
        n6=node("CLIPTextEncodeFlux", clip_l="a lighthouse", t5xxl="a lighthouse", guidance=3, clip=("11", 0)),
        n40=node("CLIPTextEncode", text="blurry", clip=("11", 0)),
        n22=node("CFGGuider", model=("30", 0), positive=("6", 0), negative=("40", 0), cfg=2.5),
    )
    request = request_of(graph)
    assert request.prompt.startswith("a lighthouse <lora") and request.negative_prompt == "blurry"
    assert request.passes[0].guidance.scale == 2.5


def test_sampler_custom_with_karras_noise_levels():
    graph = changed(
        DEFAULT,
        n3=node(
            "SamplerCustom",
            add_noise=True,
            noise_seed=11,
            cfg=4,
            model=("4", 0),
            positive=("6", 0),
            negative=("7", 0),
            sampler=("10", 0),
            sigmas=("11", 0),
            latent_image=("5", 0),
        ),
        n10=node("SamplerEulerAncestral", eta=0.5, s_noise=1.1),
        n11=node("KarrasScheduler", steps=18, sigma_max=14.5, sigma_min=0.05, rho=6),
    )
    step = request_of(graph).passes[0]
    assert (step.sampler, step.schedule, step.steps, step.guidance.scale) == ("Euler a", "Karras", 18, 4)
    options = step.options
    assert (options.eta, options.s_noise, options.sigma_max, options.sigma_min, options.rho) == (
        0.5,
        1.1,
        14.5,
        0.05,
        6,
    )


def test_kolors_in_two_sets_of_nodes():
    request = request_of(KOLORS)
    step = request.passes[0]
    assert (request.prompt, request.negative_prompt, request.seed) == ("一座灯塔", "模糊", 1000102404233412)
    assert (step.sampler, step.schedule, step.steps, step.width, step.height) == (
        "DPM++ 2M SDE",
        "Karras",
        25,
        1024,
        896,
    )
    assert (request.checkpoint, request.vae) == ("Kolors", "sdxl.vae")
    other = request_of(KOLORS_MZ)
    assert (other.prompt, other.negative_prompt, other.checkpoint) == ("一座灯塔", "模糊", "unet")
    assert other.passes[0].width == 1024


def test_kolors_picture_that_was_only_previewed_is_read():
    reading = read_workflow(KOLORS)
    assert "LoadChatGLM3 #11" in reasons(reading)


def test_sdxl_texts_and_sizes():
    encode = node(
        "CLIPTextEncodeSDXL",
        width=1024,
        height=1024,
        crop_w=0,
        crop_h=0,
        target_width=1024,
        target_height=1024,
        text_g="a lighthouse",
        text_l="storm",
        clip=("4", 1),
    )
    reading = read_workflow(changed(DEFAULT, n6=encode))
    assert reading.request.prompt == "a lighthouse, storm" and "CLIPTextEncodeSDXL #6" in reasons(reading)
    encode["inputs"]["text_l"] = "a lighthouse"
    alike = read_workflow(changed(DEFAULT, n6=encode))
    assert alike.request.prompt == "a lighthouse" and set(reasons(alike)) == {"noise"}


def test_combined_prompts_are_and_with_equal_weights():
    graph = changed(
        DEFAULT,
        n10=node("CLIPTextEncode", text="a ship", clip=("4", 1)),
        n11=node("ConditioningCombine", conditioning_1=("6", 0), conditioning_2=("10", 0)),
        n3={"positive": ("11", 0)},
    )
    assert request_of(graph).prompt == "beautiful scenery nature glass bottle landscape :0.5 AND a ship :0.5"


def test_concatenated_prompts_are_break():
    graph = changed(
        DEFAULT,
        n10=node("CLIPTextEncode", text="a ship", clip=("4", 1)),
        n11=node("ConditioningConcat", conditioning_to=("6", 0), conditioning_from=("10", 0)),
        n3={"positive": ("11", 0)},
    )
    assert request_of(graph).prompt == "beautiful scenery nature glass bottle landscape BREAK a ship"


def test_prompts_that_share_the_run_are_prompt_editing():
    graph = changed(
        DEFAULT,
        n10=node("CLIPTextEncode", text="a ship", clip=("4", 1)),
        n11=node("ConditioningSetTimestepRange", conditioning=("6", 0), start=0, end=0.4),
        n12=node("ConditioningSetTimestepRange", conditioning=("10", 0), start=0.4, end=1),
        n13=node("ConditioningCombine", conditioning_1=("11", 0), conditioning_2=("12", 0)),
        n3={"positive": ("13", 0)},
    )
    assert request_of(graph).prompt == "[beautiful scenery nature glass bottle landscape:a ship:0.4]"


def test_mixed_and_empty_conditionings():
    graph = changed(
        DEFAULT,
        n10=node("CLIPTextEncode", text="a ship", clip=("4", 1)),
        n11=node(
            "ConditioningAverage", conditioning_to=("10", 0), conditioning_from=("6", 0), conditioning_to_strength=0.6
        ),
        n12=node("ConditioningZeroOut", conditioning=("7", 0)),
        n3={"positive": ("11", 0), "negative": ("12", 0)},
    )
    reading = read_workflow(graph)
    assert (reading.request.prompt, reading.request.negative_prompt) == ("a ship", "")
    assert "ConditioningAverage #11" in reasons(reading)


def test_control_nets_ip_adapters_and_freeu_are_listed_with_their_values():
    graph = changed(
        DEFAULT,
        n10=node("ControlNetLoader", control_net_name="canny.safetensors"),
        n11=node("LoadImage", image="edges.png"),
        n12=node(
            "ControlNetApplyAdvanced",
            strength=0.9,
            start_percent=0,
            end_percent=0.8,
            positive=("6", 0),
            negative=("7", 0),
            control_net=("10", 0),
            image=("11", 0),
        ),
        n13=node("IPAdapterAdvanced", weight=0.8, model=("4", 0), image=("11", 0)),
        n14=node("FreeU_V2", b1=1.3, b2=1.4, s1=0.9, s2=0.2, model=("13", 0)),
        n3={"positive": ("12", 0), "negative": ("12", 1), "model": ("14", 0)},
    )
    reading = read_workflow(graph)
    assert reading.request.negative_prompt == "text, watermark" and reading.request.checkpoint
    listed = {entry.name: entry.value for entry in reading.left_out}
    assert listed["FreeU_V2 #14"] == "b1: 1.3, b2: 1.4, s1: 0.9, s2: 0.2"
    assert "strength: 0.9" in listed["ControlNetApplyAdvanced #12"] and "weight: 0.8" in listed["IPAdapterAdvanced #13"]
    assert "canny" in listed["ControlNetLoader #10"]


def test_a_value_from_an_unknown_node_is_listed_and_one_from_a_known_node_is_taken():
    graph = changed(
        DEFAULT,
        n10=node("PrimitiveInt", value=31),
        n11=node("StringConcatenate", string_a="a", string_b="b", delimiter=", "),
        n12=node("LLM Prompt Writer", topic="sea"),
        n3={"steps": ("10", 0)},
        n6={"text": ("11", 0)},
        n7={"text": ("12", 0)},
    )
    reading = read_workflow(graph)
    assert reading.request.passes[0].steps == 31 and reading.request.prompt == "a, b"
    assert "LLM Prompt Writer" in reasons(reading)["CLIPTextEncode #7"] and "LLM Prompt Writer #12" in reasons(reading)
    assert "PrimitiveInt #10" not in reasons(reading)


def test_a_workflow_in_which_nothing_samples_is_an_error_in_words():
    with pytest.raises(DamagedFile, match="Nothing in this workflow"):
        read_workflow({"1": node("LoadImage", image="a.png")})
    with pytest.raises(DamagedFile, match="no workflow"):
        read_workflow('{"a": 1}')


def test_graphs_that_go_in_circles_end():
    circle = changed(
        DEFAULT,
        n10=node("LatentUpscaleBy", upscale_method="bilinear", scale_by=1.5, samples=("3", 0)),
        n11=node("ConditioningCombine", conditioning_1=("11", 0), conditioning_2=("11", 0)),
        n12=node("FreeU", b1=1, model=("12", 0)),
        n3={"latent_image": ("10", 0), "positive": ("11", 0), "model": ("12", 0)},
    )
    assert check(read_workflow(circle).request).negative_prompt == "text, watermark"


def test_the_unused_sampler_of_another_branch_is_listed():
    graph = changed(DEFAULT, n20=graphs.node("EmptyLatentImage", width=512, height=512, batch_size=1), n21=sampler_of())
    assert "KSampler #21" in reasons(read_workflow(graph))


def test_a_node_of_others_that_works_on_the_finished_picture_is_listed() -> None:
    graph = copy.deepcopy(graphs.DEFAULT)
    graph["20"] = graphs.node("ReActorFaceSwap", input_image=("8", 0), swap_model="inswapper_128.onnx")
    graph["9"]["inputs"]["images"] = ["20", 0]
    reading = read_workflow(graph)
    assert reading.request.prompt == "beautiful scenery nature glass bottle landscape"
    assert [entry.name for entry in reading.left_out if "Extras" in entry.reason] == ["ReActorFaceSwap #20"]
