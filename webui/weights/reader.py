"""Tensors of a model file, mapped into memory: nothing is copied until somebody writes or casts."""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from webui.errors import DamagedFile
from webui.weights.header import Header, Place, TensorInfo, read_header
from webui.weights.zip_file import inflate

TORCH_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
}


class Weights:
    """An open model file. `tensor(name)` is a view of the mapped file, valid after `close` as well.

    The map is private: writing into a tensor copies its page and never changes the file.
    """

    def __init__(self, header: Header):
        self.header = header
        self._maps: dict[Path, mmap.mmap] = {}

    def __enter__(self) -> Weights:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; tensors that were taken keep their part of it."""
        self._maps.clear()

    def __contains__(self, name: str) -> bool:
        return name in self.header.tensors

    def tensor(self, name: str) -> Tensor:
        """One tensor as stored. Raises KeyError for an unknown name, DamagedFile when the file has shrunk."""
        info, place = self.header.tensors[name], self.header.places[name]
        if not place.more:
            return self._part(info, place)
        places = (place, *place.more)
        part = TensorInfo((info.shape[0] // len(places), *info.shape[1:]), info.dtype)
        return torch.cat([self._part(part, p) for p in places])

    def tensors(self, prefix: str = "") -> dict[str, Stored]:
        """Thunks by name (prefix cut off), for `assign.fill`."""
        return {name[len(prefix) :]: Stored(self, name) for name in self.header.with_prefix(prefix)}

    def release(self, name: str) -> None:
        """Give back the memory of a mapped tensor that has been copied; the file still has it."""
        for place in (self.header.places[name], *self.header.places[name].more):
            data = self._maps.get(place.path)
            start = -(-place.offset // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages only, neighbours may be in use
            length = (place.offset + place.length - start) // mmap.PAGESIZE * mmap.PAGESIZE
            if data is not None and length > 0 and hasattr(mmap, "MADV_DONTNEED"):
                data.madvise(mmap.MADV_DONTNEED, start, length)

    def release_all(self) -> None:
        """Give back the memory of everything that is mapped. What was written into a tensor is lost.

        `release` leaves parts of neighbours behind where the system maps files in large pieces.
        """
        for data in self._maps.values():
            if hasattr(mmap, "MADV_DONTNEED"):
                data.madvise(mmap.MADV_DONTNEED)

    def _part(self, info: TensorInfo, place: Place) -> Tensor:
        dtype = TORCH_DTYPES[info.dtype]
        if info.count == 0:
            return torch.empty(info.shape, dtype=dtype)
        if place.packed:
            flat = self._unpacked(place, dtype)
        else:
            flat = self._mapped(place, dtype)
        return flat.view(info.shape) if place.strides is None else flat.as_strided(info.shape, place.strides)

    def _mapped(self, place: Place, dtype: torch.dtype) -> Tensor:
        data = self._maps.get(place.path)
        if data is None:
            try:
                with place.path.open("rb") as file:
                    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError) as error:
                raise DamagedFile(f"{place.path.name} can no longer be read ({error}).") from None
            self._maps[place.path] = data
        if place.offset + place.length > len(data):
            raise DamagedFile(f"{place.path.name} has become shorter since it was listed.", "", "Fetch it again.")
        if place.offset % dtype.itemsize:  # an odd header length: kernels want aligned elements
            return torch.frombuffer(
                bytearray(memoryview(data)[place.offset : place.offset + place.length]), dtype=dtype
            )
        return torch.frombuffer(data, dtype=dtype, count=place.length // dtype.itemsize, offset=place.offset)

    def _unpacked(self, place: Place, dtype: torch.dtype) -> Tensor:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            data = bytearray(inflate(place.path, file.read(place.packed), place.size))
        return torch.frombuffer(data, dtype=dtype, count=place.length // dtype.itemsize, offset=place.inner)


class Stored:
    """A tensor not read yet: calling it reads it."""

    __slots__ = ("name", "weights")

    def __init__(self, weights: Weights, name: str):
        self.weights, self.name = weights, name

    def __call__(self) -> Tensor:
        return self.weights.tensor(self.name)

    def release(self) -> None:
        """Give its memory back after copying."""
        self.weights.release(self.name)


def open_weights(source: str | Path | Header) -> Weights:
    """Open a model file, a diffusers folder or an already read (possibly renamed) header.

    Raises what `read_header` raises. Use it as a context manager or call `close`.
    """
    return Weights(source if isinstance(source, Header) else read_header(source))


__all__ = ["TORCH_DTYPES", "Stored", "Weights", "open_weights"]
