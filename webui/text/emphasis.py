"""Weights of words, applied to the text encoder's output."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.errors import InvalidRequest
from webui.text.attention import EMPHASIS_MODES


def apply_emphasis(hidden: Tensor, weights: Tensor, mode: str = "Original") -> Tensor:
    """Scale each token's vector by its weight.

    hidden [B, T, D] is one chunk a row, weights [B, T]. "Original" then restores the mean of each row, as A1111 does;
    "No norm" leaves it (better for SDXL); "Ignore" and "None" change nothing. Rows do not influence each other. Returns
    the type of `hidden`. Raises InvalidRequest on an unknown mode.
    """
    if mode not in EMPHASIS_MODES:
        raise InvalidRequest(f"There is no emphasis mode {mode!r}.", f"Known: {', '.join(EMPHASIS_MODES)}.")
    if mode in ("None", "Ignore"):
        return hidden
    before = hidden.float()
    after = before * weights.to(before).unsqueeze(-1)
    if mode == "Original":
        mean = after.mean(dim=(1, 2), keepdim=True)  # [B, 1, 1]
        ratio = before.mean(dim=(1, 2), keepdim=True) / mean
        after = after * torch.where(mean == 0, torch.ones_like(ratio), ratio)
    return after.to(hidden.dtype)
