"""The UNet of Stable Diffusion 1, 2 and XL, in the key layout of the original authors.

Names in the modules equal names in the files (`input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight` …).
Source: Rombach et al. 2022 and Podell et al. 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from webui.errors import IncompatibleModel
from webui.nn.hooks import NO_HOOKS, BlockHooks, Site
from webui.nn.layers import Conv2d, Linear, normed_silu
from webui.nn.unet_blocks import (
    Downsample,
    ResidualBlock,
    SpatialTransformer,
    Upsample,
    timestep_embedding,
)
from webui.nn.unet_config import Block, Layer, UNetConfig


class Stage(nn.ModuleList):
    """One block of the file: its layers in order."""

    def __init__(self, layers: list[nn.Module], part: str, block: int):
        super().__init__(layers)
        self.site = Site(part, block)

    def forward(
        self, h: Tensor, embedding: Tensor, context: Tensor, hooks: BlockHooks, size: tuple[int, int]
    ) -> Tensor:
        """Run the layers on h [B, C, H, W]; `size` is what an upsampling has to reach."""
        upsample = None
        for layer in self:
            if isinstance(layer, ResidualBlock):
                h = layer(h, embedding)
            elif isinstance(layer, SpatialTransformer):
                h = layer(h, context, hooks)
            elif isinstance(layer, Upsample):
                upsample = layer
            else:
                h = layer(h)
        h = hooks.run_block(self.site, h)
        return h if upsample is None else upsample(h, size)


class UNet(nn.Module):
    """Predicts noise (or velocity, whatever it was trained for) from noisy latents, a timestep and a text."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None  # set when weights are stored in another type
        width = config.embedding_width
        self.time_embed = nn.Sequential(Linear(config.channels, width), nn.SiLU(), Linear(width, width))
        if config.pooled_width:
            inner = nn.Sequential(Linear(config.pooled_width, width), nn.SiLU(), Linear(width, width))
            self.label_emb = nn.Sequential(inner)
        channels = config.in_channels
        skips: list[int] = []
        self.input_blocks = nn.ModuleList()
        for index, block in enumerate(config.input_blocks):
            stage, channels = self._stage(block, channels, "down", index)
            self.input_blocks.append(stage)
            skips.append(channels)
        self.middle_block, channels = self._stage(config.middle_block, channels, "middle", 0)
        self.output_blocks = nn.ModuleList()
        for index, block in enumerate(config.output_blocks):
            stage, channels = self._stage(block, channels + skips.pop(), "up", index)
            self.output_blocks.append(stage)
        self.out = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), Conv2d(channels, config.out_channels, 3, padding=1)
        )

    def _stage(self, block: Block, channels: int, part: str, index: int) -> tuple[Stage, int]:
        layers = []
        for layer in block:
            layers.append(self._layer(layer, channels, part, index))
            channels = layer.channels
        return Stage(layers, part, index), channels

    def _layer(self, layer: Layer, channels: int, part: str, index: int) -> nn.Module:
        config = self.config
        if layer.kind == "residual":
            return ResidualBlock(channels, layer.channels, config.embedding_width)
        if layer.kind == "transformer":
            heads = config.heads_of(layer.channels)
            return SpatialTransformer(
                layer.channels, config.context_width, heads, layer.depth, config.linear_projections, part, index
            )
        if layer.kind == "down":
            return Downsample(channels, layer.channels)
        if layer.kind == "up":
            return Upsample(channels, layer.channels)
        return Conv2d(channels, layer.channels, 3, padding=1)

    def embed(self, timestep: Tensor, pooled: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Timestep [B] and pooled conditioning [B, P] as one vector [B, E]."""
        embedding = self.time_embed(timestep_embedding(timestep, self.config.channels).to(dtype))
        if not self.config.pooled_width:
            return embedding
        if pooled is None:
            raise IncompatibleModel(
                "No pooled conditioning was given.", f"This UNet wants one of width {self.config.pooled_width}."
            )
        return embedding + self.label_emb(pooled.to(dtype))

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        pooled: Tensor | None = None,
        hooks: BlockHooks = NO_HOOKS,
    ) -> Tensor:
        """One prediction.

        Args: `x` [B, C, H, W] (already scaled for the network, extra channels of inpainting nets concatenated),
        `timestep` [B], `context` [B, T, D], `pooled` [B, P] for nets that take it. Any float types.
        Returns [B, out, H, W] in the type of `x`.
        """
        dtype = self.compute_dtype or next(self.time_embed.parameters()).dtype
        embedding = self.embed(timestep, pooled, dtype)
        context = context.to(dtype)
        h = x.to(dtype)
        skips: list[Tensor] = []
        for stage in self.input_blocks:
            h = stage(h, embedding, context, hooks, h.shape[2:])
            skips.append(h)
        h = self.middle_block(h, embedding, context, hooks, h.shape[2:])
        for stage in self.output_blocks:
            assert isinstance(stage, Stage)
            h, skip = hooks.run_join(stage.site, h, skips.pop())
            size = skips[-1].shape[2:] if skips else h.shape[2:]
            h = stage(torch.cat([h, skip], dim=1), embedding, context, hooks, size)
        norm, _, conv = self.out
        return conv(normed_silu(norm, h)).to(x.dtype)


@torch.no_grad()
def zero_last_layers(unet: UNet) -> None:
    """Start a new net as the authors do: every residual branch adds nothing and the prediction is zero."""
    last: list[nn.Module] = [unet.out[2]]
    for module in unet.modules():
        if isinstance(module, ResidualBlock):
            last.append(module.out_layers[3])
        elif isinstance(module, SpatialTransformer):
            last.append(module.proj_out)
    for layer in last:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


__all__ = ["UNet", "UNetConfig", "zero_last_layers"]
