"""Decode and encode large pictures piece by piece, without seams.

Two things make naive tiles differ: attention and the norms look at the whole picture, and convolutions at a tile's
edge lack neighbours. So the part at latent size, attention included, runs on the whole picture (it is small); only the
fine part runs in tiles, each with a halo as wide as its convolutions reach; and its norms use one set of statistics for
all tiles, measured beforehand on pieces spread over the picture and normalised together. Tiles then agree exactly where
they meet and nothing needs blending; what differs from an untiled run is a slight tone of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.nn.vae import Autoencoder

MARGIN = 1 / 8  # of a sampled piece's side is left out of the statistics: near its edge, neighbours are missing

Statistics = dict[nn.GroupNorm, tuple[Tensor, Tensor]]  # mean and variance, each [groups]


def decode_tiled(autoencoder: Autoencoder, latents: Tensor, tile: int = 64) -> Tensor:
    """`Autoencoder.decode` with bounded memory: a square of `tile` cells (and its halo) at a time.

    `latents` [B, C, h, w]. Returns [B, 3, h·f, w·f]. Latents that fit one tile are decoded as usual.
    """
    height, width = latents.shape[2:]
    if height <= tile and width <= tile:
        return autoencoder.decode(latents)
    decoder, factor = autoencoder.decoder, autoencoder.config.factor
    pictures = []
    for one in latents.split(1):
        features = decoder.coarse(autoencoder.unquantised(one))
        pictures.append(_in_tiles(decoder.fine, decoder, features, tile, _reach(autoencoder), factor))
    return torch.cat(pictures)


def encode_tiled(autoencoder: Autoencoder, picture: Tensor, noise: Tensor | None = None, tile: int = 64) -> Tensor:
    """`Autoencoder.encode` with bounded memory. `picture` [B, 3, H, W] with sides that are multiples of the factor."""
    factor = autoencoder.config.factor
    height, width = picture.shape[2:]
    if height <= tile * factor and width <= tile * factor:
        return autoencoder.encode(picture, noise)
    encoder = autoencoder.encoder
    reach = _reach(autoencoder) * factor
    features = [
        encoder.coarse(_in_tiles(encoder.fine, encoder, one.to(autoencoder.dtype), tile * factor, reach, 1 / factor))
        for one in picture.split(1)
    ]
    mean, log_variance = autoencoder.posterior(torch.cat(features))
    return mean if noise is None else mean + noise.to(mean) * (0.5 * log_variance).exp()


def _reach(autoencoder: Autoencoder) -> int:
    """Cells of latents over which the fine part's 3×3 convolutions see, rounded up."""
    config = autoencoder.config
    convolutions = 2 * (max(config.blocks, config.decoder_blocks) + 1) + 1  # in one level
    return math.ceil(sum(convolutions / 2**level for level in range(1, len(config.multipliers))) + 1)


def _in_tiles(
    function: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, tile: int, halo: int, scale: float
) -> Tensor:
    """`function` of x [1, C, H, W], tile by tile; `scale` is its output's size relative to its input's."""
    height, width = x.shape[2:]
    statistics: Statistics = {}
    with _norms(module, partial(_measured, statistics=statistics)):
        function(_sample(x, tile))
    out: Tensor | None = None
    with _norms(module, partial(_normalised, statistics=statistics)):
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                bottom, right = min(top + tile, height), min(left + tile, width)
                first_row, first_column = max(0, top - halo), max(0, left - halo)
                piece = function(x[:, :, first_row : bottom + halo, first_column : right + halo])
                if out is None:
                    out = piece.new_empty(1, piece.shape[1], int(height * scale), int(width * scale))
                target = out[:, :, _span(top, bottom, 0, scale), _span(left, right, 0, scale)]
                target.copy_(piece[:, :, _span(top, bottom, first_row, scale), _span(left, right, first_column, scale)])
    assert out is not None
    return out


def _span(start: int, stop: int, origin: int, scale: float) -> slice:
    return slice(int((start - origin) * scale), int((stop - origin) * scale))


def _sample(x: Tensor, tile: int, pieces: int = 3) -> Tensor:
    """Pieces spread evenly over x [1, C, H, W], together about as large as a tile: [pieces², C, h, w]."""
    height, width = x.shape[2:]
    h, w = min(height, tile // pieces), min(width, tile // pieces)
    tops = {round(i * (height - h) / (pieces - 1)) for i in range(pieces)}
    lefts = {round(i * (width - w) / (pieces - 1)) for i in range(pieces)}
    return torch.cat([x[:, :, top : top + h, left : left + w] for top in sorted(tops) for left in sorted(lefts)])


@contextmanager
def _norms(module: nn.Module, run: Callable[[nn.GroupNorm, Tensor], Tensor]) -> Iterator[None]:
    """Within the block, every GroupNorm inside `module` computes `run(norm, x)` instead."""
    norms = [m for m in module.modules() if isinstance(m, nn.GroupNorm)]
    for norm in norms:
        norm.forward = partial(run, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _measured(norm: nn.GroupNorm, x: Tensor, statistics: Statistics) -> Tensor:
    """Normalise all pieces x [N, C, H, W] together and keep the statistics."""
    margin_y, margin_x = int(x.shape[2] * MARGIN), int(x.shape[3] * MARGIN)
    inner = x[:, :, margin_y : x.shape[2] - margin_y, margin_x : x.shape[3] - margin_x].float()
    groups = inner.unflatten(1, (norm.num_groups, -1)).transpose(0, 1).flatten(1)  # [G, N·C/G·H·W]
    statistics[norm] = groups.mean(1), groups.var(1, correction=0)
    return _normalised(norm, x, statistics)


def _normalised(norm: nn.GroupNorm, x: Tensor, statistics: Statistics) -> Tensor:
    """GroupNorm of x [N, C, H, W] with given statistics; per channel that is what batch norm computes."""
    mean, variance = (v.repeat_interleave(norm.num_channels // norm.num_groups) for v in statistics[norm])
    return F.batch_norm(x, mean, variance, norm.weight.float(), norm.bias.float(), False, 0.0, norm.eps)


__all__ = ["decode_tiled", "encode_tiled"]
