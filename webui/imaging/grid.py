"""Several pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from webui.imaging.files import MAX_PIXELS

LONGEST_SIDE = 16_000  # pixels: WebP ends at 16383


def grid_rows(setting: int, batch_size: int) -> int:
    """The rows that the setting `grid_rows` means (A1111's n_rows): 0 one for each picture of a batch, below 0 any."""
    return batch_size if setting == 0 else max(0, setting)


def sheet(pictures: Sequence[Image.Image], max_pixels: int = MAX_PIXELS, rows: int = 0) -> Image.Image:
    """All pictures in `rows` of equal cells, nearly square for 0, as RGB on black; made smaller where it would be too
    large.

    At least one picture is wanted. Pictures that were only opened are read one after the other.
    """
    width, height = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    rows = min(rows, len(pictures)) or max(1, round(math.sqrt(len(pictures))))
    columns = math.ceil(len(pictures) / rows)
    whole = (columns * width, rows * height)
    scale = min(1.0, math.sqrt(max_pixels / (whole[0] * whole[1])), LONGEST_SIDE / max(whole))
    cell = (max(1, int(width * scale)), max(1, int(height * scale)))
    made = Image.new("RGB", (columns * cell[0], rows * cell[1]))
    for index, picture in enumerate(pictures):
        one = picture.convert("RGB")
        if scale < 1:
            size = (max(1, int(one.width * scale)), max(1, int(one.height * scale)))
            one = one.resize(size, Image.Resampling.LANCZOS)
        made.paste(one, (index % columns * cell[0], index // columns * cell[1]))
    return made
