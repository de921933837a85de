"""LoRA and what is built on it: low-rank products for linear layers and convolutions, and DoRA's renormalisation.

Sources: Hu et al. 2021 (LoRA); LyCORIS, Yeh et al. 2023 (convolutions, the Tucker form); Liu et al. 2024 (DoRA).
Every function takes an adapter's tensors of one layer by role, in float32, and the layer's base weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Roles = Mapping[str, Tensor]


def scale_of(roles: Roles, rank: int) -> float:
    """α / rank; 1 where the file has no alpha. A stored `scale` counts instead."""
    if "scale" in roles:
        return float(roles["scale"])
    return float(roles["alpha"].reshape(-1)[0]) / rank if "alpha" in roles else 1.0


def factors(roles: Roles) -> tuple[Tensor, Tensor, float]:
    """U [o, r], D [r, i·k·k] and the scale of a LoRA without a core."""
    up, down = roles["up"].flatten(1), roles["down"].flatten(1)
    return up, down, scale_of(roles, len(down))


@dataclass(frozen=True)
class LowRank:
    """s·U·D added to some rows of a weight: a change that can be made a few rows at a time (`adapters/merge.py`).

    `up` is U [o, r] or [o, r, 1, 1] and `down` D [r, i] or [r, i, k, k], in any type; `rows` are those of the weight
    that it changes, from and to, None for all.
    """

    up: Tensor
    down: Tensor
    scale: float
    rows: tuple[int, int] | None = None

    def __call__(self, total: Tensor, base: Tensor) -> None:
        """Add it to `total`, float32 of the whole weight's shape, in place."""
        part = total if self.rows is None else total[slice(*self.rows)]
        up, down = (factor.flatten(1).to(total.device, torch.float32) for factor in (self.up, self.down))
        part.add_((up @ down).reshape(part.shape), alpha=self.scale)

    def factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """U and D in float32 beside `like`, the columns of D in the order in which a row of `like` lies in memory."""
        up = self.up.flatten(1).to(like.device, torch.float32)
        down = self.down.reshape(len(self.down), *like.shape[1:]).to(like.device, torch.float32)
        return up, (down.permute(0, 2, 3, 1) if _channels_last(like) else down).flatten(1)

    def add_to_rows(self, part: Tensor, first: int, up: Tensor, down: Tensor) -> None:
        """Add what falls on the rows of `part` [n, i·k·k], float32, of which the first is row `first` of the weight."""
        start, end = self.rows or (0, len(up))
        low, high = max(first, start), min(first + len(part), end)
        if low < high:
            part[low - first : high - first].addmm_(up[low - start : high - start], down, alpha=self.scale)


def as_matrix(weight: Tensor) -> Tensor:
    """A weight [o, i, …] as [o, n] over the same memory, its rows in the order in which they lie there.

    Raises RuntimeError for one whose rows do not lie in one piece.
    """
    ordered = weight.permute(0, 2, 3, 1) if _channels_last(weight) else weight
    return ordered.view(len(weight), -1)


def _channels_last(weight: Tensor) -> bool:
    return weight.ndim == 4 and not weight.is_contiguous()


def lora(roles: Roles, base: Tensor) -> Tensor:
    """s·U·D, or with a core M: s·Σ U[o,p] M[p,q,k,l] D[q,i]."""
    if "mid" in roles:
        up, down = roles["up"].flatten(1), roles["down"].flatten(1)
        core = torch.einsum("op,pqkl,qi->oikl", up, roles["mid"], down)
        return scale_of(roles, len(down)) * core.reshape(base.shape)
    up, down, scale = factors(roles)
    return (scale * (up @ down)).reshape(base.shape)


def dora(merged: Tensor, magnitude: Tensor, by_rows: bool | None = None) -> Tensor:
    """The weight with each row's (or column's) norm replaced by the magnitude. `merged` is base + ΔW [o, i, …].

    A magnitude with one value a row (its first dimension is o) is per output row, else per input column.
    """
    rows = magnitude.shape[0] == merged.shape[0] if by_rows is None else by_rows
    kept = 0 if rows else 1
    shape = [1] * merged.ndim
    shape[kept] = merged.shape[kept]
    norm = merged.transpose(0, kept).flatten(1).norm(dim=1).reshape(shape)
    return merged * (magnitude.reshape(shape) / (norm + torch.finfo(torch.float32).eps))
