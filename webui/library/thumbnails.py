"""Small copies of finished pictures, made once and kept in the data folder."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path

from PIL import Image

from webui.errors import FileError
from webui.imaging.files import DAMAGE, LARGEST, MAX_PIXELS, load_picture, picture_size
from webui.imaging.profiles import in_srgb
from webui.imaging.resize import eight_bits
from webui.library.history import History
from webui.settings import write_atomically

SIDE = 384  # pixels of the longest side: twice what a tile shows, for dense screens
QUALITY = 80
MEDIA_TYPE = "image/webp"
_LARGE = threading.Lock()  # pictures beyond the usual limit take up to 0.8 GB while they are read: one at a time


def thumbnail(history: History, picture_id: str) -> bytes:
    """A small WebP of a picture. Raises NotFound, and DamagedFile or UnsafeFile for one that cannot be shown."""
    kept = _place(history, picture_id, history.picture(picture_id)["modified"])
    if kept is not None:
        with contextlib.suppress(OSError):
            return kept.read_bytes()
    data = _small(history.path(picture_id))
    if kept is not None:
        with contextlib.suppress(OSError):  # a full disk: it is made again next time
            write_atomically(kept, data)
            for other in kept.parent.glob(f"{picture_id}-*.webp"):
                if other != kept:  # of the picture as it was before
                    other.unlink(missing_ok=True)
    return data


def _place(history: History, picture_id: str, modified: int) -> Path | None:
    file = history.database.path
    if file is None:
        return None
    return file.parent / "history-previews" / picture_id[:2] / f"{picture_id}-{modified:x}.webp"


def _small(path: Path) -> bytes:
    width, height = picture_size(path, LARGEST)
    with _LARGE if width * height > MAX_PIXELS else contextlib.nullcontext():
        return _reduced(path)


def _reduced(path: Path) -> bytes:
    try:
        image = eight_bits(load_picture(path, LARGEST))
        image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
        image = in_srgb(image)
        stream = io.BytesIO()
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(stream, "WEBP", quality=QUALITY)
    except DAMAGE as error:
        raise FileError(f"A small copy of {path.name} cannot be made: {error}.") from None
    return stream.getvalue()
