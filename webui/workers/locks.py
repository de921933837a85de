"""Files that one running program at a time may hold. The system lets go of them when the program ends in any way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[bytes] | None:
    """Hold a file until it is closed or the process ends; None when another holds it. It is made if need be.

    Raises OSError when it cannot be written.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        if not _locked(file):
            file.close()
            return None
        if _is_at(file, path):
            return file
        file.close()  # it was removed between opening and locking: what was locked is nobody's any more


def _locked(file: IO[bytes]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
