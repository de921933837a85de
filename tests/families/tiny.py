"""Tiny diffusers pipelines with random weights, saved as folders: the oracle that the families are compared with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from webui.weights.canonical import canonical
from webui.weights.header import read_header
from webui.weights.reader import Weights
from webui.weights.save import save_safetensors

PICTURE = 64


@dataclass
class Tiny:
    """Oracle networks, the folder they were saved to, and one file with the same weights."""

    unet: Any
    vae: Any
    texts: list[Any]
    folder: Path
    file: Path


def scatter(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random weights of a size that keeps signals alive, norms included."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensor.data = noise * tensor[0].numel() ** -0.5
        else:
            tensor.data = 1 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
    return module.eval()


def text_model(width: int, layers: int, act: str, projection: bool, seed: int, pad: int) -> torch.nn.Module:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        vocab_size=49408,
        hidden_act=act,
        projection_dim=width,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=pad,
    )
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    return scatter(kind(config), seed)


def unet_model(family: str, context: int, pooled: int, in_channels: int) -> torch.nn.Module:
    common: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": in_channels,
        "block_out_channels": (64, 128),
        "layers_per_block": 2,
        "cross_attention_dim": context,
        "norm_num_groups": 32,
    }
    if family == "sd1":
        types = {
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        }
        return scatter(UNet2DConditionModel(**common, **types, attention_head_dim=8), 1)
    types = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    linear = {"use_linear_projection": True, "attention_head_dim": (1, 2)}
    if family == "sd2":
        return scatter(UNet2DConditionModel(**common, **types, **linear), 1)
    extra = {
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": pooled,
    }
    return scatter(UNet2DConditionModel(**common, **types, **linear, **extra), 1)


def vae_model() -> torch.nn.Module:
    return scatter(
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 32, 64, 64),
            layers_per_block=1,
            latent_channels=4,
        ),
        2,
    )


def build(family: str, folder: Path, in_channels: int = 4) -> Tiny:
    """Make and save a tiny model of a family."""
    texts: dict[str, torch.nn.Module] = {}
    context, pooled = 64, 0
    if family == "sd1":
        texts["text_encoder"] = text_model(64, 4, "quick_gelu", False, 3, 49407)
    elif family == "sd2":  # diffusers stores one layer fewer than the authors' file has
        context, texts["text_encoder"] = 128, text_model(128, 3, "gelu", False, 3, 0)
    elif family == "sdxl":
        texts["text_encoder"] = text_model(64, 4, "quick_gelu", False, 3, 49407)
        texts["text_encoder_2"] = text_model(128, 5, "gelu", True, 4, 0)
        context, pooled = 192, 128 + 6 * 256
    else:
        texts["text_encoder_2"] = text_model(128, 5, "gelu", True, 4, 0)
        context, pooled = 128, 128 + 5 * 256
    kind = "sdxl" if pooled else family
    unet, vae = unet_model(kind, context, pooled, in_channels), vae_model()
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    for name, module in {"unet": unet, "vae": vae, **texts}.items():
        module.save_pretrained(folder / name)
        index[name] = ["transformers" if "text" in name else "diffusers", type(module).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    named = Weights(canonical(read_header(folder)))
    file = folder.parent / f"{folder.name}.safetensors"
    tensors = {name: named.tensor(name) for name in named.header.tensors}
    save_safetensors(file, tensors, {"modelspec.resolution": "256x256"})
    return Tiny(unet, vae, list(texts.values()), folder, file)
