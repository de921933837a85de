"""The latent autoencoder of Stable Diffusion (KL, factor 8), in the key layout of the original authors.

Names in the modules equal names in the files (`encoder.down.0.block.0.conv1.weight` …).
Source: Esser et al. 2021 and Rombach et al. 2022, the `AutoencoderKL` of the latent diffusion code's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from webui.nn.attention import attention


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything that shapes the network; `from_shapes` reads it off a file."""

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 4
    picture_channels: int = 3
    quantisation_convolutions: bool = True

    @property
    def factor(self) -> int:
        """Pixels per latent cell along one side."""
        return 2 ** (len(self.multipliers) - 1)

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> AutoencoderConfig:
        """Read the hyper-parameters off tensor shapes (names without any prefix)."""
        channels = shapes["encoder.conv_in.weight"][0]
        levels = 1 + max(int(k.split(".")[2]) for k in shapes if k.startswith("encoder.down."))
        blocks = 1 + max(int(k.split(".")[4]) for k in shapes if k.startswith("encoder.down.0.block."))
        multipliers = tuple(
            shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] // channels for level in range(levels)
        )
        return cls(
            channels,
            multipliers,
            blocks,
            shapes["decoder.conv_in.weight"][1],
            shapes["encoder.conv_in.weight"][1],
            "quant_conv.weight" in shapes,
        )


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """norm → SiLU → conv, twice, plus the input."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.norm1 = _norm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = _norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        if channels_in != channels_out:
            self.nin_shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        height, width = x.shape[2:]
        h = self.norm(x)
        q, k, v = (p(h).flatten(2).transpose(1, 2).unsqueeze(1) for p in (self.q, self.k, self.v))  # [B, 1, HW, C]
        h = attention(q, k, v)
        return x + self.proj_out(h.squeeze(1).transpose(1, 2).unflatten(2, (height, width)))


class Downsample(nn.Module):
    """Halve the size; the padding is on the right and bottom only, as in the authors' code."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _middle(channels: int) -> nn.Module:
    middle = nn.Module()
    middle.block_1 = ResidualBlock(channels, channels)
    middle.attn_1 = AttentionBlock(channels)
    middle.block_2 = ResidualBlock(channels, channels)
    return middle


def _run_middle(middle: nn.Module, x: Tensor) -> Tensor:
    return middle.block_2(middle.attn_1(middle.block_1(x)))


class Encoder(nn.Module):
    """Picture [B, 3, H, W] → moments [B, 2·latent, H/f, W/f]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels = config.channels
        self.conv_in = nn.Conv2d(config.picture_channels, channels, 3, padding=1)
        self.down = nn.ModuleList()
        for level, multiplier in enumerate(config.multipliers):
            stage = nn.Module()
            stage.block = nn.ModuleList()
            for _ in range(config.blocks):
                stage.block.append(ResidualBlock(channels, config.channels * multiplier))
                channels = config.channels * multiplier
            if level < len(config.multipliers) - 1:
                stage.downsample = Downsample(channels)
            self.down.append(stage)
        self.mid = _middle(channels)
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for stage in self.down:
            for block in stage.block:
                h = block(h)
            if hasattr(stage, "downsample"):
                h = stage.downsample(h)
        h = _run_middle(self.mid, h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Decoder(nn.Module):
    """Latents [B, latent, h, w] → picture [B, 3, h·f, w·f]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels = config.channels * config.multipliers[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, channels, 3, padding=1)
        self.mid = _middle(channels)
        stages: list[nn.Module] = []
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            stage = nn.Module()
            stage.block = nn.ModuleList()
            for _ in range(config.blocks + 1):
                stage.block.append(ResidualBlock(channels, config.channels * multiplier))
                channels = config.channels * multiplier
            if level > 0:
                stage.upsample = Upsample(channels)
            stages.insert(0, stage)  # up.0 is the finest level
        self.up = nn.ModuleList(stages)
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, config.picture_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = _run_middle(self.mid, self.conv_in(z))
        for stage in reversed(self.up):
            for block in stage.block:
                h = block(h)
            if hasattr(stage, "upsample"):
                h = stage.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Autoencoder(nn.Module):
    """Encoder and decoder. Pictures are in [-1, 1]; latents are unscaled (the family knows the scale)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.quantisation_convolutions:
            self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
            self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)

    def moments(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each [B, latent, H/f, W/f]."""
        h = self.encoder(picture)
        if self.config.quantisation_convolutions:
            h = self.quant_conv(h)
        mean, log_variance = h.chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def encode(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents of a picture: the posterior's mean, or a sample of it when `noise` is given."""
        mean, log_variance = self.moments(picture)
        return mean if noise is None else mean + noise.to(mean) * (0.5 * log_variance).exp()

    def decode(self, latents: Tensor) -> Tensor:
        """Picture in [-1, 1] (not clamped) from unscaled latents."""
        if self.config.quantisation_convolutions:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)


def latent_size(config: AutoencoderConfig, width: int, height: int) -> tuple[int, int]:
    """Cells (width, height) of the latents of a picture, rounded down to whole cells."""
    return width // config.factor, height // config.factor


__all__ = ["Autoencoder", "AutoencoderConfig", "latent_size"]
