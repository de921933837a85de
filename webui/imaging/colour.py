"""The colours of one picture given to another."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

LUMINANCE = np.array([0.3, 0.59, 0.11], dtype=np.float32)  # of red, green and blue, as blend modes weigh them


def with_colours_of(picture: Image.Image, reference: Image.Image) -> Image.Image:
    """An RGB picture whose colours are distributed as the reference's; its own brightness stays.

    As A1111's colour correction: histograms are matched in CIE L*a*b*, then the result takes the picture's luminosity
    (W3C Compositing and Blending Level 1, blend mode "luminosity").
    """
    own, wanted = (cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2LAB) for image in (picture, reference))
    matched = np.stack([matched_histogram(own[..., i], wanted[..., i]) for i in range(3)], axis=2)
    colours = cv2.cvtColor(matched, cv2.COLOR_LAB2RGB)
    made = _with_luminosity(colours.astype(np.float32) / 255, np.asarray(picture, dtype=np.float32) / 255)
    return Image.fromarray(np.clip(made * 255 + 0.5, 0, 255).astype(np.uint8))


def matched_histogram(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """uint8 values, each replaced by the reference's value at the same rank."""
    shares = np.bincount(values.ravel(), minlength=256).cumsum() / values.size
    counts = np.bincount(reference.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    table = np.interp(shares, counts[present].cumsum() / reference.size, present)
    return table.astype(np.uint8)[values]


def _with_luminosity(colours: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Hue and saturation of one picture [H, W, 3] with the luminosity of another, both in [0, 1]."""
    luminosity = brightness @ LUMINANCE
    made = colours + (luminosity - colours @ LUMINANCE)[..., None]
    grey = luminosity[..., None]
    lowest, highest = made.min(2, keepdims=True), made.max(2, keepdims=True)
    # Colours that left the range are drawn towards the grey of the same luminosity.
    made = np.where(lowest < 0, grey + (made - grey) * grey / np.maximum(grey - lowest, 1e-6), made)
    return np.where(highest > 1, grey + (made - grey) * (1 - grey) / np.maximum(highest - grey, 1e-6), made)
