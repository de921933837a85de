"""LoRA and what is built on it: low-rank products for linear layers and convolutions, and DoRA's renormalisation.

Sources: Hu et al. 2021 (LoRA); LyCORIS, Yeh et al. 2023 (convolutions, the Tucker form); Liu et al. 2024 (DoRA).
Every function takes an adapter's tensors of one layer by role, in float32, and the layer's base weight.
"""

from __future__ import annotations

from collections.abc import Mapping

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
