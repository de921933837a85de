"""Upscalers that need no file: Pillow's filters, and what extensions register.

Their names stand in menus, so no torch is imported here, and Pillow only when one works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from webui.registry import Registry

if TYPE_CHECKING:
    from PIL import Image

Upscale: TypeAlias = "Callable[[Image.Image, tuple[int, int]], Image.Image]"  # RGB picture, (width, height) -> RGB

UPSCALERS: Registry[Upscale] = Registry("upscaler")


@UPSCALERS.register("None")
def plain(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """No upscaler: a size that has to be met all the same is met by Lanczos."""
    return lanczos(picture, size)


@UPSCALERS.register("Lanczos")
def lanczos(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Windowed sinc of three lobes."""
    from PIL.Image import Resampling

    return picture.resize(size, Resampling.LANCZOS)


@UPSCALERS.register("Nearest")
def nearest(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Each pixel becomes a rectangle: for pixel art."""
    from PIL.Image import Resampling

    return picture.resize(size, Resampling.NEAREST)
