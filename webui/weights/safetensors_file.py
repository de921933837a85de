"""The safetensors container: a length, a JSON header, the tensors' bytes.

Format: u64 little-endian header length N, N bytes of JSON `{name: {dtype, shape, data_offsets: [begin, end]}}` with an
optional `__metadata__` of strings, then the data. Everything is checked against the file's size before use.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from webui.errors import DamagedFile, UnsafeFile
from webui.weights.tensors import DTYPE_BYTES, MAXIMUM_TENSORS, Header, Place, TensorInfo

MAXIMUM_HEADER = 16 << 20
MAXIMUM_BRACKETS = 1_000_000  # an honest header has two a tensor; more is a bomb of empty lists


def read_safetensors(path: Path) -> Header:
    """Header of a safetensors file. Raises DamagedFile or UnsafeFile."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAXIMUM_HEADER:
            raise UnsafeFile(f"The header of {path.name} claims {length} bytes.", f"At most {MAXIMUM_HEADER} are read.")
        if 8 + length > size:
            raise _damaged(path, f"the header claims {length} bytes and the file has {size}")
        text = file.read(length)
    entries = _parse(path, text)
    metadata = _metadata(path, entries.pop("__metadata__", {}))
    tensors: dict[str, TensorInfo] = {}
    places: dict[str, Place] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in entries.items():
        info, begin, end = _tensor(path, name, entry)
        tensors[name] = info
        places[name] = Place(path, 8 + length + begin, end - begin)
        spans.append((begin, end, name))
    _check_cover(path, sorted(spans), size - 8 - length)
    return Header(path, "safetensors", tensors, metadata, places)


def _damaged(path: Path, why: str) -> DamagedFile:
    return DamagedFile(f"{path.name} is damaged: {why}.", "", "The download may be incomplete; fetch it again.")


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    if text.count(b'"data_offsets"') > MAXIMUM_TENSORS or text.count(b"[") + text.count(b"{") > MAXIMUM_BRACKETS:
        raise UnsafeFile(f"{path.name} claims too many tensors.", f"At most {MAXIMUM_TENSORS} are read.")
    try:
        entries = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not valid JSON ({str(error)[:80]})") from None
    if not isinstance(entries, dict):
        raise _damaged(path, "its header is not an object")
    return entries


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its metadata are not strings")
    return metadata


def _tensor(path: Path, name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"the entry of {name!r} is not a tensor's")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise DamagedFile(f"{path.name} stores {name!r} as {dtype!r:.40}.", f"Known types: {', '.join(DTYPE_BYTES)}.")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > 16:
        raise _damaged(path, f"shape or offsets of {name!r} are not natural numbers")
    begin, end = offsets
    if math.prod(shape) * DTYPE_BYTES[dtype] != end - begin:
        raise _damaged(path, f"shape and offsets of {name!r} disagree")
    return TensorInfo(tuple(shape), dtype), begin, end


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _check_cover(path: Path, spans: list[tuple[int, int, str]], size: int) -> None:
    position = 0
    for begin, end, name in spans:
        if end > size:
            raise _damaged(path, f"{name!r} ends at byte {end} of {size}")
        if begin != position:
            raise _damaged(
                path, f"{name!r} {'overlaps its neighbour' if begin < position else 'leaves a gap before it'}"
            )
        position = end
    if position != size:
        raise _damaged(path, f"{size - position} bytes at its end belong to no tensor")
