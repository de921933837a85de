"""A random full-size Stable Diffusion 1.5: as a file, as our networks, and as diffusers' with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.precision import place
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.weights.canonical import CLIP, UNET, VAE
from webui.weights.names import unet_to_diffusers, vae_to_diffusers
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors

FILE_NAME = "random-sd15-default-init-fp16.safetensors"


def checkpoint(work: Path) -> Path:
    """The file, written at the first use (2.1 GB, float16, the authors' key layout)."""
    path = work / FILE_NAME
    if path.exists():
        return path
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    parts: tuple[tuple[str, type[nn.Module], Any], ...] = (
        (UNET, UNet, UNetConfig.regular()),
        (VAE, Autoencoder, AutoencoderConfig()),
        (CLIP, ClipText, ClipTextConfig()),
    )
    for prefix, kind, config in parts:
        network = kind(config).half()
        tensors |= {prefix + name: tensor for name, tensor in network.state_dict().items()}
    tensors[CLIP + "embeddings.position_ids"] = torch.arange(77)[None]
    save_safetensors(path, tensors)
    return path


def tensors_of(path: Path, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors below a prefix, cast."""
    with open_weights(path) as weights:
        return {name: stored().to(dtype) for name, stored in weights.tensors(prefix).items()}


def our_unet(tensors: dict[str, Tensor], dtype: torch.dtype) -> UNet:
    """Our network with the given tensors, placed as the app does."""
    with torch.device("meta"):
        unet = UNet(UNetConfig.from_shapes({name: tuple(t.shape) for name, t in tensors.items()}))
    unet.load_state_dict(tensors, assign=True)
    place(unet, "cpu", dtype)
    return unet


def our_autoencoder(tensors: dict[str, Tensor], dtype: torch.dtype) -> Autoencoder:
    """Our autoencoder with the given tensors, placed as the app does."""
    with torch.device("meta"):
        network = Autoencoder(AutoencoderConfig.from_shapes({name: tuple(t.shape) for name, t in tensors.items()}))
    network.load_state_dict(tensors, assign=True)
    place(network, "cpu", dtype)
    return network


def diffusers_unet(tensors: dict[str, Tensor]) -> Any:
    """diffusers' network with our tensors, as its own loader would make it (memory contiguous, no copy)."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        model: Any = UNet2DConditionModel(cross_attention_dim=768)
    names = unet_to_diffusers(tensors)
    model.load_state_dict({names[name]: tensor for name, tensor in tensors.items()}, assign=True)
    return model.eval()


def diffusers_vae(tensors: dict[str, Tensor]) -> Any:
    """diffusers' autoencoder with our tensors."""
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        model: Any = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
    names = vae_to_diffusers(tensors)
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    renamed = {names[name]: tensor.reshape(shapes[names[name]]) for name, tensor in tensors.items()}
    model.load_state_dict(renamed, assign=True)
    return model.eval()
