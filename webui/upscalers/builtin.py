"""Upscalers that need no file: Pillow's filters, and what extensions register. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from PIL import Image

from webui.registry import Registry

Upscale: TypeAlias = Callable[[Image.Image, tuple[int, int]], Image.Image]  # RGB picture, (width, height) -> RGB

UPSCALERS: Registry[Upscale] = Registry("upscaler")


@UPSCALERS.register("None")
def plain(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """No upscaler: a size that has to be met all the same is met by Lanczos."""
    return lanczos(picture, size)


@UPSCALERS.register("Lanczos")
def lanczos(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Windowed sinc of three lobes."""
    return picture.resize(size, Image.Resampling.LANCZOS)


@UPSCALERS.register("Nearest")
def nearest(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Each pixel becomes a rectangle: for pixel art."""
    return picture.resize(size, Image.Resampling.NEAREST)
