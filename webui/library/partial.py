"""A file on its way: what has arrived lies in a hidden `.part` file, with a note of what it is a part of.

Both are named by what was asked for, so that asking again goes on where the line broke, also after a restart. Only one
process at a time works on them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from webui.errors import FileError, InvalidRequest
from webui.settings import write_atomically

RESERVE = 256 << 20  # bytes of the disk that are left free
LOOK_EVERY = 64 << 20  # bytes between two looks at the disk
BLOCK = 1 << 20


class Partial:
    """What has arrived of one file. A context manager: inside, nobody else works on it.

    Raises InvalidRequest when somebody else does, FileError when the disk is full or cannot be written.
    """

    def __init__(self, folder: Path, asked: str):
        key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self.path = folder / f".download-{key}.part"
        self._note = folder / f".download-{key}.json"
        self._lock_path = folder / f".download-{key}.lock"
        self.validator = ""  # the server's name for these bytes (a strong ETag or a date)
        self.name = ""  # of the file, as the server said
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._next_look = 0

    def __enter__(self) -> Partial:
        from filelock import FileLock, Timeout

        self._guarded(lambda: self.path.parent.mkdir(parents=True, exist_ok=True))
        self._lock = FileLock(self._lock_path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InvalidRequest("This file is being fetched already.", "", "Wait until it is there.") from None
        except OSError as error:
            raise self._problem(error) from None
        self._read_note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._lock.release()
        if not self.path.exists():
            self._lock_path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Of what has arrived, in hexadecimal digits."""
        return self._digest.hexdigest()

    def begin(self, validator: str, name: str) -> None:
        """Make ready for bytes, behind those that are there."""

        def opened() -> None:
            self._file = self.path.open("ab")
            write_atomically(self._note, json.dumps({"validator": validator, "name": name}).encode())

        self._close()
        self._guarded(opened)
        self.validator, self.name = validator, name

    def write(self, data: bytes) -> None:
        """Add bytes."""
        file = self._file
        assert file is not None
        if self.size >= self._next_look:
            self.check_space(len(data))
            self._next_look = self.size + LOOK_EVERY
        self._guarded(lambda: file.write(data))
        self._digest.update(data)
        self.size += len(data)

    def finish(self) -> None:
        """Everything is there: have the disk keep it."""
        file = self._file
        if file is not None:
            self._guarded(file.flush)
            self._guarded(lambda: os.fsync(file.fileno()))
        self._close()

    def forget(self) -> None:
        """Throw away what has arrived."""
        self._close()
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.size, self.validator, self._digest = 0, "", hashlib.sha256()

    def check_space(self, wanted: int) -> None:
        """Raise FileError where `wanted` bytes more do not fit on the disk."""
        free = shutil.disk_usage(self.path.parent).free
        if free < wanted + RESERVE:
            raise FileError(
                f"The disk has {free / 2**30:.1f} GB free.",
                f"{max(wanted, BLOCK) / 2**30:.1f} GB are still to come, and a little must stay free.",
                "Free some space and ask again: what has arrived is kept.",
            )

    def _read_note(self) -> None:
        """What an earlier try left behind; hashed again, for its bytes count for the checksum."""
        try:
            note: Any = json.loads(self._note.read_text("utf-8"))
            self.validator, self.name = str(note["validator"]), str(note["name"])
            with self.path.open("rb") as file:
                while block := file.read(BLOCK):
                    self._digest.update(block)
                    self.size += len(block)
        except (OSError, ValueError, KeyError, TypeError):
            self.forget()
        if not self.validator:  # without a name for the bytes nobody can say whether more of them belong to these
            self.forget()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._guarded(file.close)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            raise self._problem(error) from None

    def _problem(self, error: OSError) -> FileError:
        remedy = ""
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            remedy = "Free some space and ask again: what has arrived is kept."
        return FileError(f"{self.path.parent} cannot be written: {error.strerror or error}.", "", remedy)
