"""Enlarge a picture tile by tile, and bring what comes to its size row by row: nothing large is ever held as floats.

Neighbouring tiles overlap. Near its edge a tile lacks neighbours, so the outer quarter of an overlap is left to the
other tile, and the two are mixed linearly over the half between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Network = Callable[[Tensor], Tensor]  # [1, 3, h, w] -> [1, 3, h·scale, w·scale], both in [0, 1]
Span = tuple[int, int]
LOBES = 3  # of Lanczos


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Where the tiles of one axis begin and end: equally long, at most `tile`, each `overlap` into the one before.

    `overlap` is at most half of `tile`; a tile of 0 is one for everything.
    """
    if tile <= 0 or length <= tile:
        return [(0, length)]
    overlap = min(overlap, tile // 2)
    step = math.ceil((length - overlap) / math.ceil((length - overlap) / (tile - overlap)))
    return [(start, min(start + step + overlap, length)) for start in range(0, length - overlap, step)]


def tile_count(width: int, height: int, tile: int, overlap: int) -> int:
    """How many tiles a picture has."""
    return len(spans(width, tile, overlap)) * len(spans(height, tile, overlap))


def enlarged_rows(
    network: Network,
    picture: np.ndarray,
    scale: int,
    tile: int,
    overlap: int,
    before_tile: Callable[[], None] = lambda: None,
    after_tile: Callable[[], None] = lambda: None,
) -> Iterator[np.ndarray]:
    """The enlarged picture from top to bottom, some rows [n, W·scale, 3] uint8 at a time, of one [H, W, 3] uint8."""
    rows = spans(picture.shape[0], tile, overlap)
    tail: np.ndarray | None = None  # what the band above computed of the rows that it shares with the next one
    for index, (top, bottom) in enumerate(rows):
        band = _band(network, picture[top:bottom], scale, tile, overlap, before_tile, after_tile)
        if tail is not None:
            shared = len(tail)
            weight = _ramp(shared)[:, None, None]  # [rows, 1, 1]
            band[:shared] += (tail - band[:shared]) * (1 - weight)
        done = len(band) if index + 1 == len(rows) else (rows[index + 1][0] - top) * scale
        tail = band[done:].copy()
        yield np.floor(np.clip(band[:done], 0, 1) * 255 + 0.5).astype(np.uint8)


def _band(
    network: Network,
    picture: np.ndarray,
    scale: int,
    tile: int,
    overlap: int,
    before_tile: Callable[[], None],
    after_tile: Callable[[], None],
) -> np.ndarray:
    """One row of tiles, mixed where they overlap: float32 [h·scale, W·scale, 3] of uint8 [h, W, 3]."""
    height, width = picture.shape[:2]
    band = np.empty((height * scale, width * scale, 3), np.float32)
    known = 0  # columns of the band that are filled
    for left, right in spans(width, tile, overlap):
        before_tile()
        piece = torch.from_numpy(picture[:, left:right].astype(np.float32) / 255).permute(2, 0, 1).unsqueeze(0)
        result = network(piece.contiguous())[0].permute(1, 2, 0).numpy()  # [h·scale, w·scale, 3]
        start, stop = left * scale, right * scale
        shared = known - start
        if shared > 0:
            weight = _ramp(shared)[None, :, None]  # [1, columns, 1]
            band[:, start:known] += (result[:, :shared] - band[:, start:known]) * weight
        band[:, max(start, known) : stop] = result[:, max(0, shared) :]
        known = stop
        after_tile()
    return band


def _ramp(length: int) -> np.ndarray:
    """How much the later of two tiles counts over what they share: 0, rising over the middle half, 1."""
    share = (np.arange(length, dtype=np.float32) + 0.5) / length
    return np.clip((share - 0.25) * 2, 0, 1)


def fitted(rows: Iterator[np.ndarray], source: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A picture that comes row by row, in `size` by Lanczos: [height, width, 3] uint8. Sizes are (width, height).

    Only as many rows of the source are held as the filter needs, so the source may be of any size.
    """
    width, height = size
    result = np.empty((height, width, 3), np.uint8)
    if source == size:
        position = 0
        for part in rows:
            result[position : position + len(part)] = part
            position += len(part)
        return result
    ratio = source[1] / height
    support = LOBES * max(1.0, ratio) + 1
    window, base, done, received = np.empty((0, source[0], 3), np.uint8), 0, 0, 0
    for part in rows:
        window, received = np.concatenate([window, part]), received + len(part)
        ready = height if received == source[1] else max(done, math.floor((received - support) / ratio))
        if ready > done:
            box = (0.0, done * ratio - base, float(source[0]), min(ready * ratio - base, float(len(window))))
            # Pillow looks beyond the box where the picture has more, so parts are as the whole would be.
            strip = Image.fromarray(window).resize((width, ready - done), Image.Resampling.LANCZOS, box)
            result[done:ready] = np.asarray(strip)
            done = ready
        unneeded = max(0, math.floor(done * ratio - support) - base)
        window, base = window[unneeded:], base + unneeded
    return result


def sizes_between(source: tuple[int, int], size: tuple[int, int], scale: int) -> list[tuple[int, int]]:
    """The sizes that a picture has after each use of a network, the last of them `size`; empty: it need not be used.

    A network that keeps the size is used once. Before it is used again, the picture is brought down to where the result
    is at most twice as large as is wanted.
    """
    if scale == 1:
        return [size]
    found: list[tuple[int, int]] = []
    width, height = source
    while width < size[0] or height < size[1]:
        width, height = width * scale, height * scale
        if width < size[0] or height < size[1]:
            share = min(1.0, 2 * max(size[0] / (width * scale), size[1] / (height * scale)))
            width, height = math.ceil(width * share), math.ceil(height * share)
            found.append((width, height))
        else:
            found.append(size)
    return found


__all__ = ["Network", "enlarged_rows", "fitted", "sizes_between", "spans", "tile_count"]
