"""ComfyUI workflows in both of its formats, written as its editor and its server write them."""

from __future__ import annotations

import copy
from typing import Any


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of the server's format. A tuple is a link (id, output)."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    return {"class_type": kind, "inputs": values, "_meta": {"title": kind}}


# The workflow that a new installation shows, with values of its own.
DEFAULT = {
    "3": node(
        "KSampler",
        seed=156680208700286,
        steps=23,
        cfg=6.5,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=1,
        model=("4", 0),
        positive=("6", 0),
        negative=("7", 0),
        latent_image=("5", 0),
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd15\\v1-5-pruned-emaonly-fp16.safetensors"),
    "5": node("EmptyLatentImage", width=640, height=384, batch_size=2),
    "6": node("CLIPTextEncode", text="beautiful scenery nature glass bottle landscape", clip=("4", 1)),
    "7": node("CLIPTextEncode", text="text, watermark", clip=("4", 1)),
    "8": node("VAEDecode", samples=("3", 0), vae=("4", 2)),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=("8", 0)),
}

FLUX = {
    "5": node("EmptySD3LatentImage", width=1024, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a lighthouse", clip=("11", 0)),
    "8": node("VAEDecode", samples=("13", 0), vae=("10", 0)),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=("8", 0)),
    "10": node("VAELoader", vae_name="ae.safetensors"),
    "11": node(
        "DualCLIPLoader",
        clip_name1="t5xxl_fp16.safetensors",
        clip_name2="clip_l.safetensors",
        type="flux",
        device="default",
    ),
    "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced",
        noise=("25", 0),
        guider=("22", 0),
        sampler=("16", 0),
        sigmas=("17", 0),
        latent_image=("5", 0),
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=21, denoise=1, model=("30", 0)),
    "22": node("BasicGuider", model=("30", 0), conditioning=("26", 0)),
    "25": node("RandomNoise", noise_seed=219670278747233),
    "26": node("FluxGuidance", guidance=3.5, conditioning=("6", 0)),
    "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, height=768, model=("31", 0)),
    "31": node("LoraLoaderModelOnly", lora_name="film.safetensors", strength_model=0.8, model=("12", 0)),
}

KOLORS = {
    "6": node("DownloadAndLoadKolorsModel", model="Kwai-Kolors/Kolors", precision="fp16"),
    "11": node("LoadChatGLM3", chatglm3_checkpoint="chatglm3-8bit.safetensors"),
    "12": node(
        "KolorsTextEncode", prompt="一座灯塔", negative_prompt="模糊", num_images_per_prompt=1, chatglm3_model=("11", 0)
    ),
    "14": node(
        "KolorsSampler",
        width=1024,
        height=896,
        seed=1000102404233412,
        steps=25,
        cfg=5,
        scheduler="DPMSolverMultistepScheduler_SDE_karras",
        denoise_strength=1,
        kolors_model=("6", 0),
        kolors_embeds=("12", 0),
    ),
    "10": node("VAELoader", vae_name="sdxl.vae.safetensors"),
    "15": node("VAEDecode", samples=("14", 0), vae=("10", 0)),
    "16": node("PreviewImage", images=("15", 0)),
}

KOLORS_MZ = {
    "66": node("MZ_ChatGLM3Loader", chatglm3_checkpoint="chatglm3-4bit.safetensors"),
    "67": node("MZ_ChatGLM3_V2", text="一座灯塔", chatglm3_model=("66", 0)),
    "68": node("MZ_ChatGLM3_V2", text="模糊", chatglm3_model=("66", 0)),
    "70": node("MZ_KolorsUNETLoaderV2", unet_name="kolors/unet.safetensors"),
    "3": {**copy.deepcopy(DEFAULT["3"]), "class_type": "KSampler"},
    "5": node("EmptyLatentImage", width=1024, height=1024, batch_size=1),
    "8": node("VAEDecode", samples=("3", 0), vae=("10", 0)),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=("8", 0)),
    "10": node("VAELoader", vae_name="sdxl.vae.safetensors"),
}
KOLORS_MZ["3"]["inputs"] |= {"model": ["70", 0], "positive": ["67", 0], "negative": ["68", 0]}


