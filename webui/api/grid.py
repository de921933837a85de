"""One sheet of all pictures of a job, as A1111 sends it before the pictures themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from webui.imaging.metadata import encode_picture
from webui.workers.views import ResultView


def grid_file(files: Sequence[bytes], first: ResultView, format: str, quality: int) -> bytes:
    """A picture file with all `files` in rows, nearly square, and the infotext of the first one inside."""
    pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    rows = max(1, round(math.sqrt(len(pictures))))
    columns = math.ceil(len(pictures) / rows)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, index // columns * height))
    return encode_picture(sheet, first.infotext, format, quality)
