"""The innermost predictor: one call of the network under its noising law."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from webui.diffusion.conditioning import Conditioning
from webui.families.base import Model
from webui.families.channels import CONCAT, concatenated
from webui.nn.hooks import NO_HOOKS, BlockHooks

if TYPE_CHECKING:
    from webui.diffusion.laws import NoisingLaw


def network_predictor(
    model: Model, law: NoisingLaw | None = None, hooks: BlockHooks = NO_HOOKS
) -> Callable[[Tensor, float, Conditioning], Tensor]:
    """`predict(x, sigma, conditioning) -> denoised` of the model's network.

    `x` [B, C, h, w] in the network's latents, `sigma` a float; context, pooled vector and extra channels of one row
    are expanded over the batch. `law` defaults to the model's own.
    """
    law = law or model.law()

    def predict(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        rows = len(x)
        scaled = concatenated(law.scale_input(x, sigma), conditioning.extras.get(CONCAT), model.facts.in_channels)
        timestep = torch.full((rows,), law.timestep(sigma), device=x.device)
        context = conditioning.context.to(x.device).expand(rows, -1, -1)
        pooled = conditioning.pooled
        vector = None if pooled is None else pooled.to(x.device).expand(rows, -1)
        return law.denoised(model.unet(scaled, timestep, context, vector, hooks), x, sigma)

    return predict
