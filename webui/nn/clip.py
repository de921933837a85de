"""CLIP's text encoder in the key layout of Hugging Face (`encoder.layers.0.self_attn.q_proj.weight` …).

Used by Stable Diffusion 1 and as the first encoder of XL. Source: Radford et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.errors import InvalidRequest
from webui.nn.attention import attention
from webui.nn.layers import Linear

Replacements = Sequence[tuple[int, int, Tensor]]  # (row of the batch, first position, vectors [n, D])


@dataclass(frozen=True)
class ClipOutput:
    """`hidden` [B, T, D] of the chosen layer; `pooled` [B, P] at the end-of-text token of the last layer, projected
    when the encoder has a projection."""

    hidden: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class ClipTextConfig:
    """Everything that shapes the encoder; `from_shapes` reads it off a file. `projection` 0 means none."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    vocabulary: int = 49408
    positions: int = 77
    projection: int = 0
    quick_gelu: bool = True

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> ClipTextConfig:
        """Read the hyper-parameters off tensor shapes (names without any prefix)."""
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        return cls(
            width=width,
            layers=1 + max(int(name.split(".")[2]) for name in shapes if name.startswith("encoder.layers.")),
            heads=max(1, width // 64),
            hidden=shapes["encoder.layers.0.mlp.fc1.weight"][0],
            vocabulary=vocabulary,
            positions=shapes["embeddings.position_embedding.weight"][0],
            projection=shapes["text_projection.weight"][0] if "text_projection.weight" in shapes else 0,
            # OpenAI's own sizes and narrower ones use the sigmoid form; the wider ones come from OpenCLIP.
            quick_gelu=width <= 768,
        )


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702·x), the approximation of GELU that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


def causal_mask(tokens: int, like: Tensor) -> Tensor:
    """Additive mask [T, T] that hides later tokens, in the type and on the device of `like`."""
    return torch.full((tokens, tokens), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def replace_embeddings(x: Tensor, replacements: Replacements | None) -> Tensor:
    """Token vectors [B, T, D] with some of them replaced. Raises InvalidRequest on vectors of another width."""
    if not replacements:
        return x
    x = x.clone()
    for row, position, vectors in replacements:
        if vectors.shape[-1] != x.shape[-1]:
            raise InvalidRequest(
                f"An embedding has vectors of width {vectors.shape[-1]}.",
                f"This text encoder takes width {x.shape[-1]}.",
                "Choose an embedding made for this kind of checkpoint.",
            )
        x[row, position : position + len(vectors)] = vectors.to(x)
    return x


def end_of_text(tokens: Tensor) -> Tensor:
    """Position [B] of the first end-of-text token, which has the highest number of the vocabulary."""
    return tokens.argmax(dim=-1)


class SelfAttention(nn.Module):
    """Multi-head self-attention with separate projections."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = Linear(width, width), Linear(width, width), Linear(width, width)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, T, D], [T, T]
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attention(q, k, v, mask).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.fc1, self.fc2 = Linear(config.width, config.hidden), Linear(config.hidden, config.width)
        self.activation = quick_gelu if config.quick_gelu else F.gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each normalised first and added to its input."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.self_attn = SelfAttention(config.width, config.heads)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Token vectors plus position vectors."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, tokens: Tensor, replacements: Replacements | None, dtype: torch.dtype) -> Tensor:
        x = replace_embeddings(self.token_embedding(tokens).to(dtype), replacements)
        return x + self.position_embedding.weight[: tokens.shape[1]].to(dtype)


class Encoder(nn.Module):
    """The layers; also returns what the layer `skip` from the end put out."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, skip: int) -> tuple[Tensor, Tensor]:
        mask = causal_mask(x.shape[1], x)
        chosen = x
        for index, layer in enumerate(self.layers):
            x = layer(x, mask)
            if index == len(self.layers) - skip:
                chosen = x
        return x, chosen


class ClipText(nn.Module):
    """Token numbers → vectors for the UNet's text attention."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None  # set when weights are stored in another type
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width)
        if config.projection:
            self.text_projection = Linear(config.width, config.projection, bias=False)

    def forward(
        self, tokens: Tensor, embeddings: Replacements | None = None, skip: int = 1, final_norm: bool = True
    ) -> ClipOutput:
        """Encode token numbers [B, T].

        `skip` 1 takes the last layer, 2 the one before ("clip skip"); `final_norm` normalises what was taken.
        `embeddings` puts vectors in place of tokens (textual inversion). Raises InvalidRequest for a skip out of range.
        """
        check_skip(skip, self.config.layers)
        dtype = self.compute_dtype or self.final_layer_norm.weight.dtype
        last, chosen = self.encoder(self.embeddings(tokens, embeddings, dtype), skip)
        last = self.final_layer_norm(last)
        pooled = last[torch.arange(len(tokens), device=tokens.device), end_of_text(tokens)]
        if self.config.projection:
            pooled = self.text_projection(pooled)
        if final_norm:
            chosen = last if skip == 1 else self.final_layer_norm(chosen)
        return ClipOutput(chosen, pooled)


def check_skip(skip: int, layers: int) -> None:
    """Raise InvalidRequest unless 1 ≤ skip ≤ layers."""
    if not 1 <= skip <= layers:
        raise InvalidRequest(
            f"Clip skip is {skip}.", f"This text encoder has {layers} layers: 1 to {layers} is possible."
        )


__all__ = ["ClipOutput", "ClipText", "ClipTextConfig"]
