"""What an adapter file is, told by its header alone: for people, and for lists of files."""

from __future__ import annotations

import collections
import json
from typing import Any

from webui.adapters.embedding import bundled_names
from webui.adapters.origin import made_for
from webui.adapters.roles import group_by_layer, is_hypernetwork, kind_of, looks_like_weights
from webui.weights.tensors import FLOAT_DTYPES, Header

EMBEDDING_ENDS = ("emb_params", "clip_l", "clip_g", "*")
MOST_WORDS = 12  # trigger words that are told


def describe(header: Header) -> dict[str, Any] | None:
    """Facts about a LoRA, embedding or hypernetwork, or None for a file that is none of them."""
    if is_hypernetwork(header.tensors):
        widths = sorted({int(name.partition(".")[0]) for name in header.tensors if name[:1].isdigit()})
        activation = header.metadata.get("activation_func", "none")
        return {"kind": "hypernetwork", "widths": [str(width) for width in widths], "activation": activation}
    layers, _, others = group_by_layer(header.tensors)
    kinds = collections.Counter(kind_of(set(roles)) or "unknown" for roles in layers.values())
    if looks_like_weights(layers) and kinds["unknown"] < len(layers):
        ranks = {header.tensors[roles["down"]].shape[0] for roles in layers.values() if "down" in roles}
        return {
            "kind": "LoRA",
            "made for": made_for(header) or "unknown",
            "updates": dict(kinds.most_common()),
            "ranks": [str(rank) for rank in sorted(ranks)],
            "trigger words": trigger_words(header),
            "embeddings inside": list(bundled_names(header)),
            "other tensors": others,
        }
    vectors = _vectors(header)
    if vectors:
        told = ", ".join(f"{count} of width {width}" for count, width in vectors)
        return {"kind": "embedding", "vectors": told}
    return None


def trigger_words(header: Header) -> list[str]:
    """What the file was trained on: the phrase that its maker names, else the most frequent tags."""
    said = header.metadata.get("modelspec.trigger_phrase", "").strip()
    if said:
        return [said]
    try:
        folders = json.loads(header.metadata.get("ss_tag_frequency", "{}"))
    except ValueError:
        return []
    counts: collections.Counter[str] = collections.Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        if isinstance(tags, dict):
            counts.update({str(tag).strip(): n for tag, n in tags.items() if isinstance(n, int)})
    return [tag for tag, _ in counts.most_common(MOST_WORDS)]


def _vectors(header: Header) -> list[tuple[int, int]]:
    """Number and width of the vectors of each tensor, for files that hold nothing else."""
    found = []
    for name, info in header.tensors.items():
        known = name.rpartition(".")[2] in EMBEDDING_ENDS or len(header.tensors) == 1
        if known and len(info.shape) in (1, 2) and info.dtype in FLOAT_DTYPES and "weight" not in name:
            found.append((info.shape[0] if len(info.shape) == 2 else 1, info.shape[-1]))
    return found
