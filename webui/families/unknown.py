"""What a file that is no supported checkpoint looks like, so that an error can say more than "unknown"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from webui.weights.canonical import UNET, is_diffusers_vae
from webui.weights.tensors import Header


@dataclass(frozen=True)
class Kind:
    """A kind of file: how to recognise it, its name with article, what to do with it, and the kind of model folder
    (`paths.MODEL_FOLDERS`) that it belongs into."""

    fits: Callable[[Header], bool]
    name: str
    remedy: str = ""
    folder: str = ""


def has(*names: str) -> Callable[[Header], bool]:
    """All of these names are there, with or without the checkpoint prefix."""
    return lambda header: all(n in header.tensors or UNET + n in header.tensors for n in names)


def has_any(*names: str) -> Callable[[Header], bool]:
    """At least one of these names is there, with or without the checkpoint prefix."""
    return lambda header: any(n in header.tensors or UNET + n in header.tensors for n in names)


def matches(pattern: str) -> Callable[[Header], bool]:
    """Some name matches the expression (searched anywhere in it)."""
    expression = re.compile(pattern)
    return lambda header: any(expression.search(name) for name in header.tensors)


def _width(name: str, axis: int) -> Callable[[Header], int]:
    def read(header: Header) -> int:
        info = header.tensors.get(name) or header.tensors.get(UNET + name)
        return info.shape[axis] if info is not None and len(info.shape) > axis else 0

    return read


LORA_FOLDER = "Put it into the LoRA folder and use it with <lora:name:1>."
CONTROL_FOLDER = "Put it into the ControlNet folder."
LATER = "This version of the program cannot run it yet."

# The first that fits is named: files of adapters come before the networks whose names they borrow.
KINDS = (
    Kind(lambda h: not h.tensors, "a file without tensors"),
    Kind(has_any("lora_controlnet"), "a Control-LoRA", CONTROL_FOLDER, folder="controlnet"),
    Kind(matches(r"^lllite_unet_"), "a ControlNet-LLLite", CONTROL_FOLDER, folder="controlnet"),
    Kind(
        matches(r"motion_modules\..*\.lora|processor\.to_\w+_lora\."),
        "a motion or attention LoRA",
        LORA_FOLDER,
        folder="loras",
    ),
    Kind(
        matches(
            r"\.(lora_(up|down|A|B)\b|lora_(up|down|A|B)\.|lokr_w|hada_w|oft_blocks|oft_diag|dora_scale|diff_b?$|lora\.)"
        ),
        "a LoRA",
        LORA_FOLDER,
        folder="loras",
    ),
    Kind(matches(r"(qkv|proj)_lora\d?\.(up|down)"), "a LoRA", LORA_FOLDER, folder="loras"),
    Kind(
        matches(r"^(image_proj\.|ip_adapter\.|ip_adapter_double_blocks|double_blocks\.\d+\.processor\.ip_adapter)"),
        "an IP-Adapter",
        folder="ip_adapters",
    ),
    Kind(
        matches(r"motion_modules\.\d+\.temporal_transformer"), "an AnimateDiff motion module", folder="motion_modules"
    ),
    Kind(
        has_any(
            "controlnet_cond_embedding.conv_in.weight",
            "controlnet_blocks.0.weight",
            "controlnet_blocks.0.linear.weight",
        ),
        "a ControlNet",
        CONTROL_FOLDER,
        folder="controlnet",
    ),
    Kind(
        has_any(
            "control_model.zero_convs.0.0.weight", "zero_convs.0.0.weight", "control_model.input_blocks.0.0.weight"
        ),
        "a ControlNet",
        CONTROL_FOLDER,
        folder="controlnet",
    ),
    Kind(
        matches(r"^(adapter\.)?body\.\d+\.(block1|resnets|in_conv)"),
        "a T2I-Adapter",
        CONTROL_FOLDER,
        folder="controlnet",
    ),
    Kind(matches(r"bitsandbytes__(nf4|fp4)$"), "a checkpoint in 4-bit NF4 or FP4 form", LATER, folder="checkpoints"),
    Kind(
        has("joint_blocks.0.context_block.attn.qkv.weight"),
        "a Stable Diffusion 3 network",
        LATER,
        folder="diffusion_models",
    ),
    Kind(
        has_any("distilled_guidance_layer.0.norms.0.scale", "distilled_guidance_layer.norms.0.scale"),
        "a Chroma network",
        LATER,
        folder="diffusion_models",
    ),
    Kind(has("double_stream_modulation_img.lin.weight"), "a FLUX.2 network", LATER, folder="diffusion_models"),
    Kind(
        has("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight"),
        "a Flux.1 network",
        LATER,
        folder="diffusion_models",
    ),
    Kind(
        has("single_transformer_blocks.0.attn.norm_k.weight", "x_embedder.weight"),
        "a Flux.1 network",
        LATER,
        folder="diffusion_models",
    ),
    Kind(has("clf.1.weight", "clip_txt_mapper.weight"), "a Stable Cascade stage C", LATER, folder="diffusion_models"),
    Kind(has("clf.1.weight", "clip_mapper.weight"), "a Stable Cascade stage B", LATER, folder="diffusion_models"),
    Kind(has_any("vquantizer.codebook.weight"), "a Stable Cascade stage A", LATER, folder="vae"),
    Kind(
        has("backbone.1.0.block.0.1.num_batches_tracked"),
        "a Stable Cascade image encoder",
        LATER,
        folder="image_encoders",
    ),
    Kind(has("blocks.11.num_batches_tracked"), "a Stable Cascade previewer", LATER, folder="preview_decoders"),
    Kind(has_any("encoder_hid_proj.weight"), "a Kolors network", LATER, folder="diffusion_models"),
    Kind(has("double_layers.0.attn.w1q.weight"), "an AuraFlow network", LATER, folder="diffusion_models"),
    Kind(has("mlp_t5.0.weight"), "a HunyuanDiT network", LATER, folder="diffusion_models"),
    Kind(matches(r"\.time_stack\."), "a Stable Video Diffusion checkpoint", LATER, folder="checkpoints"),
    Kind(matches(r"^depth_model\."), "a depth-to-image Stable Diffusion 2 checkpoint", LATER, folder="checkpoints"),
    Kind(matches(r"^embedder\.model\."), "an unCLIP Stable Diffusion 2 checkpoint", LATER, folder="checkpoints"),
    Kind(
        lambda h: _width("input_blocks.0.0.weight", 1)(h) == 7,
        "the Stable Diffusion ×4 upscaler",
        LATER,
        folder="checkpoints",
    ),
    Kind(
        has("token_embedding.weight", "transformer.resblocks.0.ln_1.weight"),
        "an OpenCLIP text encoder",
        folder="text_encoders",
    ),
    Kind(
        matches(r"^(text_model\.)?encoder\.layers\.0\.self_attn|^text_model\."),
        "a CLIP text encoder",
        folder="text_encoders",
    ),
    Kind(matches(r"^(vision_model\.|visual\.)"), "a CLIP image encoder", folder="image_encoders"),
    Kind(
        matches(r"^encoder\.block\.0\.layer\.0\.SelfAttention|^enc\.blk\.0\."),
        "a T5 text encoder",
        folder="text_encoders",
    ),
    Kind(
        matches(r"^(transformer\.)?encoder\.layers\.0\.self_attention\.query_key_value"),
        "a ChatGLM text encoder",
        folder="text_encoders",
    ),
    Kind(
        matches(r"^(taesd_)?(decoder\.layers\.|(de|en)coder\.)?[01]\.weight$"),
        "a tiny autoencoder for previews (TAESD)",
        folder="preview_decoders",
    ),
    Kind(
        lambda h: is_diffusers_vae(h.tensors),
        "a VAE",
        "Put it into the VAE folder and choose it under VAE.",
        folder="vae",
    ),
    Kind(
        matches(r"^(first_stage_model\.|vae\.)?decoder\.mid\.block_1\.norm1\.weight$"),
        "a VAE",
        "Put it into the VAE folder and choose it under VAE.",
        folder="vae",
    ),
    Kind(
        matches(r"^(string_to_param\.|emb_params$|clip_[lg]$)"),
        "a textual-inversion embedding",
        "Put it into the embeddings folder.",
        folder="embeddings",
    ),
    Kind(
        matches(r"^\d+\.[01]\.linear\.\d+\.weight$"),
        "a hypernetwork",
        "Put it into the hypernetworks folder.",
        folder="hypernetworks",
    ),
    Kind(
        matches(r"(RDB\d|rdb\d)\.|^params(_ema)?\.|conv_first\.weight$|^model\.0\.weight$"),
        "an upscaler",
        "Put it into the upscaler folder.",
        folder="upscalers",
    ),
    Kind(has("input_blocks.0.0.weight"), "a diffusion network of an unknown make", folder="diffusion_models"),
)


def kind_of(header: Header) -> Kind | None:
    """The first kind that fits, or None."""
    return next((kind for kind in KINDS if kind.fits(header)), None)


def looks_like(header: Header) -> tuple[str, str]:
    """What the file is, with its article, and what to do with it (may be empty)."""
    kind = kind_of(header)
    if kind is not None:
        return kind.name, kind.remedy
    examples = ", ".join(list(header.tensors)[:3])
    return f"a file of an unknown kind ({len(header.tensors)} tensors: {examples}, …)", ""
