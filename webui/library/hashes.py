"""The hashes by which files are known: of the whole file, of its data alone, and A1111's oldest one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from webui.errors import Cancelled, FileError
from webui.library.files import weight_files

BLOCK = 1 << 22
OLD_PLACE, OLD_LENGTH, OLD_DIGITS = 0x100000, 0x10000, 8  # A1111 hashed 64 KB at 1 MB, and kept eight digits
DATA_SUFFIXES = (".safetensors", ".sft")


@dataclass(frozen=True)
class Hashes:
    """SHA-256 in hexadecimal, and A1111's oldest hash.

    `data` leaves out the header of a safetensors file, so that a LoRA stays the same whatever was noted in it (kohya's
    and A1111's "addnet" hash); for other files it is that of the whole file.
    """

    whole: str
    data: str
    old: str


def hash_file(path: Path, on_block: Callable[[int], bool] = lambda size: True) -> Hashes:
    """The hashes of a file or of a diffusers folder's files, in one reading.

    `on_block(bytes)` is called after each block and stops the reading by returning False (raises Cancelled). Raises
    FileError for a file that cannot be read.
    """
    whole, data, old = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    separate = path.suffix.lower() in DATA_SUFFIXES
    try:
        for file in weight_files(path):
            with file.open("rb") as stream:
                stream.seek(OLD_PLACE)
                old.update(stream.read(OLD_LENGTH))
                stream.seek(0)
                if separate:
                    whole.update(start := stream.read(8))
                    _skip(stream.read, int.from_bytes(start, "little"), whole.update)
                while block := stream.read(BLOCK):
                    whole.update(block)
                    if separate:
                        data.update(block)
                    if not on_block(len(block)):
                        raise Cancelled(f"{path.name} was not hashed to its end.")
    except OSError as error:
        raise FileError(
            f"{path.name} cannot be read: {error.strerror}.", "Check that the file is still there."
        ) from error
    digest = whole.hexdigest()
    return Hashes(digest, data.hexdigest() if separate else digest, old.hexdigest()[:OLD_DIGITS])


def _skip(read: Callable[[int], bytes], length: int, update: Callable[[bytes], None]) -> None:
    while length > 0 and (block := read(min(length, BLOCK))):
        update(block)
        length -= len(block)
