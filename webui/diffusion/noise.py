"""Noise of each picture from its own seed, so that neighbours in a batch never change it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from webui.diffusion.brownian import BrownianPath
from webui.errors import InvalidRequest


class Generator(Protocol):
    """A sequence of normal numbers."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next numbers of the sequence, float32 on the CPU."""


class CpuGenerator:
    """torch's generator of the CPU."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed % (1 << 64))

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next numbers, as `torch.randn` on the CPU gives them."""
        return torch.randn(tuple(shape), generator=self._generator)


class CudaGenerator:
    """The numbers that `torch.randn` draws on an NVIDIA card, computed anywhere.

    Source: Salmon et al. 2011, Philox 4x32 with 10 rounds; the Box-Muller transform of the first two words.
    """

    def __init__(self, seed: int):
        self._key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
        self._offset = 0

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next numbers; each call moves the offset by one, as each kernel launch does."""
        count = math.prod(shape)
        counter = np.zeros((4, count), np.uint64)
        counter[0] = self._offset
        counter[2] = np.arange(count, dtype=np.uint64)
        self._offset += 1
        first, second, _, _ = philox(counter, self._key)
        unit = np.float32(2.3283064e-10)  # 2^-32
        turn = np.float32(2.3283064e-10 * 2 * math.pi)
        u = first.astype(np.float32) * unit + unit / 2
        v = second.astype(np.float32) * turn + turn / 2
        values = np.sqrt(-2 * np.log(u)) * np.sin(v)
        return torch.from_numpy(values.astype(np.float32)).reshape(tuple(shape))


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox 4x32 on counters [4, n], 32-bit words kept in uint64."""
    words = [row.copy() for row in counter]
    low_key, high_key = key
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> np.uint64(32)) ^ words[1] ^ np.uint64(low_key),
            second & mask,
            (first >> np.uint64(32)) ^ words[3] ^ np.uint64(high_key),
            first & mask,
        ]
        low_key, high_key = (low_key + 0x9E3779B9) & 0xFFFFFFFF, (high_key + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(words)


GENERATORS: dict[str, Callable[[int], Generator]] = {"CPU": CpuGenerator, "CUDA": CudaGenerator}


class NoiseSource:
    """All randomness of one pass.

    Args:
        seeds: one a picture.
        shape: of one picture's latents, (C, h, w).
        kind: "CPU", or "CUDA" for an NVIDIA card's numbers.
        variation_seeds, variation_strength: another seed a picture, mixed in by this share (0 to 1).
        resize_from: (h, w) in latent cells of another size whose picture is to be kept in the middle.
        seed_delta: added to the seeds for the noise drawn while sampling (A1111's ENSD).
        device: where noise is wanted; it is always drawn on the CPU.
    Raises InvalidRequest for an unknown kind.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        *,
        kind: str = "CPU",
        variation_seeds: Sequence[int] | None = None,
        variation_strength: float = 0.0,
        resize_from: tuple[int, int] | None = None,
        seed_delta: int = 0,
        device: torch.device | str = "cpu",
    ):
        if kind not in GENERATORS:
            raise InvalidRequest(f"The noise source is {kind!r}.", f"Known: {', '.join(GENERATORS)}.")
        self._kind, self._seeds, self._shape, self._device = GENERATORS[kind], list(seeds), tuple(shape), device
        self._variations = list(variation_seeds or [])
        self._strength = variation_strength if self._variations else 0.0
        self._resize = resize_from
        self._delta = seed_delta
        self._generators: list[Generator] = [self._kind(seed) for seed in self._seeds]
        self._paths = [BrownianPath(seed, self._shape) for seed in self._seeds]

    def initial(self) -> Tensor:
        """Unit noise [B, C, h, w] to start from; the sequence of `step` goes on behind it."""
        made = torch.stack([self._first(index) for index in range(len(self._seeds))])
        if self._delta:
            self._generators = [self._kind(seed + self._delta) for seed in self._seeds]
        return made.to(self._device)

    def step(self) -> Tensor:
        """Fresh unit noise [B, C, h, w]."""
        return torch.stack([generator.normal(self._shape) for generator in self._generators]).to(self._device)

    def brownian(self, sigma: float, target: float) -> Tensor:
        """Unit noise [B, C, h, w] of each picture's Brownian path between two sigmas."""
        return torch.stack([path.between(sigma, target) for path in self._paths]).to(self._device)

    def _first(self, index: int) -> Tensor:
        seed, generator = self._seeds[index], self._generators[index]
        shape = self._shape if self._resize is None else (self._shape[0], *self._resize)
        if shape == self._shape:
            return self._varied(generator.normal(shape), index)
        small = self._varied(self._kind(seed).normal(shape), index)
        return pasted(small, generator.normal(self._shape))

    def _varied(self, noise: Tensor, index: int) -> Tensor:
        if self._strength == 0:
            return noise
        other = self._kind(self._variations[index]).normal(noise.shape)
        return slerp(noise, other, self._strength)


def slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Spherical interpolation of noises [C, h, w] along their rows; nearly parallel ones are mixed linearly.

    Source: Shoemake 1985. A1111 measures the angle along the height, column by column of each channel.
    """
    low = first / first.norm(dim=1, keepdim=True)
    high = second / second.norm(dim=1, keepdim=True)
    dot = (low * high).sum(1)
    if dot.mean() > 0.9995:
        return torch.lerp(first, second, share)
    angle = dot.clamp(-1, 1).acos()
    sine = angle.sin()
    weights = ((1 - share) * angle).sin() / sine, (share * angle).sin() / sine
    made = weights[0].unsqueeze(1) * first + weights[1].unsqueeze(1) * second
    # columns in one line, as all are in a picture of a single row, have no arc
    return torch.where(sine.unsqueeze(1) > 1e-4, made, torch.lerp(first, second, share))


def pasted(small: Tensor, whole: Tensor) -> Tensor:
    """`small` [C, h', w'] in the middle of `whole` [C, h, w], cut where it is larger."""
    made = whole.clone()
    (height, width), (inner_height, inner_width) = whole.shape[1:], small.shape[1:]
    down, right = (height - inner_height) // 2, (width - inner_width) // 2
    rows = inner_height if down >= 0 else inner_height + 2 * down
    columns = inner_width if right >= 0 else inner_width + 2 * right
    top, left = max(down, 0), max(right, 0)
    from_top, from_left = max(-down, 0), max(-right, 0)
    made[:, top : top + rows, left : left + columns] = small[
        :, from_top : from_top + rows, from_left : from_left + columns
    ]
    return made
