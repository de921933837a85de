"""Torch checkpoints (`.ckpt .pt .pth .bin`), zip and legacy: their tensors' names and places, nothing executed.

Formats: torch's zip serialisation (a pickle and one member a storage) and the older stream of five pickles and raw
storages. The names that a pickle may use are in `pickle_names`; what runs them in `pickle_machine`.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from webui.errors import DamagedFile, UnsafeFile
from webui.weights.pickle_machine import Builder, Inert, Machine
from webui.weights.pickle_names import Storage, StoredTensor, find_name, find_storage
from webui.weights.tensors import DTYPE_BYTES, MAXIMUM_TENSORS, Header, Place, TensorInfo
from webui.weights.zip_file import DEFLATED, Member, read_member, read_members

MAXIMUM_PICKLE = 64 << 20
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params-ema", "params", "model", "module")
PASSENGERS = frozenset({"optimizer_states", "optimizer", "lr_schedulers", "callbacks", "loops", "hparams_name"})
MAXIMUM_DEPTH = 4
BARE = "tensor"  # name of the tensor of a file that holds one and nothing else


def read_zip(path: Path) -> Header:
    """Header of a torch zip archive."""
    members = read_members(path)
    if "byteorder" in members and read_member(path, members["byteorder"], 64) != b"little":
        raise DamagedFile(f"{path.name} was written on a big-endian machine.", "Little-endian bytes are read.")
    data = read_member(path, members["data.pkl"], MAXIMUM_PICKLE)
    top = Machine(data, path.name, find_name, find_storage).run()
    return _header(path, "torch zip", top, lambda tensor: _place_in_zip(path, members, tensor))


def read_legacy(path: Path) -> Header:
    """Header of a torch checkpoint from before 1.6."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    top, positions = _legacy_parts(path, memoryview(data))
    return _header(path, "torch legacy", top, lambda tensor: _place_in_stream(path, positions, tensor))


