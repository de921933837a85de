"""Decode and encode large pictures with bounded memory, and with the very result of the whole.

Tiles that go through the network one by one cannot agree with the whole: group norms ask for the mean and variance of
the whole picture, in every layer, and a trained autoencoder can hang on a few extreme values at the picture's border.
So layers, not tiles, are the outer loop. The part at latent size, attention included, runs at once; of the fine part
each layer is computed band by band, with one row of neighbours for its convolution, and the norms' statistics are those
of all bands. What lies between two layers is kept whole: in memory while it is small, else in a temporary file that is
mapped, which the system pages in and out as it likes.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.errors import OutOfMemory
from webui.nn.vae import Autoencoder, Decoder, Encoder, Level, ResidualBlock

KEPT = 256 << 20  # bytes that one layer's output may take in memory

Band = Callable[[Tensor], Tensor]  # rows of a layer's input [1, C, rows, W] -> rows of its output


def decode_tiled(autoencoder: Autoencoder, latents: Tensor, tile: int = 64) -> Tensor:
    """`Autoencoder.decode` of [B, C, h, w] with the working memory of a square of `tile` latent cells.

    Returns [B, 3, h·f, w·f]. Latents that fit into the square are decoded as usual. Raises OutOfMemory where the
    temporary folder is full.
    """
    if max(latents.shape[2:]) <= tile:
        return autoencoder.decode(latents)
    decoder, bands = autoencoder.decoder, _Bands(autoencoder, tile)
    return torch.cat([_decoded(decoder, decoder.coarse(autoencoder.unquantised(z)), bands) for z in latents.split(1)])


def encode_tiled(autoencoder: Autoencoder, picture: Tensor, noise: Tensor | None = None, tile: int = 64) -> Tensor:
    """`Autoencoder.encode` with bounded memory. `picture` [B, 3, H, W] with sides that are multiples of the factor."""
    if max(picture.shape[2:]) <= tile * autoencoder.config.factor:
        return autoencoder.encode(picture, noise)
    encoder, bands = autoencoder.encoder, _Bands(autoencoder, tile)
    # What is between has no name here: it is large, and would be held while attention runs.
    moments = [
        encoder.moments(encoder.mid.one_by_one(_encoded(encoder, one.to(autoencoder.dtype), bands)))
        for one in picture.split(1)
    ]
    mean, log_variance = autoencoder.posterior(torch.cat(moments))
    return mean if noise is None else mean + noise.to(mean) * (0.5 * log_variance).exp()


def _decoded(decoder: Decoder, x: Tensor, bands: _Bands) -> Tensor:
    """`Decoder.fine`."""
    for level in reversed(decoder.up):
        assert isinstance(level, Level)
        if level is not decoder.up[-1]:
            x = _level(level, x, bands)
        if level.upsample is not None:
            x = bands.run(level.upsample, x, x.shape[1], 2)
    return bands.run(_after(decoder.norm_out, decoder.conv_out, x, bands), x, decoder.conv_out.out_channels)


def _encoded(encoder: Encoder, x: Tensor, bands: _Bands) -> Tensor:
    """`Encoder.levels`."""
    x = bands.run(encoder.conv_in, x, encoder.conv_in.out_channels)
    for level in encoder.down:
        assert isinstance(level, Level)
        x = _level(level, x, bands)
        if level.downsample is not None:
            x = bands.run(level.downsample, x, x.shape[1], 0.5)
    return x.to(bands.device)


def _level(level: Level, x: Tensor, bands: _Bands) -> Tensor:
    for block in level.block:
        assert isinstance(block, ResidualBlock)
        x = _residual(block, x, bands)
    return x


def _residual(block: ResidualBlock, x: Tensor, bands: _Bands) -> Tensor:
    """`ResidualBlock`; where its widths are equal, the sum takes the place of x."""
    channels = block.conv1.out_channels
    h = bands.run(_after(block.norm1, block.conv1, x, bands), x, channels)
    shortcut = getattr(block, "nin_shortcut", None)
    return bands.run(
        _after(block.norm2, block.conv2, h, bands),
        h,
        channels,
        into=x if shortcut is None else None,
        plus=(x, shortcut),
    )


def _after(norm: nn.Module, convolution: nn.Module, x: Tensor, bands: _Bands) -> Band:
    """convolution(SiLU(norm(·))) for rows of x, with the norm's statistics of all of x."""
    assert isinstance(norm, nn.GroupNorm)
    mean, variance = bands.statistics(norm, x)

    def run(rows: Tensor) -> Tensor:
        # with statistics given for each channel, that is what batch norm computes
        normed = F.batch_norm(rows, mean, variance, norm.weight.float(), norm.bias.float(), False, 0.0, norm.eps)
        return convolution(F.silu(normed, inplace=not torch.is_grad_enabled()))

    return run


