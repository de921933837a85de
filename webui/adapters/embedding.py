"""Textual inversion (Gal et al. 2022): files that hold token vectors, one or more for each text encoder.

Read: A1111's `.pt`, diffusers' `.bin`, lists of those, bare tensors, safetensors of either, XL's pairs `clip_l` and
`clip_g`, pictures (see `embedding_picture`), and embeddings that came bundled in a LoRA. What a file holds is told from
its header; nothing here needs torch but `read_vectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from webui.adapters.embedding_picture import CONTAINER, is_picture, picture_header, read_picture
from webui.adapters.roles import BUNDLED, group_by_layer, is_hypernetwork, looks_like_weights
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.weights.header import read_header
from webui.weights.tensors import FLOAT_DTYPES, Header

if TYPE_CHECKING:
    from torch import Tensor

PAIR = ("clip_l", "clip_g")  # XL's two text encoders, in order
MOST_VECTORS = 75  # what a chunk of a prompt holds
MOST_TENSORS = 16  # of an embedding file; networks have hundreds, some of which would fit by their width


def embedding_header(path: Path) -> Header:
    """`read_header` for embeddings, which may also be pictures. Raises what that and `read_picture` raise."""
    return picture_header(path) if is_picture(path) else read_header(path)


def embedding_name(header: Header) -> str:
    """What prompts call it: the file's name, for a picture the name inside."""
    inside = header.metadata.get("name", "").strip() if header.container == CONTAINER else ""
    return inside or header.path.stem


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
    if not found or (not bundle and _is_something_else(header)):
        held = f"{len(header.tensors)} tensors of something else" if found else "no vectors"
        raise UnknownModel(f"The embedding {name} holds {held}.", "One tensor [vectors, width] an encoder was wanted.")
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
    """The vectors [n, D] for each text encoder, in float32. Raises DamagedFile for values that are no numbers."""
    import torch

    from webui.weights.reader import Weights

    if header.container == CONTAINER:
        arrays = read_picture(header.path).tensors
        if not set(tensors) <= set(arrays):
            raise DamagedFile(f"{header.path.name} has changed since it was listed.", "", "Refresh the list.")
        found = tuple(torch.from_numpy(arrays[name]) for name in tensors)
    else:
        with Weights(header) as weights:
            found = tuple(weights.tensor(name).float().clone() for name in tensors)
    for name, vectors in zip(tensors, found, strict=True):
        if not bool(vectors.isfinite().all()):
            raise DamagedFile(f"{header.path.name} is damaged: {name} holds values that are no numbers.")
    return tuple(torch.atleast_2d(vectors) for vectors in found)


def _is_something_else(header: Header) -> bool:
    """Whether the tensors are a network's, a LoRA's or a hypernetwork's; some of them may have the width of vectors."""
    names = header.tensors
    return len(names) > MOST_TENSORS or looks_like_weights(group_by_layer(names)[0]) or is_hypernetwork(names)


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
    if not pair and len(found) == encoders:  # under names of their own: the narrower one is the first encoder's
        pair = tuple(sorted(found, key=lambda name: found[name][1]))
    fits = len(pair) == encoders and sum(found[name][1] for name in pair) == width
    return pair if fits else None
