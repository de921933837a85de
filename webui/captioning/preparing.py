"""Pictures as the networks of captioners see them: a plain square of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.errors import DamagedFile

BICUBIC = Image.Resampling.BICUBIC


def normalised(picture: Image.Image, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """An RGB picture in `size` (width, height), its proportions left aside: float32 [1, 3, height, width]."""
    pixels = np.asarray(picture.resize(size, BICUBIC), np.float32) / 255  # [H, W, 3]
    pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def squared(picture: Image.Image) -> Image.Image:
    """An RGB picture in the middle of a white square."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises DamagedFile."""
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DamagedFile(f"{file.parent.name}/{file.name} is missing or no JSON object.", "", "Fetch it again.")
    return values
