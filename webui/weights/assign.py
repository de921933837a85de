"""Putting stored tensors into a network that was built on the `meta` device.

A tensor that needs no change is assigned as it is mapped. Others are cast one by one, and the file's pages are given
back after each, so that two copies of the weights never exist together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from webui.errors import DamagedFile

NAMES_SHOWN = 5


@runtime_checkable
class Releasable(Protocol):
    """A thunk that can give the memory behind its tensor back, once the tensor was copied."""

    def release(self) -> None:
        """Forget the mapped pages."""


class _Uninitialised(TorchFunctionMode):
    """Skips random initialisation: on `meta` it does nothing, but loads torch's compiler to do it."""

    SKIPPED = frozenset(
        {"normal_", "uniform_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "trunc_normal_"}
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.SKIPPED:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks built inside have names, shapes and types, but neither memory nor initial values."""
    with torch.device("meta"), _Uninitialised():
        yield


@dataclass(frozen=True)
class Unused:
    """Names that the file has and the network has no place for; shown to the user, never dropped silently."""

    names: tuple[str, ...]


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor | Callable[[], Tensor]],
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    convert: Callable[[Tensor], Tensor] | None = None,
    defaults: Mapping[str, Tensor] | None = None,
    source: str = "the file",
) -> Unused:
    """Give every parameter and buffer of `module` its tensor, in place of the `meta` ones.

    Args: `tensors` by the module's names, as tensors or thunks; `dtype` for all floating-point values (None: as
    stored); `convert` decides type, device and memory layout of each tensor instead of `dtype` and `device`;
    `defaults` for names that some files lack; `source` is named in errors.

    8-bit files with a scale beside each weight (`scale_weight`) are multiplied out. `position_ids`, which merges
    damage, are ignored or counted anew. Raises DamagedFile when tensors are missing or have the wrong shape.
    """
    change = convert or (lambda t: t.to(device, dtype if t.is_floating_point() else None))
    targets = _targets(module)
    extra = dict(defaults or {})
    missing = [n for n in targets if n not in tensors and n not in extra and not n.endswith("position_ids")]
    if missing:
        raise DamagedFile(
            f"{source} lacks {len(missing)} tensors: {_some(missing)}.",
            f"{type(module).__name__} has {len(targets)}.",
            "The file may be cut or be meant for another program.",
        )
    for name, (owner, leaf, wanted) in targets.items():
        if name.endswith("position_ids"):
            _assign(owner, leaf, torch.arange(wanted.numel()).view(wanted.shape).to(device))
            continue
        found = tensors.get(name, extra.get(name))
        stored = _read(name, found, wanted, source)
        tensor = change(_scaled(name, stored, tensors))
        if isinstance(found, Releasable) and tensor.data_ptr() != stored.data_ptr():
            found.release()
        _assign(owner, leaf, tensor)
    return Unused(tuple(name for name in tensors if name not in targets and not _expected(name)))


def _scaled(name: str, tensor: Tensor, tensors: Mapping[str, Tensor | Callable[[], Tensor]]) -> Tensor:
    """The tensor times the scale that some 8-bit files keep beside it."""
    scale = tensors.get(name.removesuffix("weight") + "scale_weight") if name.endswith(".weight") else None
    if scale is None:
        return tensor
    return tensor.float() * (scale if isinstance(scale, Tensor) else scale()).float()


def _expected(name: str) -> bool:
    return name.endswith(("position_ids", "scale_weight", "scale_input")) or name == "scaled_fp8"


def _targets(module: nn.Module) -> dict[str, tuple[nn.Module, str, Tensor]]:
    """(owner, attribute, meta tensor) by full name."""
    result = {}
    for prefix, owner in module.named_modules():
        for leaf, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is not None:
                result[f"{prefix}.{leaf}" if prefix else leaf] = (owner, leaf, tensor)
    return result


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _read(name: str, found: Tensor | Callable[[], Tensor] | None, wanted: Tensor, source: str) -> Tensor:
    """The tensor, with trailing dimensions of one added or removed as the network wants them."""
    tensor = found if isinstance(found, Tensor) else found() if found is not None else wanted
    if tensor.shape != wanted.shape:
        if tensor.numel() != wanted.numel() or _core(tensor.shape) != _core(wanted.shape):
            raise DamagedFile(
                f"{source}: {name} has the shape {tuple(tensor.shape)}.", f"{tuple(wanted.shape)} was wanted."
            )
        tensor = tensor.reshape(wanted.shape)
    return tensor


def _core(shape: torch.Size) -> list[int]:
    sizes = list(shape)
    while sizes and sizes[-1] == 1:
        sizes.pop()
    return sizes


def _assign(owner: nn.Module, leaf: str, tensor: Tensor) -> None:
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor
