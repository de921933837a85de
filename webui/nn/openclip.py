"""The text encoders of OpenCLIP (H for Stable Diffusion 2, bigG for XL) in their own key layout.

Names equal those in the files (`transformer.resblocks.0.attn.in_proj_weight` …). Source: Cherti et al. 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.nn.attention import attention
from webui.nn.clip import (
    ClipOutput,
    Replacements,
    causal_mask,
    check_skip,
    end_of_text,
    replace_embeddings,
)
from webui.nn.layers import Linear, linear


@dataclass(frozen=True)
class OpenClipTextConfig:
    """Everything that shapes the encoder; `from_shapes` reads it off a file."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    hidden: int = 4096
    vocabulary: int = 49408
    positions: int = 77
    projection: int = 1024

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> OpenClipTextConfig:
        """Read the hyper-parameters off tensor shapes (names without any prefix)."""
        vocabulary, width = shapes["token_embedding.weight"]
        return cls(
            width=width,
            layers=1 + max(int(n.split(".")[2]) for n in shapes if n.startswith("transformer.resblocks.")),
            heads=max(1, width // 64),
            hidden=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
            vocabulary=vocabulary,
            positions=shapes["positional_embedding"][0],
            projection=shapes["text_projection"][1] if "text_projection" in shapes else 0,
        )


class FusedAttention(nn.Module):
    """Multi-head self-attention with one projection for query, key and value."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, T, D], [T, T]
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        )
        return self.out_proj(attention(q, k, v, mask).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.c_fc, self.c_proj = Linear(width, hidden), Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class ResidualLayer(nn.Module):
    """Self-attention and MLP, each normalised first and added to its input."""

    def __init__(self, config: OpenClipTextConfig):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attn = FusedAttention(config.width, config.heads)
        self.mlp = MLP(config.width, config.hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The layers, under the name the files give them."""

    def __init__(self, config: OpenClipTextConfig):
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualLayer(config) for _ in range(config.layers))


class OpenClipText(nn.Module):
    """Token numbers → vectors for the UNet's text attention, and a pooled vector for SDXL."""

    def __init__(self, config: OpenClipTextConfig):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None  # set when weights are stored in another type
        self.positional_embedding = nn.Parameter(torch.randn(config.positions, config.width) * 0.01)
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.transformer = Transformer(config)
        self.ln_final = nn.LayerNorm(config.width)
        if config.projection:
            self.text_projection = nn.Parameter(torch.randn(config.width, config.projection) * config.width**-0.5)
        self.logit_scale = nn.Parameter(torch.zeros(()))  # unused here; every file carries it

    def forward(
        self, tokens: Tensor, embeddings: Replacements | None = None, skip: int = 1, final_norm: bool = True
    ) -> ClipOutput:
        """Encode token numbers [B, T]; arguments and errors as in `ClipText.forward`."""
        check_skip(skip, self.config.layers)
        dtype = self.compute_dtype or self.ln_final.weight.dtype
        x = replace_embeddings(self.token_embedding(tokens).to(dtype), embeddings)
        x = x + self.positional_embedding[: tokens.shape[1]].to(dtype)
        mask = causal_mask(tokens.shape[1], x)
        chosen = x
        for index, layer in enumerate(self.transformer.resblocks):
            x = layer(x, mask)
            if index == self.config.layers - skip:
                chosen = x
        last = self.ln_final(x)
        pooled = last[torch.arange(len(tokens), device=tokens.device), end_of_text(tokens)]
        if self.config.projection:
            pooled = pooled @ self.text_projection.to(pooled.dtype)
        if final_norm:
            chosen = last if skip == 1 else self.ln_final(chosen)
        return ClipOutput(chosen, pooled)


__all__ = ["OpenClipText", "OpenClipTextConfig"]
