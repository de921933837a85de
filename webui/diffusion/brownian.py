"""A Brownian path that can be asked anywhere, in any order, and always answers the same.

Time is sigma. It is cut into octaves [2^k, 2^(k+1)); each octave's end is drawn first, then middles between known
points (Lévy's construction), every number from a seed of its own. So nothing has to be remembered, and a run with more
steps sees the same path. The last few answers are kept only because the next interval begins where this one ended.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

HALVINGS = 8  # inside a 256th of an octave the times that are asked for no longer know of each other
KEPT = 3  # times whose values are kept: the ends and the middle of a step


class BrownianPath:
    """One picture's path of shape (C, h, w)."""

    def __init__(self, seed: int, shape: Sequence[int]):
        self._seed, self._shape = seed, tuple(shape)
        self._generator = torch.Generator()
        self._kept: OrderedDict[float, Tensor] = OrderedDict()

    def between(self, sigma: float, target: float) -> Tensor:
        """(W(sigma) - W(target)) / √|sigma - target|: unit noise, correlated with that of overlapping intervals.

        Raises ValueError when a sigma is not positive or both are equal.
        """
        low, high = sorted((sigma, target))
        if low <= 0 or low == high:
            raise ValueError(f"no Brownian interval from {sigma} to {target}")
        first, last = math.frexp(low)[1] - 1, math.frexp(high)[1] - 1
        total = self._at(high, last) - self._at(low, first)
        for octave in range(first, last):
            total = total + self._whole(octave)
        total = total / math.sqrt(high - low)
        return total if sigma > target else -total

    def _whole(self, octave: int) -> Tensor:
        return self._normal(octave, 1) * math.sqrt(2.0**octave)

    def _at(self, time: float, octave: int) -> Tensor:
        """W(time) - W(start of its octave), kept for the next interval."""
        if time not in self._kept:
            self._kept[time] = self._inside(time, octave)
        self._kept.move_to_end(time)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[time]

    def _inside(self, time: float, octave: int) -> Tensor:
        start = width = 2.0**octave
        left, right = torch.zeros(self._shape), self._whole(octave)
        node = 1
        for _ in range(HALVINGS):
            if time == start:
                return left
            width /= 2
            # between two known points a half apart, the middle has a quarter of their distance as variance
            middle = (left + right) / 2 + self._normal(octave, 2 * node + 1) * math.sqrt(width / 2)
            if time >= start + width:
                start, left, node = start + width, middle, 2 * node + 2
            else:
                right, node = middle, 2 * node + 1
        share = (time - start) / width
        bits = struct.unpack("<Q", struct.pack("<d", time))[0]
        bridge = self._normal(octave, bits) * math.sqrt(share * (1 - share) * width)
        return torch.lerp(left, right, share) + bridge

    def _normal(self, octave: int, node: int) -> Tensor:
        mixed = self._seed * 0x9E3779B97F4A7C15 + (octave + 1024) * 0xBF58476D1CE4E5B9 + node * 0x94D049BB133111EB
        mixed &= (1 << 64) - 1
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & ((1 << 64) - 1)
        self._generator.manual_seed(mixed ^ (mixed >> 31))
        return torch.randn(self._shape, generator=self._generator)
