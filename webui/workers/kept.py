"""Finished cells of scripts that did not come to their end, so that the same job goes on where it was.

A folder in the data folder for each such job, named by what it was asked for. It is removed when the job is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from webui.errors import FileError
from webui.settings import write_atomically
from webui.workers.locks import hold

KEEP_SECONDS = 7 * 86400.0
KEEP_JOBS = 20
MOST_AT_ONCE = 64  # workers with equal jobs
_FACTS = "facts.json"


class Kept:
    """The finished cells of one job. `key` is plain data that says what it was asked for; equal keys share cells.

    `number` is random, and the same each time that the job is taken up again: seeds are drawn from it. Where two
    workers run equal jobs at once, each has cells of its own. Raises FileError when the
    folder cannot be written.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]):
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()
        self.folder, self._lock = _own_folder(folder, digest[:32])
        try:
            self.number = int(json.loads((self.folder / _FACTS).read_text("utf-8"))["number"])
        except (OSError, ValueError, KeyError, TypeError):
            self.number = random.SystemRandom().randrange(2**63)
            self._write(_FACTS, {"number": self.number})
        with contextlib.suppress(OSError):
            os.utime(self.folder)
        _prune(folder, self.folder)

    def draw(self) -> random.Random:
        """A source of seeds that begins anew: the same ones each time."""
        return random.Random(self.number)

    def pictures(self, cell: int) -> list[dict[str, Any]] | None:
        """What `keep` was told about the cell's pictures; None while it is not finished. `path` is a file here."""
        try:
            told = json.loads((self.folder / f"{cell}.json").read_text("utf-8"))
            found = [{**one, "path": str(self.folder / one["file"])} for one in told]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found and all(Path(one["path"]).is_file() for one in found) else None

    def keep(self, cell: int, pictures: list[dict[str, Any]]) -> None:
        """Keep the finished pictures of a cell. Raises FileError when the disk does not take them."""
        told = []
        for number, picture in enumerate(pictures):
            source = Path(picture["path"])
            file = f"{cell}-{number}{source.suffix}"
            _copy(source, self.folder / file)
            told.append({**picture, "file": file, "original": str(source)})
        self._write(f"{cell}.json", told)

    def done(self) -> None:
        """The job is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let others use the folder: the job was complete, or is to be taken up again."""
        self._lock.close()

    def _write(self, name: str, value: Any) -> None:
        try:
            write_atomically(self.folder / name, json.dumps(value).encode())
        except OSError as error:
            raise FileError(f"{self.folder / name} cannot be written: {error.strerror}.") from None


def _own_folder(folder: Path, name: str) -> tuple[Path, IO[bytes]]:
    """The first folder of this name that no other worker uses, and what holds it as long as it is open."""
    try:
        for number in range(1, MOST_AT_ONCE + 1):
            own = folder / (name if number == 1 else f"{name}-{number}")
            if (lock := hold(own / "lock")) is not None:
                return own, lock
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror}.") from None
    raise FileError(f"{MOST_AT_ONCE} equal jobs run at once.", remedy="Try again when some of them are done.")


def _copy(source: Path, target: Path) -> None:
    """A second name for the file where the disk can do that, else a copy: finished pictures never change."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise FileError(f"{target} cannot be written: {error.strerror}.") from None


def _prune(folder: Path, own: Path) -> None:
    """Remove what is too old or too much."""
    with contextlib.suppress(OSError):
        others = sorted((p for p in folder.iterdir() if p != own), key=lambda p: p.stat().st_mtime, reverse=True)
        for index, path in enumerate(others):
            if index >= KEEP_JOBS or time.time() - path.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
