"""Giving finished files their names: a file appears whole or not at all, and never over another one."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def publish(temporary: Path, path: Path) -> bool:
    """Give a finished file of the same file system its name; False where the name is taken. Raises OSError.

    `temporary` may be left behind: whoever made it removes it.
    """
    try:
        path.hardlink_to(temporary)  # fails where the name is taken, which a rename does not
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: claim the name first, then replace the claim
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        temporary.replace(path)
    return True


def sync_folder(folder: Path) -> None:
    """Make a new name itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no folders to sync
            raise
    finally:
        os.close(handle)
