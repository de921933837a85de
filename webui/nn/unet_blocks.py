"""The layers a latent-diffusion UNet is made of, in the authors' key layout.

Sources: Ho et al. 2020 (residual blocks with a timestep), Rombach et al. 2022 (transformers with text attention),
Shazeer 2020 (GEGLU).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.nn.attention import attention
from webui.nn.hooks import NO_HOOKS, BlockHooks, Site
from webui.nn.layers import Conv2d, Linear, added, doubled_conv, normed_silu


def timestep_embedding(timestep: Tensor, width: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoids of a timestep, cosines first (Vaswani et al. 2017 as used by Ho et al. 2020).

    `timestep` [B], fractions allowed. Returns [B, width] in float32.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(max_period) / half * torch.arange(half, device=timestep.device))
    angles = timestep.float()[:, None] * frequencies[None]  # [B, width/2]
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, width % 2))


class ResidualBlock(nn.Module):
    """norm → SiLU → conv, plus the timestep, norm → SiLU → conv, plus the input."""

    def __init__(self, channels_in: int, channels_out: int, embedding_width: int):
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels_in), nn.SiLU(), Conv2d(channels_in, channels_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(embedding_width, channels_out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, channels_out), nn.SiLU(), nn.Identity(), Conv2d(channels_out, channels_out, 3, padding=1)
        )
        same = channels_in == channels_out
        self.skip_connection = nn.Identity() if same else Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # [B, C, H, W], [B, E]
        norm, _, conv = self.in_layers
        h = added(conv(normed_silu(norm, x)), self.emb_layers(embedding)[:, :, None, None])
        norm, _, _, conv = self.out_layers
        return added(conv(normed_silu(norm, h)), self.skip_connection(x))


class Downsample(nn.Module):
    """Halve the size with a strided convolution."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.op = Conv2d(channels_in, channels_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Repeat pixels up to a size (that of the next skip connection, so odd ones work), then a convolution."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(size) == (2 * x.shape[2], 2 * x.shape[3]):
            return doubled_conv(x, self.conv)
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Attention(nn.Module):
    """Multi-head attention of tokens over themselves or over a context."""

    def __init__(self, width: int, context_width: int, heads: int, site: Site):
        super().__init__()
        self.heads, self.site = heads, site
        self.to_q = Linear(width, width, bias=False)
        self.to_k = Linear(context_width, width, bias=False)
        self.to_v = Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(Linear(width, width), nn.Identity())

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, T, D], a view

    def forward(self, x: Tensor, context: Tensor, hooks: BlockHooks = NO_HOOKS) -> Tensor:  # [B, T, C], [B, S, K]
        key_source, value_source = hooks.run_sources(self.site, context, context)
        query, key, value = self._split(self.to_q(x)), self._split(self.to_k(key_source)), self.to_v(value_source)
        out = hooks.run_attend(self.site, query, key, self._split(value), attention)
        return self.to_out(out.transpose(1, 2).flatten(2))


class GatedGelu(nn.Module):
    """Half of a projection, gated by the GELU of the other half."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.proj = Linear(width_in, 2 * width_out)

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.proj.parts(x, 2)
        if torch.is_grad_enabled():
            return h * F.gelu(gate)
        return F.gelu(gate).mul_(h)


class FeedForward(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(GatedGelu(width, 4 * width), nn.Identity(), Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerLayer(nn.Module):
    """Self-attention, text attention and feed-forward, each added to its input."""

    def __init__(self, width: int, context_width: int, heads: int, part: str, block: int, depth: int):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn1 = Attention(width, width, heads, Site(part, block, "attn1", depth))
        self.attn2 = Attention(width, context_width, heads, Site(part, block, "attn2", depth))
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor, hooks: BlockHooks) -> Tensor:  # [B, T, C], [B, S, K]
        h = self.norm1(x)
        x = added(self.attn1(h, h, hooks), x)
        x = added(self.attn2(self.norm2(x), context, hooks), x)
        return added(self.ff(self.norm3(x)), x)


class SpatialTransformer(nn.Module):
    """Transformer layers over the positions of a feature map, between two projections."""

    def __init__(
        self, channels: int, context_width: int, heads: int, depth: int, linear_projections: bool, part: str, block: int
    ):
        super().__init__()
        self.linear_projections = linear_projections
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = Linear(channels, channels) if linear_projections else Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerLayer(channels, context_width, heads, part, block, index) for index in range(depth)
        )
        self.proj_out = Linear(channels, channels) if linear_projections else Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor, hooks: BlockHooks) -> Tensor:  # [B, C, H, W], [B, S, K]
        height, width = x.shape[2:]
        h = self.norm(x)
        if not self.linear_projections:
            h = self.proj_in(h)
        tokens = h.permute(0, 2, 3, 1).flatten(1, 2)  # [B, HW, C]; no copy in channels_last
        if self.linear_projections:
            tokens = self.proj_in(tokens)
        for layer in self.transformer_blocks:
            tokens = layer(tokens, context, hooks)
        if self.linear_projections:
            tokens = self.proj_out(tokens)
        h = tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return added(h if self.linear_projections else self.proj_out(h), x)
