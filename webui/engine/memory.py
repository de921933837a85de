"""How much memory a job will need, roughly, and what there is. Estimates are for hints, never for refusing a job."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GIBIBYTE = 1 << 30
# Bytes per unit, fitted to measured peaks of an SD 1.5 checkpoint in bfloat16 and rounded up.
NETWORK_BYTES_PER_TOKEN = 60_000  # a latent position of one row of the batch
DECODER_BYTES_PER_PIXEL = 1_700  # float32, the whole picture at once
WHOLE_PIXELS = 1024 * 1024  # larger pictures are decoded in parts, see session.LARGE_TILE
PICTURE_BYTES_PER_PIXEL = 30  # of what is kept whole then
IMPORTS = 400 << 20


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak needs in bytes. The two working peaks do not come at the same time."""

    weights: int
    sampling: int
    decoding: int

    @property
    def peak(self) -> int:
        """Bytes at the worst moment, libraries included."""
        return IMPORTS + self.weights + max(self.sampling, self.decoding)


def estimate(weight_bytes: int, tokens: int, pixels: int, rows: int) -> MemoryEstimate:
    """Args: `weight_bytes` of the checkpoint as kept; `tokens` latent positions and `pixels` of one picture;
    `rows` of the network's batch (pictures computed together, twice with a negative prompt)."""
    decoding = min(pixels, WHOLE_PIXELS) * DECODER_BYTES_PER_PIXEL + pixels * PICTURE_BYTES_PER_PIXEL
    return MemoryEstimate(weight_bytes, tokens * rows * NETWORK_BYTES_PER_TOKEN, decoding)


def available_memory() -> int | None:
    """Bytes that this machine could still give to a process, or None where that cannot be known."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def resident_memory() -> int:
    """Bytes that this process keeps in memory now; 0 where that cannot be known."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def graphics_memory(device: torch.device) -> dict[str, dict[str, int]]:
    """The memory of a CUDA device in bytes, under the names of A1111's /sdapi/v1/memory; empty for other devices."""
    if device.type != "cuda":
        return {}
    import torch

    free, total = torch.cuda.mem_get_info(device)
    stats = torch.cuda.memory_stats(device)

    def kind(name: str) -> dict[str, int]:
        return {when: int(stats.get(f"{name}_bytes.all.{when}", 0)) for when in ("current", "peak")}

    return {
        "system": {"free": free, "used": total - free, "total": total},
        "active": kind("active"),
        "allocated": kind("allocated"),
        "reserved": kind("reserved"),
        "inactive": kind("inactive_split"),
        "events": {"retries": int(stats.get("num_alloc_retries", 0)), "oom": int(stats.get("num_ooms", 0))},
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed, on any device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text.lower())


def release() -> None:
    """Give back what nobody refers to any more, on the host and on the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
