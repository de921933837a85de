"""Textual inversion (Gal et al. 2022): files that hold token vectors, one or more for each text encoder.

Read: A1111's `.pt`, diffusers' `.bin`, safetensors of either, XL's pairs `clip_l` and `clip_g`, and embeddings that
came bundled in a LoRA. What a file holds is told from its header; nothing here needs torch but `read_vectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from webui.adapters.roles import BUNDLED
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.weights.tensors import FLOAT_DTYPES, Header

if TYPE_CHECKING:
    from torch import Tensor

PAIR = ("clip_l", "clip_g")  # XL's two text encoders, in order
MOST_VECTORS = 75  # what a chunk of a prompt holds


def bundled_names(header: Header) -> tuple[str, ...]:
    """Names of the embeddings inside a LoRA file."""
    rest = (name.removeprefix(BUNDLED) for name in header.tensors if name.startswith(BUNDLED))
    return tuple(dict.fromkeys(name.partition(".")[0] for name in rest))


def vector_tensors(header: Header, encoders: int, width: int, bundle: str = "") -> tuple[str, ...]:
    """Names of the tensors that hold the vectors, one for each text encoder, whose widths are `width` together.

    Raises IncompatibleModel for vectors of other widths, UnknownModel for a file without vectors, DamagedFile for
    more vectors than a prompt can hold or encoders with unequal numbers of them.
    """
    found = _candidates(header, bundle)
    name = bundle or header.path.stem
    if not found:
        raise UnknownModel(f"The embedding {name} holds no vectors.", "Tensors [vectors, width] were wanted.")
    chosen = _chosen(found, encoders, width)
    if chosen is None:
        widths = " and ".join(map(str, sorted({shape[1] for shape in found.values()})))
        raise IncompatibleModel(
            f"The embedding {name} has vectors of width {widths}.",
            f"This checkpoint reads {width}{' in two encoders' if encoders > 1 else ''}.",
            "Choose an embedding made for this kind of checkpoint.",
        )
    counts = {found[tensor][0] for tensor in chosen}
    if len(counts) > 1 or not 0 < min(counts) <= MOST_VECTORS:
        raise DamagedFile(f"The embedding {name} has {sorted(counts)} vectors.", f"1 to {MOST_VECTORS} were wanted.")
    return chosen


def vector_count(header: Header, tensors: Sequence[str]) -> int:
    """How many places of a prompt the embedding takes."""
    shape = header.tensors[tensors[0]].shape
    return shape[0] if len(shape) > 1 else 1


def read_vectors(header: Header, tensors: Sequence[str]) -> tuple[Tensor, ...]:
    """The vectors [n, D] for each text encoder, in float32."""
    import torch

    from webui.weights.reader import Weights

    with Weights(header) as weights:
        return tuple(torch.atleast_2d(weights.tensor(name).float()).clone() for name in tensors)


def _candidates(header: Header, bundle: str) -> dict[str, tuple[int, int]]:
    """Tensors that may hold vectors: number and width by name."""
    found = {}
    prefix = f"{BUNDLED}{bundle}." if bundle else ""
    for name, info in header.tensors.items():
        if name.startswith(prefix) and len(info.shape) in (1, 2) and info.dtype in FLOAT_DTYPES:
            found[name] = (info.shape[0] if len(info.shape) == 2 else 1, info.shape[-1])
    return found


def _chosen(found: dict[str, tuple[int, int]], encoders: int, width: int) -> tuple[str, ...] | None:
    if encoders == 1:
        return next(((name,) for name, (_, own) in found.items() if own == width), None)
    ends = {name.rpartition(".")[2]: name for name in found}
    pair = tuple(ends[part] for part in PAIR if part in ends)
    fits = len(pair) == encoders and sum(found[name][1] for name in pair) == width
    return pair if fits else None
