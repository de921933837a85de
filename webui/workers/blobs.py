"""Pictures that requests carry, kept as files beside the queue: a row of it stays small, and a picture is stored once.

In a request a picture is base64; in the queue it is "blob:" and the SHA-256 of its bytes. The page uploads a picture
first and then sends that name only.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from webui.errors import NotFound

FOLDER = "pictures"  # in the data folder
PICTURE_KEYS = ("image", "images", "mask", "colours_of")  # under these names requests and tasks carry pictures
NAME = re.compile(r"blob:([0-9a-f]{64})")
DATA_URL = re.compile(r"data:[\w/+.-]+;base64,", re.ASCII)
KEEP_SECONDS = 7 * 86400.0
KEEP_BYTES = 4 << 30


class Blobs:
    """A folder of files named by the SHA-256 of their bytes. May be used by several processes at once."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep bytes; returns their name, "blob:…". Raises FileError when the disk does not take them."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / digest
        if path.is_file():
            with contextlib.suppress(OSError):
                os.utime(path)  # in use again
        else:
            from webui.imaging.files import place_file  # brings Pillow, which the program does not need to start

            place_file(data, path)
        return f"blob:{digest}"

    def get(self, name: str) -> bytes:
        """The bytes of a name. Raises NotFound for one that is no longer kept."""
        try:
            return self.path(name).read_bytes()
        except OSError:
            raise _gone() from None

    def path(self, name: str) -> Path:
        """The file of a name. Raises NotFound for one that is no longer kept, or is no name."""
        match = NAME.fullmatch(name)
        if match is None or not (path := self.folder / match[1]).is_file():
            raise _gone()
        return path

    def prune(self) -> None:
        """Remove what is too old, and the oldest beyond a size."""
        now, total = time.time(), 0
        with contextlib.suppress(OSError):
            facts = sorted(((path.stat(), path) for path in self.folder.iterdir()), key=lambda one: -one[0].st_mtime)
            for stat, path in facts:
                total += stat.st_size
                if now - stat.st_mtime > KEEP_SECONDS or total > KEEP_BYTES:
                    path.unlink(missing_ok=True)

    def stored(self, values: Any) -> Any:
        """Plain values with every base64 picture in them replaced by the name of its kept bytes."""
        return _changed(values, self._store)

    def restored(self, values: Any) -> Any:
        """Plain values with every name of a kept picture replaced by base64. Raises NotFound."""
        return _changed(values, self._restore)

    def _store(self, text: str) -> str:
        if NAME.fullmatch(text):
            return text
        try:
            return self.put(base64.b64decode(DATA_URL.sub("", text, count=1), validate=True)) if text else text
        except ValueError:  # binascii.Error, or what is not ASCII
            return text  # whoever reads it says what is wrong with it

    def _restore(self, text: str) -> str:
        return base64.b64encode(self.get(text)).decode() if NAME.fullmatch(text) else text


def _gone() -> NotFound:
    return NotFound("A picture of this job is no longer kept.", "", "Choose the picture again and send the job anew.")


def _changed(values: Any, change: Callable[[str], str], picture: bool = False) -> Any:
    if isinstance(values, Mapping):
        return {name: _changed(value, change, name in PICTURE_KEYS) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_changed(value, change, picture) for value in values]
    return change(values) if picture and isinstance(values, str) else values
