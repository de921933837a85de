"""Where a softly inpainted picture differs from the one it was made from: the mask by which it is pasted back."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from webui.request import SoftInpaint

RADIUS, DEVIATION = 2, 1.5  # of the window of the filters, in latent cells
SMOOTHING = 4  # pixels


def difference_mask(distance: np.ndarray, mask: np.ndarray, soft: SoftInpaint, size: tuple[int, int]) -> Image.Image:
    """A mask of `size` (width, height), white where latents have changed far enough.

    `distance` [h, w] is how far each cell has moved, `mask` [h, w] in [0, 1] how much it was to be repainted. Lone
    changes are spread, then noise is filtered out, both by weighted ranks within a small window; a sigmoid around
    `soft.difference_threshold` decides. With `mask_influence` the threshold falls where the mask is strong.
    """
    kept = 1 - np.clip(mask, 0, 1) ** (soft.preservation / 2)
    kept = 0.5 * (1 - soft.mask_influence) + kept * soft.mask_influence
    tolerance = soft.difference_threshold * kept / np.maximum(1 - kept, 1e-5)
    spread = _rank_mean(_rank_mean(distance.astype(np.float64), 0.9, 1.0), 0.25, 0.75)
    kept = 1 / (1 + (spread / np.maximum(tolerance, 1e-5)) ** soft.difference_contrast)
    changed = 1 - kept**3 * (kept * (6 * kept - 15) + 10)  # smootherstep
    picture = Image.fromarray(np.clip(changed * 255, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    blurred = cv2.GaussianBlur(np.asarray(picture), (0, 0), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    return Image.fromarray(blurred)


def _rank_mean(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """For every cell of [h, w] the mean of its neighbours that lie between two shares of their weighted ranks."""
    height, width = values.shape
    offsets = [(y, x) for y in range(-RADIUS, RADIUS + 1) for x in range(-RADIUS, RADIUS + 1)]
    outside = math.exp(-((RADIUS + 1) ** 2) / DEVIATION**2)
    padded, present = (np.pad(array, RADIUS) for array in (values, np.ones_like(values)))
    neighbours: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for y, x in offsets:
        window = slice(RADIUS + y, RADIUS + y + height), slice(RADIUS + x, RADIUS + x + width)
        weight = max(0.0, (math.exp(-(y * y + x * x) / DEVIATION**2) - outside) / (1 - outside))
        neighbours.append(padded[window])
        weights.append(present[window] * weight)
    order = np.argsort(np.stack(neighbours), axis=0, kind="stable")  # [25, h, w]
    ranked = np.take_along_axis(np.stack(neighbours), order, 0)
    shares = np.take_along_axis(np.stack(weights), order, 0)
    ends = shares.cumsum(0)
    total = ends[-1]
    start, stop = low * total, high * total
    missing = np.maximum(0, 1 - (stop - start)) / 2  # at least one whole cell counts
    start, stop = start - missing, stop + missing
    start, stop = start - np.maximum(0, stop - total), np.minimum(stop, total)
    inside = np.clip(np.minimum(ends, stop) - np.maximum(ends - shares, start), 0, None)
    return (ranked * inside).sum(0) / np.maximum(inside.sum(0), 1e-12)
