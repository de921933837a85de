"""A smaller JPEG beside a large picture, for places that take no large files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from webui.imaging.metadata import save_picture
from webui.imaging.resize import flattened, stretched

if TYPE_CHECKING:
    from webui.settings import Settings

MEGABYTE = 1 << 20


def save_small_copy(image: Image.Image, path: Path, infotext: str, settings: Settings) -> Path | None:
    """Save a picture whose file is at `path` once more as JPEG where the settings want that, and return where.

    They want it for files above `small_copy_megabytes` and for sides above `small_copy_side`, which is then the longest
    one (A1111's "save copy as JPG"). None where nothing is to be done. Raises FileError.
    """
    side = settings["small_copy_side"]
    large = max(image.size) > side
    heavy = path.suffix != ".jpg" and path.stat().st_size > settings["small_copy_megabytes"] * MEGABYTE
    if not settings["small_copies"] or not (large or heavy):
        return None
    copy = flattened(image)
    if large:
        scale = side / max(copy.size)
        copy = stretched(copy, (max(1, round(copy.width * scale)), max(1, round(copy.height * scale))))
    written = infotext if settings["write_infotext"] else ""
    return save_picture(copy, path.with_suffix(".jpg"), written, "jpg", settings["quality"])