def changed(graph: dict[str, Any], *without: str, **nodes: Any) -> dict[str, Any]:
    """A copy with nodes added or replaced (`n3` is node 3) or, where the value is a plain dict, inputs changed."""
    graph = {id: one for id, one in copy.deepcopy(graph).items() if id not in without}
    for name, value in nodes.items():
        id = name.removeprefix("n")
        if "class_type" in value:
            graph[id] = value
        else:
            graph[id]["inputs"] |= {key: list(v) if isinstance(v, tuple) else v for key, v in value.items()}
    return graph


def editor_node(
    id: int, kind: str, values: Any = (), inputs: tuple = (), outputs: tuple = (), mode: int = 0, **others: Any
) -> dict[str, Any]:
    """A node of the editor's format; inputs are (name, type, link or None[, "widget"]), outputs are types."""
    return {
        "id": id,
        "type": kind,
        "pos": [863, 186],
        "size": [315, 262],
        "flags": {},
        "order": 4,
        "mode": mode,
        "inputs": [
            {"name": entry[0], "type": entry[1], "link": entry[2]}
            | ({"widget": {"name": entry[0]}} if len(entry) > 3 else {})
            for entry in inputs
        ],
        "outputs": [{"name": kind, "type": kind, "links": [], "slot_index": n} for n, kind in enumerate(outputs)],
        "properties": {"Node name for S&R": kind},
        "widgets_values": values if isinstance(values, dict) else list(values),
        **others,
    }


def editor(*nodes: dict[str, Any], links: list[list[Any]], **others: Any) -> dict[str, Any]:
    """A workflow of the editor's format 0.4."""
    return {
        "last_node_id": 90,
        "last_link_id": 90,
        "nodes": list(nodes),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 1, "offset": [0, 0]}},
        "version": 0.4,
        **others,
    }


SAMPLER_INPUTS = (
    ("model", "MODEL", 1),
    ("positive", "CONDITIONING", 4),
    ("negative", "CONDITIONING", 6),
    ("latent_image", "LATENT", 2),
)
SAMPLER_VALUES = (156680208700286, "randomize", 23, 6.5, "dpmpp_2m", "karras", 1)
LINKS = [
    [1, 4, 0, 3, 0, "MODEL"],
    [2, 5, 0, 3, 3, "LATENT"],
    [3, 4, 1, 6, 0, "CLIP"],
    [4, 6, 0, 3, 1, "CONDITIONING"],
    [5, 4, 1, 7, 0, "CLIP"],
    [6, 7, 0, 3, 2, "CONDITIONING"],
    [7, 3, 0, 8, 0, "LATENT"],
    [8, 4, 2, 8, 1, "VAE"],
    [9, 8, 0, 9, 0, "IMAGE"],
]


def editor_default() -> dict[int, dict[str, Any]]:
    """The nodes of DEFAULT in the editor's format, by id; `LINKS` are their links."""
    nodes = (
        editor_node(7, "CLIPTextEncode", ["text, watermark"], (("clip", "CLIP", 5),), ("CONDITIONING",)),
        editor_node(
            6,
            "CLIPTextEncode",
            ["beautiful scenery nature glass bottle landscape"],
            (("clip", "CLIP", 3),),
            ("CONDITIONING",),
        ),
        editor_node(5, "EmptyLatentImage", [640, 384, 2], (), ("LATENT",)),
        editor_node(3, "KSampler", SAMPLER_VALUES, SAMPLER_INPUTS, ("LATENT",)),
        editor_node(8, "VAEDecode", [], (("samples", "LATENT", 7), ("vae", "VAE", 8)), ("IMAGE",)),
        editor_node(9, "SaveImage", ["ComfyUI"], (("images", "IMAGE", 9),)),
        editor_node(
            4, "CheckpointLoaderSimple", ["sd15\\v1-5-pruned-emaonly-fp16.safetensors"], (), ("MODEL", "CLIP", "VAE")
        ),
    )
    return {one["id"]: one for one in nodes}
