"""Writing safetensors files: atomically, tensor by tensor, without a second copy in memory."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from webui.atomic import publish, sync_folder
from webui.errors import InvalidRequest
from webui.weights.reader import TORCH_DTYPES
from webui.weights.tensors import TensorInfo

DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
NO_HASH = "0x" + "0" * 64  # keeps the place of a hash that is known when the data are written


def save_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` to `path`; the file appears whole or not at all.

    Raises InvalidRequest for a type that the format does not know, OSError when the disk refuses.
    """
    infos = {name: info_of(tensor, name) for name, tensor in tensors.items()}
    write_safetensors(path, infos, tensors.__getitem__, metadata)


def write_safetensors(
    path: str | Path,
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    hash_key: str = "",
    replace: bool = True,
) -> None:
    """Write a file whose tensors are made one after the other: `read(name)` is called once for each, and its tensor let
    go of before the next one.

    `hash_key` names an entry of the metadata that gets the SHA-256 of all tensors' bytes, as modelspec has it ("0x"
    and 64 digits). Without `replace`, a name that is taken is an error. Raises InvalidRequest, OSError when the disk
    refuses, ValueError for a tensor that is not as `tensors` says, and what `read` raises; then no file appears.
    """
    path = Path(path)
    order = writing_order(tensors)
    notes = dict(metadata or {}) | ({hash_key: NO_HASH} if hash_key else {})
    digest = hashlib.sha256() if hash_key else None
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_header(file, tensors, order, notes)
            for name in order:
                data = _bytes(_checked(read(name), tensors[name], name))
                file.write(data)
                if digest is not None:
                    digest.update(data)
                del data
            if digest is not None:
                file.seek(0)
                _write_header(file, tensors, order, notes | {hash_key: f"0x{digest.hexdigest()}"})
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private
        if replace:
            temporary.replace(path)
        elif not publish(temporary, path):
            raise InvalidRequest(f"There is already a file named {path.name}.", "", "Choose another name.")
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def writing_order(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """Wide elements first, as the format's own library orders them, so that every tensor is aligned."""
    widths = {name: TORCH_DTYPES[info.dtype].itemsize for name, info in tensors.items()}
    return sorted(tensors, key=lambda name: (-widths[name], name))


def info_of(tensor: Tensor, name: str = "") -> TensorInfo:
    """Shape and type of a tensor. Raises InvalidRequest for a type that the format does not know."""
    if tensor.dtype not in DTYPE_NAMES:
        raise InvalidRequest(f"{name!r} has the type {tensor.dtype}.", "safetensors has no such type.")
    return TensorInfo(tuple(tensor.shape), DTYPE_NAMES[tensor.dtype])


def _write_header(
    file: IO[bytes], tensors: Mapping[str, TensorInfo], order: Iterable[str], metadata: Mapping[str, str]
) -> None:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name in order:
        info = tensors[name]
        offsets = [position, position + info.bytes]
        entries[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": offsets}
        position += info.bytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)))
    file.write(text)


def _checked(tensor: Tensor, info: TensorInfo, name: str) -> Tensor:
    if info_of(tensor, name) != info:
        raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; announced was {info}")
    return tensor


def _bytes(tensor: Tensor) -> Any:
    """The tensor's bytes as a buffer, without a copy where it lies in order."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""
