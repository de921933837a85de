"""How the C library treats memory that tensors give back.

By default glibc returns every large block to the kernel at once, and the next tensor pays for fresh pages: about a
quarter of a second for each gigabyte, several times over in one decoded picture. Keeping freed blocks for the next
tensor saves that. Other systems and C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
LARGEST = 2**31 - 1
USUAL_TRIM, USUAL_MMAP = 64 << 20, 32 << 20  # where glibc's own adaptive limits end up


def keep_freed_memory() -> bool:
    """Let this process reuse large freed blocks instead of returning them to the kernel. False where not possible.

    Call `give_memory_back` when a model was unloaded.
    """
    return _limits(1 << 30, LARGEST)


def give_memory_back() -> None:
    """Return all unused blocks to the kernel now."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block, freed memory is kept; afterwards the usual behaviour is back. For comparisons."""
    keep_freed_memory()
    try:
        yield
    finally:
        _limits(USUAL_MMAP, USUAL_TRIM)
        give_memory_back()


def _limits(mmap_threshold: int, trim_threshold: int) -> bool:
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(M_MMAP_THRESHOLD, mmap_threshold) and library.mallopt(M_TRIM_THRESHOLD, trim_threshold))


@cache
def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


__all__ = ["freed_memory_kept", "give_memory_back", "keep_freed_memory"]
