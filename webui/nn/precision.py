"""The number type and memory layout in which a network runs best on a device."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from webui.errors import SettingsError

Network = TypeVar("Network", bound=nn.Module)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def cpu_has_fast_bfloat16() -> bool:
    """True on processors that multiply bfloat16 in hardware (AVX512-BF16, AMX, Arm's BF16)."""
    facts = torch.cpu.get_capabilities()
    return any(facts.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def best_dtype(device: torch.device | str, requested: str = "auto") -> torch.dtype:
    """The type to compute in: "auto", "float32", "bfloat16" or "float16" as far as the device is good at it.

    CPUs get bfloat16 where they have instructions for it, else float32. They never get float16, for which they have no
    fast kernels (a thousand times slower); a request for it is read as "half precision". GPUs get float16 unless told.
    Raises SettingsError for an unknown name.
    """
    if requested != "auto" and requested not in PRECISIONS:
        raise SettingsError(f"There is no precision named {requested!r}.", f"Known: auto, {', '.join(PRECISIONS)}.")
    device = torch.device(device)
    if requested == "float32":
        return torch.float32
    if device.type == "cpu":
        return torch.bfloat16 if requested == "bfloat16" or cpu_has_fast_bfloat16() else torch.float32
    if requested == "auto":
        return torch.float16
    return PRECISIONS[requested]


def placed(
    tensor: Tensor, device: torch.device | str, dtype: torch.dtype, storage: torch.dtype | None = None
) -> Tensor:
    """One weight where and how it runs best, with at most one copy.

    Vectors (biases, norms) take `dtype`; matrices and kernels take `storage` where given, and are cast at use.
    Kernels [O, I, H, W] are laid out channels last.
    """
    if not tensor.is_floating_point():
        return tensor.to(device)
    wanted = storage if storage is not None and tensor.ndim >= 2 else dtype
    if tensor.ndim == 4:
        return tensor.to(device, wanted, memory_format=torch.channels_last)
    return tensor.to(device, wanted)


def place(
    network: Network, device: torch.device | str, dtype: torch.dtype, storage: torch.dtype | None = None
) -> Network:
    """Put every weight of `network` in its best place, one at a time, so that no second copy of the whole exists.

    `storage` keeps matrices in a smaller type (float8, float16) than they compute in.
    """
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                moved = placed(parameter.data, device, dtype, storage)
                module._parameters[name] = nn.Parameter(moved, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = placed(buffer, device, dtype, storage)
    if hasattr(network, "compute_dtype"):
        network.compute_dtype = dtype  # type: ignore[assignment]
    return network.eval()


__all__ = ["PRECISIONS", "best_dtype", "place", "placed"]