@dataclass(frozen=True)
class _Bands:
    """Runs layers over rows of large tensors [1, C, H, W], as many at once as the memory of one tile allows."""

    autoencoder: Autoencoder
    tile: int

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.autoencoder.decoder.conv_in.weight.device

    def run(
        self,
        layer: Band,
        x: Tensor,
        channels: int,
        ratio: float = 1,
        into: Tensor | None = None,
        plus: tuple[Tensor, nn.Module | None] | None = None,
    ) -> Tensor:
        """`layer` of x: [1, channels, H·ratio, W·ratio]; a layer sees one row to each side.

        The result goes into a tensor of its own or `into` another; `plus` is one that is added, through a module of
        single pixels or as it is.
        """
        height, width = x.shape[2:]
        rows, wide = int(height * ratio), int(width * ratio)
        out = into if into is not None else _room(torch.Size((1, channels, rows, wide)), x.dtype, self.device)
        step = self._rows(max(x.shape[1], channels), max(wide, width))
        for top in range(0, rows, step):
            bottom = min(top + step, rows)
            if ratio == 0.5:  # the kernel of a halving layer begins at the even row and ends two rows below
                first, last, skipped = 2 * top, min(2 * bottom + 1, height), 0
            else:
                first, last = max(0, top // int(ratio) - 1), min(height, -(-bottom // int(ratio)) + 1)
                skipped = top - first * int(ratio)
            made = layer(x[:, :, first:last].to(self.device))[:, :, skipped : skipped + bottom - top]
            if plus is not None:
                other = plus[0][:, :, top:bottom].to(self.device)
                made = made + (other if plus[1] is None else plus[1](other))
            out[:, :, top:bottom].copy_(made)
        return out

    def statistics(self, norm: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel's group over all of x, each [C]."""
        step, groups = self._rows(x.shape[1], x.shape[3]), norm.num_groups
        wide, count = x.shape[1] // groups, x[0].numel() // groups
        shift = total = squares = x.new_zeros((), device=self.device, dtype=torch.float64)
        for top in range(0, x.shape[2], step):
            rows = x[0, :, top : top + step].to(self.device).permute(1, 2, 0).flatten(0, 1).float()  # [cells, C]
            if top == 0:  # squares of small differences lose nothing to a large mean
                shift = rows.mean(0).view(groups, wide).mean(1).repeat_interleave(wide)
            rows = rows - shift
            total = total + rows.sum(0).double()
            squares = squares + rows.square_().sum(0).double()
        mean = total.view(groups, wide).sum(1) / count
        variance = squares.view(groups, wide).sum(1) / count - mean * mean
        return mean.float().repeat_interleave(wide) + shift, variance.float().repeat_interleave(wide)

    def _rows(self, channels: int, width: int) -> int:
        """Rows of a tensor that are worked on at once; an even number."""
        config = self.autoencoder.config
        elements = (self.tile * config.factor) ** 2 * config.channels
        return max(2, elements // (channels * width) // 2 * 2)


def _room(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An empty tensor, channels last: on the device or in memory where it is small, else in a temporary file."""
    batch, channels, height, width = shape
    size = math.prod(shape) * dtype.itemsize
    kept = KEPT
    if device.type == "cuda":
        kept = max(kept, torch.cuda.mem_get_info(device)[0] // 8)
    if size <= kept or os.name != "posix":
        return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
    folder = tempfile.gettempdir()
    problem = OutOfMemory(
        f"A picture of this size needs {size / (1 << 30):.1f} GiB in {folder}.",
        f"{shutil.disk_usage(folder).free / (1 << 30):.1f} GiB are free.",
        "Make room there, set TMPDIR to another folder, or make a smaller picture.",
    )
    handle, path = tempfile.mkstemp(prefix="emulsion-", dir=folder)
    try:
        # Reserved, as writing to a mapped file on a full disk would end the process.
        os.posix_fallocate(handle, 0, size) if hasattr(os, "posix_fallocate") else os.truncate(handle, size)
        flat = torch.from_file(path, shared=True, size=math.prod(shape), dtype=dtype)
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
    except OSError:
        raise problem from None
    finally:
        os.close(handle)
        Path(path).unlink()  # the mapping keeps it until nobody needs it


__all__ = ["decode_tiled", "encode_tiled"]
