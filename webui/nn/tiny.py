"""The tiny autoencoder for previews, in the bare numbered layout of TAESD's files (`1.weight`, `3.conv.0.weight` …).

It works in the scaled space that samplers see, and pictures are in [0, 1] rather than [-1, 1].
Source: Ollin Boer Bohan's TAESD (2023), files `taesd_decoder`, `taef1_encoder` and their kin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.errors import IncompatibleModel
from webui.nn.layers import Conv2d


@dataclass(frozen=True)
class TinyConfig:
    """What shapes either half. `stages` are the residual blocks between resamplings, from latents to picture
    in a decoder and from picture to latents in an encoder."""

    channels: int = 64
    latent_channels: int = 4
    picture_channels: int = 3
    stages: tuple[int, ...] = (3, 3, 3, 1)

    @classmethod
    def of_decoder(cls, shapes: Mapping[str, tuple[int, ...]]) -> TinyConfig:
        """Read a decoder's hyper-parameters off tensor shapes."""
        first, last, stages = _read(shapes)
        return cls(first[0], first[1], last[0], stages)

    @classmethod
    def of_encoder(cls, shapes: Mapping[str, tuple[int, ...]]) -> TinyConfig:
        """Read an encoder's hyper-parameters off tensor shapes."""
        first, last, stages = _read(shapes)
        return cls(first[0], last[0], first[1], stages)


def _read(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shapes of the first and last convolution, and the number of blocks between convolutions."""
    plain = sorted(int(n.split(".")[0]) for n in shapes if n.count(".") == 1 and n.endswith(".weight"))
    blocks = sorted(int(n.split(".")[0]) for n in shapes if n.endswith(".conv.0.weight"))
    if len(plain) < 2 or not blocks:
        raise IncompatibleModel("This is not a tiny autoencoder.", "Numbered convolutions and blocks were expected.")
    stages = tuple(sum(low < block < high for block in blocks) for low, high in pairwise(plain))
    return shapes[f"{plain[0]}.weight"], shapes[f"{plain[-1]}.weight"], stages


class TinyBlock(nn.Module):
    """Three convolutions with ReLU, plus the input, ReLU again."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        return F.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    """Squeeze latents smoothly into [-3, 3]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class TinyDecoder(nn.Sequential):
    """Scaled latents [B, latent, h, w] → picture [B, 3, h·8, w·8], about [0, 1] (`picture` clamps it)."""

    def __init__(self, config: TinyConfig):
        channels = config.channels
        layers = [SoftClamp(), Conv2d(config.latent_channels, channels, 3, padding=1), nn.ReLU()]
        for index, blocks in enumerate(config.stages):
            layers += [TinyBlock(channels) for _ in range(blocks)]
            if index < len(config.stages) - 1:
                layers += [nn.Upsample(scale_factor=2.0), Conv2d(channels, channels, 3, padding=1, bias=False)]
        super().__init__(*layers, Conv2d(channels, config.picture_channels, 3, padding=1))
        self.config = config

    def picture(self, latents: Tensor) -> Tensor:
        """The picture as people see it: float32 in [0, 1]."""
        weight = next(self.parameters())
        return self(latents.to(weight.device, weight.dtype)).float().clamp(0.0, 1.0)


class TinyEncoder(nn.Sequential):
    """Picture [B, 3, H, W] in [0, 1] → scaled latents [B, latent, H/8, W/8]."""

    def __init__(self, config: TinyConfig):
        channels = config.channels
        layers: list[nn.Module] = [Conv2d(config.picture_channels, channels, 3, padding=1)]
        for index, blocks in enumerate(config.stages):
            if index > 0:
                layers.append(Conv2d(channels, channels, 3, padding=1, stride=2, bias=False))
            layers += [TinyBlock(channels) for _ in range(blocks)]
        super().__init__(*layers, Conv2d(channels, config.latent_channels, 3, padding=1))
        self.config = config


__all__ = ["TinyConfig", "TinyDecoder", "TinyEncoder"]
