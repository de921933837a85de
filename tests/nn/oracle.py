"""Name maps from the authors' key layout to diffusers and transformers, for comparing networks with those libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from webui.nn.unet import UNetConfig

Tensors = Mapping[str, Tensor]

RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights that leave nothing zero or one, and signals at about unit size."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 2 and "embedding" not in name:
            parameter.copy_(values * parameter[0].numel() ** -0.5)
        elif name.endswith("weight") and parameter.ndim == 1:
            parameter.copy_(1 + 0.1 * values)
        else:
            parameter.copy_(0.1 * values)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """‖a − b‖ / ‖b‖ in float32."""
    ours, theirs = ours.float(), theirs.float()
    return float((ours - theirs).norm() / theirs.norm())


def unet_to_diffusers(tensors: Tensors, config: UNetConfig) -> dict[str, Tensor]:
    """Rename a UNet's tensors to `UNet2DConditionModel`'s names."""
    stems = dict(UNET_ENDS)
    level = position = 0
    for index, block in enumerate(config.input_blocks[1:], start=1):
        if block[0].kind == "down":
            stems[f"input_blocks.{index}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
            level, position = level + 1, 0
            continue
        stems[f"input_blocks.{index}.0"] = f"down_blocks.{level}.resnets.{position}"
        stems[f"input_blocks.{index}.1"] = f"down_blocks.{level}.attentions.{position}"
        position += 1
    residuals = transformers = 0
    for index, layer in enumerate(config.middle_block):
        if layer.kind == "residual":
            stems[f"middle_block.{index}"] = f"mid_block.resnets.{residuals}"
            residuals += 1
        else:
            stems[f"middle_block.{index}"] = f"mid_block.attentions.{transformers}"
            transformers += 1
    level = position = 0
    for index, block in enumerate(config.output_blocks):
        stems[f"output_blocks.{index}.0"] = f"up_blocks.{level}.resnets.{position}"
        stems[f"output_blocks.{index}.1"] = f"up_blocks.{level}.attentions.{position}"
        position += 1
        if block[-1].kind == "up":
            stems[f"output_blocks.{index}.{len(block) - 1}.conv"] = f"up_blocks.{level}.upsamplers.0.conv"
            level, position = level + 1, 0
    return {_renamed(name, stems): tensor for name, tensor in tensors.items()}


def _renamed(name: str, stems: Mapping[str, str]) -> str:
    stem = max((s for s in stems if name.startswith(s + ".")), key=len)
    rest = name[len(stem) + 1 :]
    for ours, theirs in RESIDUAL.items():
        if rest.startswith(ours + "."):
            rest = theirs + rest[len(ours) :]
    return f"{stems[stem]}.{rest}"


def autoencoder_to_diffusers(tensors: Tensors, levels: int) -> dict[str, Tensor]:
    """Rename an autoencoder's tensors to `AutoencoderKL`'s names."""
    renamed = {}
    for name, tensor in tensors.items():
        theirs = re.sub(r"encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets.", name)
        theirs = re.sub(r"down\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0.", theirs)
        theirs = re.sub(
            r"decoder\.up\.(\d+)\.(block|upsample)\.",
            lambda m: (
                f"decoder.up_blocks.{levels - 1 - int(m[1])}." + ("resnets." if m[2] == "block" else "upsamplers.0.")
            ),
            theirs,
        )
        theirs = re.sub(r"mid\.block_(\d)\.", lambda m: f"mid_block.resnets.{int(m[1]) - 1}.", theirs)
        if "mid.attn_1." in theirs:
            theirs = theirs.replace("mid.attn_1.", "mid_block.attentions.0.").replace(
                "attentions.0.norm.", "attentions.0.group_norm."
            )
            theirs = re.sub(r"attentions\.0\.([qkv])\.", r"attentions.0.to_\1.", theirs)
            theirs = theirs.replace("proj_out.", "to_out.0.")
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        theirs = theirs.replace("norm_out.", "conv_norm_out.").replace("nin_shortcut.", "conv_shortcut.")
        renamed[theirs] = tensor
    return renamed


def openclip_to_transformers(tensors: Tensors) -> dict[str, Tensor]:
    """Rename an OpenCLIP text encoder's tensors to the names of Hugging Face's layout."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.replace("transformer.resblocks.", "encoder.layers.")
        name = name.replace(".ln_1.", ".layer_norm1.").replace(".ln_2.", ".layer_norm2.")
        name = name.replace(".mlp.c_fc.", ".mlp.fc1.").replace(".mlp.c_proj.", ".mlp.fc2.")
        name = name.replace("attn.out_proj", "self_attn.out_proj").replace("ln_final.", "final_layer_norm.")
        name = name.replace("token_embedding.", "embeddings.token_embedding.")
        if ".attn.in_proj_" in name:
            for part, chunk in zip("qkv", tensor.chunk(3)):
                renamed[name.replace(".attn.in_proj_", f".self_attn.{part}_proj.")] = chunk
        elif name == "positional_embedding":
            renamed["embeddings.position_embedding.weight"] = tensor
        elif name == "text_projection":
            renamed["text_projection.weight"] = tensor.T
        elif name != "logit_scale":
            renamed[name] = tensor
    return renamed
