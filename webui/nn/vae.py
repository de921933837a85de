"""The latent autoencoder of Stable Diffusion (KL, factor 8), in the key layout of the original authors.

Names in the modules equal names in the files (`encoder.down.0.block.0.conv1.weight` …).
Source: Esser et al. 2021 and Rombach et al. 2022, the `AutoencoderKL` of the latent diffusion code's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.errors import IncompatibleModel
from webui.nn.attention import attention
from webui.nn.layers import Conv2d, added, doubled_conv, normed_silu


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything that shapes the network; `from_shapes` reads it off a file.

    The three `decoder_…` values are for decoders that differ from their encoder; 0 and () mean "the same".
    """

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 4
    picture_channels: int = 3
    quantisation_convolutions: bool = True
    decoder_channels: int = 0
    decoder_multipliers: tuple[int, ...] = ()
    decoder_blocks: int = 0

    @property
    def factor(self) -> int:
        """Pixels per latent cell along one side."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Channels of the decoder's levels, the finest first."""
        channels = self.decoder_channels or self.channels
        return tuple(channels * m for m in self.decoder_multipliers or self.multipliers)

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> AutoencoderConfig:
        """Read the hyper-parameters off tensor shapes (names without any prefix).

        Raises IncompatibleModel when the names are not those of such a network.
        """
        if "encoder.conv_in.weight" not in shapes or "decoder.conv_in.weight" not in shapes:
            raise IncompatibleModel(
                "The VAE has no encoder.conv_in.weight or no decoder.conv_in.weight.",
                "Names in the layout of the latent diffusion authors were expected.",
            )
        encoder = _levels(shapes, "encoder.down")
        decoder = _levels(shapes, "decoder.up")
        decoder = (decoder[0], decoder[1], decoder[2] - 1)  # a decoder has one block more in each level
        differs = decoder != encoder
        return cls(
            *encoder,
            shapes["decoder.conv_in.weight"][1],
            shapes["encoder.conv_in.weight"][1],
            "quant_conv.weight" in shapes,
            *(decoder if differs else ()),
        )


