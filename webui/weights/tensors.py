"""What is known of a model file before any tensor is read. No torch in here: a catalogue needs none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAXIMUM_TENSORS = 100_000

# Bytes an element takes, by the type names of the safetensors format.
DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
FLOAT_DTYPES = frozenset({"F8_E4M3", "F8_E5M2", "F16", "BF16", "F32", "F64"})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape and type (a name of `DTYPE_BYTES`) of one stored tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory when stored as it is."""
        return self.count * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor's bytes lie: `length` bytes at `offset` of `path`.

    `strides` (in elements) is None for the ordinary row-major order. In a compressed zip member `packed` bytes at
    `offset` become `size`, of which the tensor takes `length` from `inner` on. `more` are places of equal length whose
    tensors follow below this one.
    """

    path: Path
    offset: int
    length: int
    strides: tuple[int, ...] | None = None
    packed: int = 0
    size: int = 0
    inner: int = 0
    more: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Header:
    """Names, shapes and types of a file's tensors. `container` is "safetensors", "torch zip", "torch legacy" or
    "diffusers"; a folder's tensor names start with their component, as in "unet/conv_in.weight"."""

    path: Path
    container: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict, repr=False, compare=False)

    def shapes(self, prefix: str = "") -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors whose names start with `prefix`, which is cut off."""
        return {name[len(prefix) :]: info.shape for name, info in self.tensors.items() if name.startswith(prefix)}

    def with_prefix(self, prefix: str) -> list[str]:
        """Full names that start with `prefix`."""
        return [name for name in self.tensors if name.startswith(prefix)]
