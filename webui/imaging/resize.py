"""Pictures in the size that is wanted, in the ways of A1111's img2img, and any picture as plain RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageColor

from webui.errors import InvalidRequest

Enlarge: TypeAlias = Callable[[Image.Image, tuple[int, int]], Image.Image]
LANCZOS = Image.Resampling.LANCZOS


def stretched(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture in `size` (width, height), by Lanczos; the same object where it has that size."""
    return picture if picture.size == size else picture.resize(size, LANCZOS)


def resized(
    picture: Image.Image, size: tuple[int, int], mode: str = "stretch", enlarge: Enlarge = stretched
) -> Image.Image:
    """The picture in `size` (width, height).

    Modes: "stretch" ignores the proportions; "crop" keeps them and cuts what stands over at both sides; "fill" keeps
    them and stretches the outermost pixels over what is missing. `enlarge` is what makes pictures larger; smaller ones
    are always made by Lanczos. Raises InvalidRequest for another mode.
    """
    if mode not in ("stretch", "crop", "fill"):
        raise InvalidRequest(f"The resize mode is {mode!r}.", "Choices: stretch, crop, fill.")
    inner = (
        size if mode == "stretch" else covering(picture.size, size) if mode == "crop" else within(picture.size, size)
    )
    grows = inner[0] * inner[1] > picture.width * picture.height
    picture = (enlarge if grows else stretched)(picture, inner)
    return picture if inner == size else _centred(picture, size)


def covering(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same proportions that covers `target`; sizes are (width, height)."""
    width, height = size
    if target[0] * height > target[1] * width:
        return target[0], max(target[1], height * target[0] // width)
    return max(target[0], width * target[1] // height), target[1]


def within(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same proportions within `target`."""
    width, height = size
    if target[0] * height < target[1] * width:
        return target[0], max(1, height * target[0] // width)
    return max(1, width * target[1] // height), target[1]


def _centred(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a picture; what lies beyond it repeats its outermost pixels."""
    left, top = size[0] // 2 - picture.width // 2, size[1] // 2 - picture.height // 2
    right, bottom = size[0] - picture.width - left, size[1] - picture.height - top
    cut = picture.crop((max(0, -left), max(0, -top), picture.width + min(0, right), picture.height + min(0, bottom)))
    return extended(cut, max(0, left), max(0, right), max(0, top), max(0, bottom))


def extended(picture: Image.Image, left: int, right: int, up: int, down: int) -> Image.Image:
    """The picture with a border of so many pixels, which repeats its outermost ones."""
    array = np.asarray(picture)
    return Image.fromarray(np.pad(array, [(up, down), (left, right)] + [(0, 0)] * (array.ndim - 2), "edge"))


def flattened(picture: Image.Image, background: str = "#ffffff") -> Image.Image:
    """Any picture as RGB of 8 bits: palettes, greys, 16 bits, and transparency over a background colour.

    Raises InvalidRequest where `background` is no colour.
    """
    if picture.has_transparency_data:
        try:
            colour = ImageColor.getrgb(background)[:3]
        except ValueError:
            raise InvalidRequest(f"The background colour is {background!r}.", "Wanted: such as #ffffff.") from None
        below = Image.new("RGBA", picture.size, (*colour, 255))
        return Image.alpha_composite(below, picture.convert("RGBA")).convert("RGB")
    return eight_bits(picture).convert("RGB")


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16 bits as one of 8, which Pillow would clip instead of scaling; others as they are."""
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    return Image.fromarray(np.clip(values / 257 + 0.5, 0, 255).astype(np.uint8))
