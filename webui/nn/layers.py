"""Linear and convolution layers whose weights may be stored in another type than they compute in.

A file in float8 or float16 can stay so in memory; each layer casts its own weight at the moment of use.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cast_like(weight: Tensor, x: Tensor) -> Tensor:
    """`weight` in the type of `x`, unless autocast is going to choose the type itself."""
    if weight.dtype == x.dtype or (torch.is_autocast_enabled(x.device.type) and weight.dtype == torch.float32):
        return weight
    return weight.to(x.dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x·Wᵀ + b in the type of `x`. Shapes: x [..., I], weight [O, I], bias [O]; returns [..., O]."""
    return F.linear(x, cast_like(weight, x), None if bias is None else cast_like(bias, x))


class Linear(nn.Linear):
    """`nn.Linear` that computes in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` that computes in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, cast_like(self.weight, x), None if self.bias is None else cast_like(self.bias, x))
