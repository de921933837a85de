"""Between tensors, arrays and pictures. Numbers are RGB in [0, 1], channels first; pictures have 8 bits a channel."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.errors import EmulsionError

PREVIEW_FORMATS = ("JPEG", "WEBP")


def to_pictures(pixels: Tensor) -> list[Image.Image]:
    """Pictures of a tensor [B, 3, H, W] (or one [3, H, W]); values outside of [0, 1] are clipped.

    A value becomes floor(255·x + 0.5), computed in float32, so the same numbers give the same picture on any device.
    Raises EmulsionError where values are no numbers: a black picture would hide what went wrong.
    """
    return [Image.fromarray(array) for array in to_arrays(pixels)]


def to_arrays(pixels: Tensor) -> np.ndarray:
    """As `to_pictures`, but as uint8 [B, H, W, 3]."""
    pixels = pixels.detach().to("cpu", torch.float32)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(0)
    if bool(pixels.isnan().any()):
        raise EmulsionError(
            "The decoded picture holds values that are not numbers.",
            remedy="Try --precision float32, or another VAE: some overflow in half precision.",
        )
    return pixels.clamp(0, 1).mul(255).add(0.5).floor().byte().permute(0, 2, 3, 1).contiguous().numpy()


def to_tensor(picture: Image.Image | np.ndarray) -> Tensor:
    """float32 [1, 3, H, W] in [0, 1] of a picture in any mode or a uint8 array [H, W, 3]; transparency is dropped."""
    array = np.asarray(picture.convert("RGB")) if isinstance(picture, Image.Image) else picture
    return torch.from_numpy(np.array(array, dtype=np.float32)).div(255).permute(2, 0, 1).unsqueeze(0).contiguous()


def encode_preview(picture: Image.Image, format: str = "JPEG", longest_side: int = 512, quality: int = 75) -> bytes:
    """A small file of a picture for showing progress: never enlarged, "JPEG" or "WEBP"."""
    if max(picture.size) > longest_side:
        picture = picture.copy()
        picture.thumbnail((longest_side, longest_side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    options = {"method": 0} if format == "WEBP" else {}  # the fastest: a preview lives for half a second
    picture.convert("RGB").save(buffer, format, quality=quality, **options)
    return buffer.getvalue()
