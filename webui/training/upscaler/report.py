"""Measure enlarging against Pillow's bicubic: PSNR and SSIM of RGB in [0, 1] on pictures that training never saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.training.upscaler.train import cropped, reduced

BORDER = 4  # pixels of the large picture a side that are left out, as is usual
Enlarge = Callable[[Tensor], Tensor]  # [1, 3, h, w] -> [1, 3, h·scale, w·scale], both in [0, 1]


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Peak signal to noise ratio in dB of [1, 3, H, W] in [0, 1]."""
    return -10 * math.log10(max(float((picture - truth).square().mean()), 1e-10))


def ssim(picture: Tensor, truth: Tensor) -> float:
    """Structural similarity, mean over pixels and channels, Gaussian window of 11 with a deviation of 1.5.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment" (IEEE TIP 2004)."""
    axis = torch.arange(11.0) - 5
    line = torch.exp(-axis.square() / (2 * 1.5**2))
    line = line / line.sum()
    window = (line[:, None] * line).expand(3, 1, 11, 11)

    def blurred(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=3)

    mean_x, mean_y = blurred(picture), blurred(truth)
    var_x, var_y = blurred(picture.square()) - mean_x.square(), blurred(truth.square()) - mean_y.square()
    covariance = blurred(picture * truth) - mean_x * mean_y
    above = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    below = (mean_x.square() + mean_y.square() + 0.01**2) * (var_x + var_y + 0.03**2)
    return float((above / below).mean())


def as_tensor(picture: numpy.ndarray) -> Tensor:
    """[1, 3, H, W] in [0, 1] of uint8 [H, W, 3]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255


def bicubic(scale: int) -> Callable[[numpy.ndarray], numpy.ndarray]:
    """Pillow's bicubic enlarging of [h, w, 3]."""

    def enlarge(picture: numpy.ndarray) -> numpy.ndarray:
        height, width = picture.shape[:2]
        return numpy.asarray(Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.BICUBIC))

    return enlarge


def measured(enlarge: Enlarge, pictures: list[numpy.ndarray], scale: int) -> dict[str, float]:
    """Mean PSNR and SSIM of `enlarge` and of bicubic on pictures that were made small with bicubic.

    Both results are rounded to 8 bits, as they would be in a file."""
    totals = {"psnr": 0.0, "ssim": 0.0, "bicubic psnr": 0.0, "bicubic ssim": 0.0}
    for picture in pictures:
        whole = cropped(picture, scale)
        small = reduced(whole, scale, Image.Resampling.BICUBIC)
        with torch.inference_mode():
            ours = enlarge(as_tensor(small)).clamp(0, 1).mul(255).round() / 255
        for prefix, result in (("", ours), ("bicubic ", as_tensor(bicubic(scale)(small)))):
            inner, truth = (t[..., BORDER:-BORDER, BORDER:-BORDER] for t in (result, as_tensor(whole)))
            totals[f"{prefix}psnr"] += psnr(inner, truth)
            totals[f"{prefix}ssim"] += ssim(inner, truth)
    return {name: total / len(pictures) for name, total in totals.items()}


def table(enlarge: Enlarge, sets: Mapping[str, list[numpy.ndarray]], scale: int) -> list[str]:
    """Rows of a Markdown table, one a set."""
    rows = []
    for name, pictures in sets.items():
        found = measured(enlarge, pictures, scale)
        gain = found["psnr"] - found["bicubic psnr"]
        rows.append(
            f"| {scale}× | {name} ({len(pictures)}) | {found['bicubic psnr']:.2f} dB | {found['psnr']:.2f} dB "
            f"| **{gain:+.2f} dB** | {found['bicubic ssim']:.4f} | {found['ssim']:.4f} |"
        )
    return rows
