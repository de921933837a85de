"""Small adapter files for the narrow checkpoint of the engine's tests."""

import torch

from webui.weights.save import save_safetensors

LAYERS = {  # kohya's name: out, in, of the narrow UNet and its text encoder
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (64, 64),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q": (64, 64),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v": (32, 64),
    "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
    "lora_te_text_model_encoder_layers_1_mlp_fc1": (128, 64),
}


def lora_tensors(layers=None, rank=4, seed=0, size=1.0):
    """A LoRA's tensors for some layers."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (rows, columns) in (layers or LAYERS).items():
        tensors[f"{name}.lora_up.weight"] = torch.randn(rows, rank, generator=generator) * size
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, columns, generator=generator) * 0.3
        tensors[f"{name}.alpha"] = torch.tensor(float(rank))
    return tensors


def write_lora(path, metadata=None, **options):
    """Write such a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, lora_tensors(**options), metadata)
    return path
