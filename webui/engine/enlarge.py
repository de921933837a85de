"""The only place where the engine meets the upscalers of pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from webui.imaging.resize import Enlarge, stretched
from webui.request import LATENT_UPSCALERS

if TYPE_CHECKING:
    import torch

    from webui.paths import Paths


def check_upscaler(name: str, paths: Paths) -> None:
    """Raise NotFound with the closest names where there is no upscaler of that name."""
    if name not in LATENT_UPSCALERS:
        from webui.upscalers.names import find_upscaler

        find_upscaler(name, paths)


def enlarger(name: str, paths: Paths, device: torch.device, check: Callable[[], None]) -> Enlarge:
    """`enlarge(picture, (width, height)) -> picture` by the upscaler of a name; those of latents mean Lanczos.

    `check` raises to cancel.
    """
    if name in LATENT_UPSCALERS:
        return stretched
    return partial(_enlarged, name=name, paths=paths, device=device, check=check)


def _enlarged(
    picture: Image.Image,
    size: tuple[int, int],
    *,
    name: str,
    paths: Paths,
    device: torch.device,
    check: Callable[[], None],
) -> Image.Image:
    from webui.upscalers.enlarge import enlarge_array

    return Image.fromarray(enlarge_array(np.asarray(picture), name, size, paths=paths, device=device, check=check))
