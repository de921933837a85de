"""What networks with more than four input channels see beside the noisy latents.

The result goes into `Conditioning.extras["concat"]`. Inpainting nets (nine channels): noisy latents, mask, latents of
the picture with the masked part grey. Instruct-pix2pix nets (eight, Brooks et al. 2023): noisy latents, the picture's
latents without the family's scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.errors import IncompatibleModel
from webui.families.base import Model
from webui.nn.tiling import encode_tiled

CONCAT = "concat"
LARGE_TILE = 128  # latent cells along a side; larger pictures are encoded in parts


def inpaint_channels(model: Model, picture: Tensor, mask: Tensor, weight: float = 1.0) -> Tensor:
    """Mask and masked picture for an inpainting net.

    `picture` [B, 3, H, W] in [0, 1], `mask` [B, 1, H, W], 1 = repaint; these nets were trained with masks of 0 and 1.
    `weight` is the share in which the masked part is hidden (A1111's "conditional mask weight"). Returns [B, 5, h, w].
    """
    hidden = mask.to(picture)
    masked = torch.lerp(picture, 0.5 + (picture - 0.5) * (1 - hidden), weight)
    latents = model.facts.latents.into_network(encode_picture(model, masked))
    cells = F.interpolate(hidden, size=latents.shape[2:], mode="nearest")
    return torch.cat([cells.to(latents), latents], dim=1)


def edit_channels(model: Model, picture: Tensor) -> Tensor:
    """The picture that an instruct-pix2pix net is to change: [B, 3, H, W] in [0, 1] → unscaled latents [B, 4, h, w]."""
    return encode_picture(model, picture)


def blank_channels(model: Model, width: int, height: int) -> Tensor | None:
    """What such a net gets when there is no picture (txt2img); None for plain nets.

    Inpainting nets: everything is masked, the picture is grey. Editing nets: zeros. Sizes in pixels; returns
    [1, C, h, w], to be expanded over the batch.
    """
    variant, factor = model.facts.variant, model.facts.factor
    if variant == "text":
        return None
    if variant == "inpaint":
        grey = torch.full((1, 3, height, width), 0.5, device=model.device)
        return inpaint_channels(model, grey, torch.ones(1, 1, height, width, device=model.device))
    return torch.zeros(1, model.facts.latent_channels, height // factor, width // factor, device=model.device)


def concatenated(x: Tensor, extra: Tensor | None, in_channels: int) -> Tensor:
    """`x` [B, 4, h, w] with the extra channels appended. Raises IncompatibleModel when they do not add up."""
    if extra is not None:
        x = torch.cat([x, extra.to(x).expand(len(x), -1, -1, -1)], dim=1)
    if x.shape[1] != in_channels:
        raise IncompatibleModel(
            f"The network wants {in_channels} input channels and got {x.shape[1]}.",
            "Inpainting and editing checkpoints need a mask or a picture beside the latents.",
        )
    return x


def encode_picture(model: Model, picture: Tensor) -> Tensor:
    """The autoencoder's latents (mean, unscaled) of a picture in [0, 1]."""
    with torch.no_grad():
        return encode_tiled(model.vae, (picture * 2 - 1).to(model.device), tile=LARGE_TILE).float()
