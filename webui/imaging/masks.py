"""Masks of inpainting and outpainting: pictures of one channel, white = repaint. The measures are those of A1111."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image

from webui.errors import InvalidRequest
from webui.imaging.resize import extended, flattened, resized, stretched

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom

# Deviation of the blur in pixels and how often its layer is laid over the one before, from far to near.
FILL_LAYERS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
OPAQUE = 128  # alpha values above this count as painted


def mask_of(picture: Image.Image) -> Image.Image:
    """The mask in any picture: what is opaque where it has transparency (a canvas's layer), else its greys."""
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha.point(lambda value: 255 if value > OPAQUE else 0)
    return flattened(picture).convert("L")


def transparency_of(picture: Image.Image) -> Image.Image:
    """The mask of what is transparent in a picture; black where nothing can be."""
    if not picture.has_transparency_data:
        return Image.new("L", picture.size, 0)
    return picture.convert("RGBA").getchannel("A").point(lambda value: 255 - value)


def inverted(mask: Image.Image) -> Image.Image:
    """The mask of everything else."""
    return mask.point(lambda value: 255 - value)


def blurred(mask: Image.Image, deviation: tuple[int, int]) -> Image.Image:
    """A Gaussian blur of so many pixels along x and y, whose kernel reaches 2.5 deviations."""
    array = np.asarray(mask)
    for sigma, horizontal in ((deviation[0], True), (deviation[1], False)):
        if sigma > 0:
            length = 2 * int(2.5 * sigma + 0.5) + 1
            array = cv2.GaussianBlur(array, (length, 1) if horizontal else (1, length), sigma)
    return Image.fromarray(array)


def strengthened(mask: Image.Image) -> Image.Image:
    """Twice the mask's values: what is half repainted is taken over whole, so that nothing old shines through."""
    return mask.point(lambda value: min(255, 2 * value))


def masked_region(mask: Image.Image, padding: int, size: tuple[int, int]) -> Box:
    """The rectangle around what is masked, `padding` pixels wider, and as long or high as the proportions of `size`
    (width, height) want, within the picture. Raises InvalidRequest for an empty mask."""
    box = mask.getbbox()
    if box is None:
        raise InvalidRequest("The mask is empty.", "Something to repaint was wanted.", "Paint over it, or invert it.")
    left, top, right, bottom = (
        max(0, box[0] - padding),
        max(0, box[1] - padding),
        min(mask.width, box[2] + padding),
        min(mask.height, box[3] + padding),
    )
    width, height = right - left, bottom - top
    if width * size[1] > height * size[0]:
        top, bottom = _widened(top, bottom, int(width * size[1] / size[0]), mask.height)
    else:
        left, right = _widened(left, right, int(height * size[0] / size[1]), mask.width)
    return left, top, right, bottom


def _widened(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    """A span made `length` long on both sides, moved and cut to lie between 0 and `limit`."""
    missing = length - (stop - start)
    start, stop = start - missing // 2, stop + missing - missing // 2
    if stop >= limit:
        start, stop = start - (stop - limit), limit
    if start < 0:
        start, stop = 0, stop - start
    return start, min(stop, limit)


def filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The RGB picture with what is masked painted over by the colours around it.

    Blurred copies of the rest, each of which covers the masked part less far and more finely than the one before, are
    laid over each other; where none reaches, the mean colour of the rest stands.
    """
    seen = 1 - np.asarray(mask, dtype=np.float32)[..., None] / 255  # [H, W, 1]
    layer = np.concatenate([np.asarray(picture, dtype=np.float32) * seen, seen], axis=2)  # premultiplied, [H, W, 4]
    total = layer.sum((0, 1))
    mean = total[:3] / total[3] if total[3] > 0 else np.full(3, 127.5, np.float32)
    made = np.broadcast_to(mean, layer[..., :3].shape)
    for sigma, times in FILL_LAYERS:
        copy = _far_blur(layer, sigma)
        for _ in range(times):
            made = copy[..., :3] + made * (1 - copy[..., 3:])
    return Image.fromarray(np.clip(made + 0.5, 0, 255).astype(np.uint8))


def _far_blur(array: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of an array [H, W, C]; wide ones are computed on a smaller copy, which nobody can see."""
    if sigma == 0:
        return array
    height, width = array.shape[:2]
    shrink = max(1, int(sigma / 4))
    small = (max(1, width // shrink), max(1, height // shrink))
    reduced = cv2.resize(array, small, interpolation=cv2.INTER_AREA) if shrink > 1 else array
    deviation = sigma * small[0] / width, sigma * small[1] / height
    reduced = cv2.GaussianBlur(reduced, (0, 0), deviation[0], sigmaY=deviation[1], borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR) if shrink > 1 else reduced


def outpainted(
    picture: Image.Image, left: int = 0, right: int = 0, up: int = 0, down: int = 0, mask: Image.Image | None = None
) -> tuple[Image.Image, Image.Image]:
    """An RGB picture enlarged by so many pixels at its sides, which repeat its edge, and the mask of what is new.

    With a `mask` of the picture, that part is to be repainted as well.
    """
    inner = mask or Image.new("L", picture.size, 0)
    whole = Image.new("L", (picture.width + left + right, picture.height + up + down), 255)
    whole.paste(inner, (left, up))
    return extended(picture, left, right, up, down), whole


def pasted(original: Image.Image, made: Image.Image, mask: Image.Image, box: Box | None = None) -> Image.Image:
    """What was made, laid over the original where the mask is white; every pixel under black stays as it was.

    `made` is the part of the original in `box`, or the whole, in any size; `mask` has the original's size.
    """
    if box is None:
        return Image.composite(stretched(made, original.size), original, mask)
    over = original.copy()
    over.paste(resized(made, (box[2] - box[0], box[3] - box[1]), "crop"), box[:2])
    return Image.composite(over, original, mask)
