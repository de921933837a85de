"""One sheet of all pictures of a job, as A1111 sends it before the pictures themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from webui.imaging.grid import sheet
from webui.imaging.metadata import encode_picture
from webui.workers.views import ResultView


def grid_file(files: Sequence[bytes], first: ResultView, format: str, quality: int, rows: int = 0) -> bytes:
    """A picture file with all `files` in rows (0: nearly square), and the infotext of the first one inside."""
    pictures = [Image.open(io.BytesIO(file)) for file in files]
    return encode_picture(sheet(pictures, rows=rows), first.infotext, format, quality)