def _levels(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, tuple[int, ...], int]:
    """Channels of the finest level, every level's multiple of them, and blocks in a level."""
    levels = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith(prefix + "."))
    blocks = 1 + max(int(name.split(".")[4]) for name in shapes if name.startswith(f"{prefix}.0.block."))
    widths = [shapes[f"{prefix}.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    return widths[0], tuple(width // widths[0] for width in widths), blocks


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """norm → SiLU → conv, twice, plus the input."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.norm1 = _norm(channels_in)
        self.conv1 = Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = _norm(channels_out)
        self.conv2 = Conv2d(channels_out, channels_out, 3, padding=1)
        if channels_in != channels_out:
            self.nin_shortcut = Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        h = self.conv1(normed_silu(self.norm1, x))
        h = self.conv2(normed_silu(self.norm2, h))
        return added(h, self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.q = Conv2d(channels, channels, 1)
        self.k = Conv2d(channels, channels, 1)
        self.v = Conv2d(channels, channels, 1)
        self.proj_out = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        h = attention(*self._projected(x)).squeeze(1).transpose(1, 2)  # [B, C, HW]
        return added(self.proj_out(h.unflatten(2, x.shape[2:])), x)

    def _projected(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values [B, 1, HW, C]. What they are made of ends here: it is large in large pictures."""
        h = self.norm(x)
        return [p(h).flatten(2).transpose(1, 2).unsqueeze(1) for p in (self.q, self.k, self.v)]


class Downsample(nn.Module):
    """Halve the size; the padding is on the right and bottom only, as in the authors' code."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return doubled_conv(x, self.conv)


class Middle(nn.Module):
    """What runs at the lowest resolution of either half: residual block, attention, residual block."""

    def __init__(self, channels: int):
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def one_by_one(self, x: Tensor) -> Tensor:
        """The blocks in turn. Not `forward`, as a module's call holds its input, a large one here, until it returns."""
        x = self.block_1(x)
        x = self.attn_1(x)
        return self.block_2(x)


class Level(nn.Module):
    """The residual blocks of one resolution. A change of size is added under the file's name for it."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int):
        super().__init__()
        widths = [channels_in] + [channels_out] * blocks
        self.block = nn.Sequential(*(ResidualBlock(w, channels_out) for w in widths[:-1]))
        self.downsample: Downsample | None = None
        self.upsample: Upsample | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Encoder(nn.Module):
    """Picture [B, 3, H, W] → moments [B, 2·latent, H/f, W/f]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels = config.channels
        self.conv_in = Conv2d(config.picture_channels, channels, 3, padding=1)
        levels = []
        for number, multiplier in enumerate(config.multipliers):
            level = Level(channels, config.channels * multiplier, config.blocks)
            channels = config.channels * multiplier
            if number < len(config.multipliers) - 1:
                level.downsample = Downsample(channels)
            levels.append(level)
        self.down = nn.ModuleList(levels)
        self.mid = Middle(channels)
        self.norm_out = _norm(channels)
        self.conv_out = Conv2d(channels, 2 * config.latent_channels, 3, padding=1)

    def levels(self, x: Tensor) -> Tensor:
        """Picture → features [B, C, H/f, W/f]. Only its norms look far."""
        h = self.conv_in(x)
        for level in self.down:
            assert isinstance(level, Level)
            h = level(h)
            if level.downsample is not None:
                h = level.downsample(h)
        return h

    def moments(self, h: Tensor) -> Tensor:
        """What the middle put out → moments."""
        return self.conv_out(normed_silu(self.norm_out, h))

    def forward(self, x: Tensor) -> Tensor:
        return self.moments(self.mid.one_by_one(self.levels(x)))


class Decoder(nn.Module):
    """Latents [B, latent, h, w] → picture [B, 3, h·f, w·f]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels = config.decoder_widths[-1]
        self.conv_in = Conv2d(config.latent_channels, channels, 3, padding=1)
        self.mid = Middle(channels)
        levels: list[Level] = []
        for number, width in reversed(list(enumerate(config.decoder_widths))):
            level = Level(channels, width, (config.decoder_blocks or config.blocks) + 1)
            channels = width
            if number > 0:
                level.upsample = Upsample(channels)
            levels.insert(0, level)  # up.0 is the finest level
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(channels)
        self.conv_out = Conv2d(channels, config.picture_channels, 3, padding=1)

    def coarse(self, z: Tensor) -> Tensor:
        """The part at latent size, attention included: latents → features [B, C, h, w]."""
        return self.up[-1](self.mid.one_by_one(self.conv_in(z)))

    def fine(self, h: Tensor) -> Tensor:
        """The part at more than latent size: features → picture. Only its norms look far."""
        for level in reversed(self.up):
            assert isinstance(level, Level)
            if level is not self.up[-1]:
                h = level(h)
            if level.upsample is not None:
                h = level.upsample(h)
        return self.conv_out(normed_silu(self.norm_out, h))

    def forward(self, z: Tensor) -> Tensor:
        return self.fine(self.coarse(z))


class Autoencoder(nn.Module):
    """Encoder and decoder. Pictures are in [-1, 1]; latents are unscaled (the family knows the scale)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None  # set when weights are stored in another type
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.quantisation_convolutions:
            self.quant_conv = Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
            self.post_quant_conv = Conv2d(config.latent_channels, config.latent_channels, 1)

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in."""
        return self.compute_dtype or self.decoder.conv_in.weight.dtype

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance from what the encoder put out, each [B, latent, H/f, W/f]."""
        if self.config.quantisation_convolutions:
            features = self.quant_conv(features)
        mean, log_variance = features.chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def moments(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each [B, latent, H/f, W/f]."""
        return self.posterior(self.encoder(picture.to(self.dtype)))

    def unquantised(self, latents: Tensor) -> Tensor:
        """What the decoder takes, from latents."""
        latents = latents.to(self.dtype)
        return self.post_quant_conv(latents) if self.config.quantisation_convolutions else latents

    def encode(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents of a picture: the posterior's mean, or a sample of it when `noise` is given."""
        mean, log_variance = self.moments(picture)
        return mean if noise is None else mean + noise.to(mean) * (0.5 * log_variance).exp()

    def decode(self, latents: Tensor) -> Tensor:
        """Picture in [-1, 1] (not clamped) from unscaled latents."""
        return self.decoder(self.unquantised(latents))


def latent_size(config: AutoencoderConfig, width: int, height: int) -> tuple[int, int]:
    """Cells (width, height) of the latents of a picture, rounded down to whole cells."""
    return width // config.factor, height // config.factor


__all__ = ["Autoencoder", "AutoencoderConfig", "latent_size"]
