"""Layers that every network here uses: weights stored in another type than they compute in, and cheaper equal forms.

A file in float8 or float16 can stay so in memory; each layer casts its own weight at the moment of use. Without
gradients, values that nobody needs any more are overwritten, and doubling a picture's size is folded into the
convolution that follows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PHASES_FROM = 1024  # input pixels (over the batch) from which preparing the four kernels is worth while


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

    def parts(self, x: Tensor, count: int) -> tuple[Tensor, ...]:
        """`self(x).chunk(count, -1)`; without gradients each part is computed apart: contiguous ones are faster."""
        if torch.is_grad_enabled() or self._forward_hooks or self._forward_pre_hooks:
            return self(x).chunk(count, dim=-1)
        biases = [None] * count if self.bias is None else self.bias.chunk(count)
        return tuple(linear(x, weight, bias) for weight, bias in zip(self.weight.chunk(count), biases, strict=True))


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` that computes in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, cast_like(self.weight, x), None if self.bias is None else cast_like(self.bias, x))


def normed_silu(norm: nn.Module, x: Tensor) -> Tensor:
    """SiLU(norm(x))."""
    return F.silu(norm(x), inplace=not torch.is_grad_enabled())


def added(fresh: Tensor, x: Tensor) -> Tensor:
    """fresh + x; without gradients `fresh` itself takes the sum, so nobody else may hold it."""
    return fresh + x if torch.is_grad_enabled() or fresh.dtype != x.dtype else fresh.add_(x)


def doubled_conv(x: Tensor, conv: Conv2d) -> Tensor:
    """`conv` (3×3, padding 1) of x [B, C, H, W] with every pixel repeated twice each way: [B, O, 2H, 2W].

    Repeated pixels meet several taps of the kernel, so each of the four positions within a doubled pixel is a 2×2
    convolution of the small picture: 4/9 of the operations, the same sum.
    """
    batch, _, height, width = x.shape
    worth_while = batch * height * width >= PHASES_FROM and x.device.type == "cpu" and not torch.is_grad_enabled()
    if not worth_while or conv.padding_mode != "zeros":
        return conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    kernel = conv.weight.float()
    bias = None if conv.bias is None else cast_like(conv.bias, x)
    out = x.new_empty(batch, 2 * height, 2 * width, len(kernel)).permute(0, 3, 1, 2)  # channels last
    for top in (0, 1):
        for left in (0, 1):
            taps = _merged(_merged(kernel, 2, top), 3, left).to(x.dtype, memory_format=torch.channels_last)
            phase = F.conv2d(x, taps, bias, padding=1)  # [B, O, H + 1, W + 1]
            out[:, :, top::2, left::2] = phase[:, :, top : top + height, left : left + width]
    return out


def _merged(kernel: Tensor, dim: int, position: int) -> Tensor:
    """Three taps along `dim` as two: the later two meet the same pixel at position 0, the earlier two at position 1."""
    first, second, third = kernel.unbind(dim)
    pair = (first, second + third) if position == 0 else (first + second, third)
    return torch.stack(pair, dim)
