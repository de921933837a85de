"""The names that a torch pickle may use, and the plain values that stand for them.

The list is what checkpoints in circulation use; everything else is refused. Nothing here imports or calls what a name
means: a tensor becomes a `StoredTensor`, a trainer's callback an `Inert` object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from webui.weights.pickle_machine import Builder, Inert, check_key
from webui.weights.tensors import DTYPE_BYTES

STORAGE_TYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "UntypedStorage": "U8",
}
DTYPE_NAMES = {
    "float64": "F64",
    "double": "F64",
    "float32": "F32",
    "float": "F32",
    "float16": "F16",
    "half": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "long": "I64",
    "int32": "I32",
    "int": "I32",
    "int16": "I16",
    "short": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements that tensors look into; `count` in elements of `dtype` ("bytes" when untyped)."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor's view of a storage; `offset` and `strides` in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TypeName:
    """A storage class or a dtype, as a value in a pickle."""

    dtype: str


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    return _checked(StoredTensor(storage, storage.dtype, offset, shape, strides))


def _typed_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any, dtype: Any, *_: Any
) -> StoredTensor:
    if not isinstance(storage, Storage) or not isinstance(dtype, TypeName):
        raise ValueError("a tensor without a storage or type")
    width, bytes_ = DTYPE_BYTES[dtype.dtype], storage.count * DTYPE_BYTES[storage.dtype]
    return _checked(StoredTensor(replace(storage, count=bytes_ // width), dtype.dtype, offset, shape, strides))


def _checked(tensor: StoredTensor) -> StoredTensor:
    """Refuse a view that leaves its storage, or that repeats elements (a small file, a huge tensor)."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    numbers = (*shape, *strides, offset) if isinstance(shape, tuple) and isinstance(strides, tuple) else (-1,)
    if len(shape) != len(strides) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        raise ValueError("shape or strides are not natural numbers")
    if math.prod(shape) == 0:
        return tensor
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if last >= tensor.storage.count or math.prod(shape) > tensor.storage.count:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage of {tensor.storage.count}")
    return tensor


def _ordered(*arguments: Any) -> dict[Any, Any]:
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list | tuple):
        raise ValueError("an OrderedDict of something that is not pairs")
    return {check_key(key): value for key, value in pairs}


def _first(value: Any, *_: Any) -> Any:
    return value


def _encode(text: Any, encoding: Any = "latin-1", *_: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise ValueError("an unknown encoding")
    return text.encode(encoding, "replace")


def _inert(name: str) -> Builder:
    return Builder(name, lambda *arguments, **_: Inert(name))


NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Builder("OrderedDict", _ordered),
    ("typing", "OrderedDict"): Builder("OrderedDict", _ordered),
    ("torch._utils", "_rebuild_tensor"): Builder("tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Builder("tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Builder("tensor", _typed_tensor),
    ("torch._utils", "_rebuild_parameter"): Builder("parameter", _first),
    ("torch.nn.parameter", "Parameter"): Builder("parameter", _first),
    ("torch", "Size"): Builder("Size", lambda values=(), *_: tuple(values)),
    ("torch", "device"): Builder("device", lambda *_: Inert("torch.device")),
    ("torch.nn.modules.container", "ParameterDict"): _inert("ParameterDict"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _inert("numpy tensor"),
    ("_codecs", "encode"): Builder("encode", _encode),
    ("numpy", "dtype"): _inert("numpy.dtype"),
    ("numpy", "ndarray"): _inert("numpy.ndarray"),
    ("numpy.core.multiarray", "scalar"): _inert("numpy.scalar"),
    ("numpy.core.multiarray", "_reconstruct"): _inert("numpy.ndarray"),
    ("numpy._core.multiarray", "scalar"): _inert("numpy.scalar"),
    ("numpy._core.multiarray", "_reconstruct"): _inert("numpy.ndarray"),
    ("builtins", "set"): Builder("set", lambda values=(), *_: list(values)),
    ("__builtin__", "set"): Builder("set", lambda values=(), *_: list(values)),
    **{("torch", name): TypeName(dtype) for name, dtype in STORAGE_TYPES.items()},
    **{("torch.storage", name): TypeName(dtype) for name, dtype in STORAGE_TYPES.items()},
    **{("torch", name): TypeName(dtype) for name, dtype in DTYPE_NAMES.items()},
}


def find_name(module: str, name: str) -> Any:
    """The harmless stand-in of a global name, or None when it isn't allowed."""
    if module == "pytorch_lightning" or module.startswith(("pytorch_lightning.", "lightning.pytorch.")):
        return _inert(f"{module}.{name}")  # callbacks and settings that trainers left in the original checkpoints
    return NAMES.get((module, name))


def find_storage(identifier: Any) -> Storage:
    """The storage that torch's persistent id means. Raises ValueError for any other kind of id."""
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
        raise ValueError("an unknown kind of persistent object")
    kind, key, count = identifier[1], identifier[2], identifier[4]
    if len(identifier) > 5 and identifier[5] is not None:
        raise ValueError("a storage that is a view of another one")
    if not isinstance(kind, TypeName) or not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 62:
        raise ValueError("a storage without type, key or size")
    return Storage(key, kind.dtype, count)
