"""Pictures of what a step sees, so cheap that nobody waits for them.

Either the tiny decoder, where there is one for the checkpoint, or latent colours: a linear map from a latent cell to
the colour of its pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from webui.families.base import LatentFormat
from webui.imaging.convert import encode_preview, to_pictures

Painter: TypeAlias = Callable[[Tensor], Tensor]  # denoised [B, C, h, w] -> pictures [B, 3, H, W] in [0, 1]

SHARE = 0.01  # of the sampling time may go into previews
CREDIT = 0.05  # seconds of previews that need not have been earned yet
LONGEST_SIDE = 512
PREVIEW_FORMAT = "jpeg"


def latent_colours(latents: LatentFormat) -> Painter:
    """A painter of one pixel a latent cell, from the family's or the checkpoint's own factors; grey without any."""
    factors = latents.preview_factors or ((0.0, 0.0, 0.0),) * latents.channels
    weights, bias = torch.tensor(factors) / 2, torch.tensor(latents.preview_bias) / 2 + 0.5  # [C, 3], [3], for [0, 1]

    def paint(denoised: Tensor) -> Tensor:
        colours = torch.einsum("bchw,cd->bdhw", denoised.float(), weights.to(denoised.device))
        return (colours + bias.to(denoised.device).view(1, 3, 1, 1)).clamp(0, 1)

    return paint


def preview_file(pictures: Tensor) -> bytes:
    """The bytes of one picture file that shows all pictures [B, 3, H, W] of a batch side by side."""
    sheet = torch.cat(tuple(pictures), dim=2).nan_to_num()  # [3, H, B·W]
    return encode_preview(to_pictures(sheet)[0], PREVIEW_FORMAT.upper(), LONGEST_SIDE)


class Previewer:
    """Decides when a preview may be made: every `every` steps, and never for more than a hundredth of the time."""

    def __init__(self, painter: Painter, every: int = 1, clock: Callable[[], float] = time.perf_counter):
        self._painter, self._every, self._clock = painter, every, clock
        self._started, self._spent, self._last = clock(), 0.0, 0.0

    def preview(self, step: int, denoised: Tensor) -> bytes | None:
        """The picture file for a finished step (counted from 0), or None when it is not time for one."""
        if self._every <= 0 or (step + 1) % self._every:
            return None
        now = self._clock()
        if self._spent + self._last > CREDIT + SHARE * (now - self._started):
            return None
        data = preview_file(self._painter(denoised))
        self._last = self._clock() - now
        self._spent += self._last
        return data