def _legacy_parts(path: Path, view: memoryview) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The pickled object, and offset and element count of each storage."""
    storages: dict[str, Storage] = {}

    def storage(identifier: Any) -> Storage | Builder:
        # Classes of modules came with their source; what is used of one is what the table of names has for it.
        if isinstance(identifier, tuple) and identifier[:1] == ("module",) and isinstance(identifier[1], Builder):
            return identifier[1]
        found = find_storage(identifier)
        return storages.setdefault(found.key, found)

    def part(position: int) -> tuple[Any, int]:
        machine = Machine(view, path.name, find_name, storage, position)
        return machine.run(), machine.end

    magic, position = part(0)
    if magic != LEGACY_MAGIC:
        raise UnsafeFile(f"{path.name} is a bare pickle.", "A torch checkpoint or a safetensors file was wanted.")
    _, position = part(position)
    system, position = part(position)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise DamagedFile(f"{path.name} was written on a big-endian machine.", "Little-endian bytes are read.")
    top, position = part(position)
    keys, position = part(position)
    positions: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in storages or position + 8 > len(view):
            raise _damaged(path, "its list of storages does not match its tensors")
        (count,) = struct.unpack("<q", view[position : position + 8])
        positions[key] = (position + 8, count)
        position += 8 + count * DTYPE_BYTES[storages[key].dtype]
        if count != storages[key].count or position > len(view):
            raise _damaged(path, f"storage {key} is cut off")
    return top, positions


def _damaged(path: Path, why: str) -> DamagedFile:
    return DamagedFile(f"{path.name} is damaged: {why}.", "", "The download may be incomplete; fetch it again.")


def _header(path: Path, container: str, top: Any, place: Callable[[StoredTensor], Place]) -> Header:
    if isinstance(top, StoredTensor):
        top = {BARE: top}
    if not isinstance(top, dict | list):
        raise DamagedFile(
            f"{path.name} holds a {type(top).__name__}.",
            "A dictionary of tensors was wanted.",
            "It may be a whole program.",
        )
    tensors: dict[str, TensorInfo] = {}
    places: dict[str, Place] = {}
    for name, tensor in _walk(path, _unwrap(top) if isinstance(top, dict) else top):
        if len(tensors) >= MAXIMUM_TENSORS or name in tensors:
            raise UnsafeFile(f"{path.name} holds {name!r:.100} twice, or over {MAXIMUM_TENSORS} tensors.")
        tensors[name] = TensorInfo(tensor.shape, tensor.dtype)
        places[name] = place(tensor)
    return Header(path, container, tensors, _metadata(top) if isinstance(top, dict) else {}, places)


def _unwrap(top: dict[Any, Any]) -> dict[Any, Any]:
    """The dictionary of weights inside the usual wrappers."""
    for key in WRAPPERS:
        inner = top.get(key)
        if isinstance(inner, dict) and any(isinstance(v, StoredTensor) for v in inner.values()):
            return inner
    return top


def _walk(path: Path, value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, StoredTensor]]:
    """Tensors by dotted name, through nested dictionaries and lists down to a small depth."""
    pending: list[tuple[str, Any, int]] = [(prefix, value, depth)]
    visited = 0
    while pending:
        prefix, value, depth = pending.pop()
        visited += 1
        if visited > 4 * MAXIMUM_TENSORS:
            raise UnsafeFile(f"{path.name} holds more values than any checkpoint needs.")
        if isinstance(value, StoredTensor):
            yield prefix, value
            continue
        if isinstance(value, Inert) and value.name == "ParameterDict" and isinstance(value.state, dict):
            value = value.state.get("_parameters")
        if depth >= MAXIMUM_DEPTH or not isinstance(value, dict | list | tuple):
            continue
        items = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [
            (f"{prefix}.{key}" if prefix else str(key), entry, depth + 1)
            for key, entry in items
            if isinstance(key, str | int)
            and isinstance(entry, StoredTensor | dict | list | tuple | Inert)
            and key not in PASSENGERS
        ]
        pending.extend(reversed(inner))
        visited += len(inner) // 2


def _metadata(top: dict[Any, Any]) -> dict[str, str]:
    """Short plain values beside the tensors, such as `global_step` or an embedding's `name`."""
    plain = {k: v for k, v in top.items() if isinstance(k, str) and isinstance(v, str | int | float)}
    return {key: text for key, value in list(plain.items())[:64] if len(text := str(value)) <= 4096}


def _place_in_zip(path: Path, members: dict[str, Member], tensor: StoredTensor) -> Place:
    member = members.get(f"data/{tensor.storage.key}")
    if member is None:
        raise _damaged(path, f"storage {tensor.storage.key!r:.40} is missing")
    place = _place(path, member.offset, member.size, tensor)
    if member.method == DEFLATED:
        return replace(place, offset=member.offset, packed=member.packed, size=member.size)
    return place


def _place_in_stream(path: Path, positions: dict[str, tuple[int, int]], tensor: StoredTensor) -> Place:
    if tensor.storage.key not in positions:
        raise _damaged(path, f"storage {tensor.storage.key!r:.40} is missing")
    offset, _ = positions[tensor.storage.key]
    return _place(path, offset, tensor.storage.count * DTYPE_BYTES[tensor.dtype], tensor)


def _place(path: Path, offset: int, size: int, tensor: StoredTensor) -> Place:
    width = DTYPE_BYTES[tensor.dtype]
    if tensor.storage.count * width > size:
        raise _damaged(path, f"storage {tensor.storage.key!r:.40} has {size} bytes, not {tensor.storage.count * width}")
    shape = tensor.shape
    row_major = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    ordinary = all(s == r or n == 1 for s, r, n in zip(tensor.strides, row_major, shape, strict=True))
    if math.prod(shape) == 0 or ordinary:
        length, strides = math.prod(shape) * width, None
    else:
        length = (1 + sum((n - 1) * s for n, s in zip(shape, tensor.strides, strict=True))) * width
        strides = tensor.strides
    inner = tensor.offset * width
    return Place(path, offset + inner, length, strides, inner=inner)
