"""How the C library treats memory that tensors give back.

By default glibc returns every large block to the kernel at once, and the next tensor pays for fresh pages: about a
quarter of a second for each gigabyte, several times over in one decoded picture. Keeping freed blocks for the next
tensor saves that. Other systems and C libraries are left alone.
What is needed at once and for long comes in large pages, which cost a fraction of that (`room_like`).
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache

import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
LARGEST = 2**31 - 1
ALIGNMENT = 4096  # bytes, of tensors that share a block
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


def room_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Uninitialised tensors of the types, shapes and layouts of others.

    Those on a CPU lie in one block, which goes back to the system with the last of them.
    """
    own = {name: tensor for name, tensor in tensors.items() if tensor.device.type == "cpu"}
    sizes = {name: -(-tensor.numel() * tensor.itemsize // ALIGNMENT) * ALIGNMENT for name, tensor in own.items()}
    block = _block(sum(sizes.values()))
    found, place = {}, 0
    for name, tensor in tensors.items():
        if name not in own:
            found[name] = torch.empty_like(tensor)
            continue
        layout = torch.empty_like(tensor, device="meta").stride()
        flat = block[place : place + tensor.numel() * tensor.itemsize].view(tensor.dtype)
        found[name] = flat.as_strided(tensor.shape, layout)
        place += sizes[name]
    return found


def _block(size: int) -> Tensor:
    """Bytes, in large pages where the system has them."""
    if not size or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(size, dtype=torch.uint8)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes could not be had: {error.strerror}") from error
    with suppress(OSError):  # a kernel without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)


@cache
def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


__all__ = ["freed_memory_kept", "give_memory_back", "keep_freed_memory", "room_like"]
