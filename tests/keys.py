"""Published key lists as headers: names, shapes and types of real model files, no tensors."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from webui.weights.tensors import Header, TensorInfo

FOLDER = Path(__file__).parent / "data" / "keys"


@cache
def _rows(name: str) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    with gzip.open(FOLDER / f"{name}.tsv.gz", "rt") as file:
        lines = file.read().splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return tuple(
        (key, () if shape == "scalar" else tuple(map(int, shape.split("x"))), dtype) for key, shape, dtype in rows
    )


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes by tensor name of one list."""
    return {key: shape for key, shape, _ in _rows(name)}


def header_of(name: str, tensors: Mapping[str, TensorInfo] | None = None, **metadata: str) -> Header:
    """A header with the tensors of a list (or those given) and metadata."""
    if tensors is None:
        tensors = {key: TensorInfo(shape, dtype) for key, shape, dtype in _rows(name)}
    return Header(Path(f"{name}.safetensors"), "safetensors", tensors, metadata)


def all_lists() -> list[str]:
    """Names of the lists."""
    return sorted(path.name.removesuffix(".tsv.gz") for path in FOLDER.glob("*.tsv.gz"))
