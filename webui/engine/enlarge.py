"""The only place where the engine meets the upscalers: models that enlarge pictures, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from webui.imaging.resize import Enlarge, stretched
from webui.request import LATENT_UPSCALERS

if TYPE_CHECKING:
    from torch import device as Device

    from webui.paths import Paths

PLAIN = ("", "None", "Lanczos")  # names that need no model


def is_model(name: str) -> bool:
    """Whether a name means an upscaler of pictures that is more than resampling."""
    return name not in LATENT_UPSCALERS and name not in PLAIN


def check_upscaler(name: str, paths: Paths) -> None:
    """Raise NotFound with the closest names where there is no upscaler of that name."""
    if is_model(name):
        from webui.upscalers import find_upscaler

        find_upscaler(name, paths)


def enlarger(name: str, paths: Paths, device: Device, check: Callable[[], None]) -> Enlarge:
    """`enlarge(picture, (width, height)) -> picture` by the upscaler of that name; `check` raises to cancel."""
    return partial(_by_model, name=name, paths=paths, device=device, check=check) if is_model(name) else stretched


def _by_model(
    picture: Image.Image,
    size: tuple[int, int],
    *,
    name: str,
    paths: Paths,
    device: Device,
    check: Callable[[], None],
) -> Image.Image:
    from webui.imaging.convert import to_pictures, to_tensor
    from webui.upscalers import enlarge

    return to_pictures(enlarge(to_tensor(picture), name, size, paths=paths, device=device, check=check))[0]
