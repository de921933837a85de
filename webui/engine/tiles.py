"""Pictures larger than the network can see at once: overlapping tiles at every call, mixed into one estimate.

Source: MultiDiffusion (Bar-Tal et al. 2023, arXiv:2302.08113). As tiles are mixed before each step and not after the
last, they agree where they meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from webui.diffusion.conditioning import Conditioning

if TYPE_CHECKING:
    from webui.extend import Predictor


def tiled(predictor: Predictor, tile: int, overlap: int) -> Predictor:
    """A predictor that calls the inner one for squares of `tile` cells, which overlap by at least `overlap` cells.

    A tile's weight falls linearly towards its edges. Extras of a conditioning that have the size of x, or a multiple of
    it, are cut with the tiles.
    """
    overlap = min(overlap, tile // 2)

    def predict(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        height, width = x.shape[2:]
        if height <= tile and width <= tile:
            return predictor(x, sigma, conditioning)
        total, weights = torch.zeros_like(x), x.new_zeros(1, 1, height, width)
        for top in starts(height, tile, overlap):
            for left in starts(width, tile, overlap):
                rows, columns = slice(top, min(top + tile, height)), slice(left, min(left + tile, width))
                told = _cut(conditioning, (height, width), rows, columns)
                made = predictor(x[:, :, rows, columns].contiguous(), sigma, told)
                weight = _weights(made.shape[2], overlap).view(-1, 1) * _weights(made.shape[3], overlap)
                weight = weight.to(x)
                total[:, :, rows, columns] += made * weight
                weights[:, :, rows, columns] += weight
        return total / weights

    return predict


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover `length`, evenly spread."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // max(1, tile - overlap)) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _weights(length: int, overlap: int) -> Tensor:
    """1 in the middle of a tile, falling towards its ends over the overlap, never 0."""
    position = torch.arange(length) + 0.5
    return torch.minimum(position, length - position).div(max(1, overlap)).clamp(max=1)


def _cut(conditioning: Conditioning, size: tuple[int, int], rows: slice, columns: slice) -> Conditioning:
    extras = {name: _cut_tensor(tensor, size, rows, columns) for name, tensor in conditioning.extras.items()}
    return Conditioning(conditioning.context, conditioning.pooled, extras)


def _cut_tensor(tensor: Tensor, size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    if tensor.ndim != 4 or tensor.shape[2] % size[0] or tensor.shape[3] % size[1]:
        return tensor
    scale = tensor.shape[2] // size[0]
    if tensor.shape[3] // size[1] != scale or scale == 0:
        return tensor
    own = [slice(part.start * scale, part.stop * scale) for part in (rows, columns)]
    return tensor[:, :, own[0], own[1]]
