"""Aesthetic gradients with transformers' CLIP alone: what ours are held against."""

import copy

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from tests.families.tiny import scatter

WIDTH = 64


def clip(features=48, layers=2, act="quick_gelu", pad=49407, seed=3):
    """A small CLIP text encoder with a projection, random."""
    config = CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=1,
        vocab_size=49408,
        hidden_act=act,
        projection_dim=features,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=pad,
    )
    return scatter(CLIPTextModelWithProjection(config), seed)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def slerp(low, high, amount):
    """Along dimension 1, as the extension has it: the angle between the directions, weights on the vectors."""
    angle = torch.acos((low / low.norm(dim=1, keepdim=True) * (high / high.norm(dim=1, keepdim=True))).sum(1))
    first, second = torch.sin((1 - amount) * angle) / torch.sin(angle), torch.sin(amount * angle) / torch.sin(angle)
    return first.unsqueeze(1) * low + second.unsqueeze(1) * high


def moved(model, chunks, target, steps, learning_rate):
    """A copy after some steps of Adam; `chunks` [n, 77] of one text, `target` [1, D] of length 1."""
    model = copy.deepcopy(model).requires_grad_(True)
    optimiser = torch.optim.Adam(model.text_model.parameters(), lr=learning_rate)
    for _ in range(steps):
        loss = -(unit(model(input_ids=chunks).text_embeds) @ target.T).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.requires_grad_(False)


def hidden(model, chunks, skip=1):
    """What diffusion is told, [1, 77·n, D]: a layer, normalised."""
    out = model.text_model(input_ids=chunks, output_hidden_states=True)
    chosen = out.hidden_states[-skip]
    return model.text_model.final_layer_norm(chosen).reshape(1, -1, chosen.shape[-1])
