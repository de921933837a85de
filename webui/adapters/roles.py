"""The second half of an adapter's tensor names: what a tensor is to its layer, by suffix.

Files spell one role in several ways; the formulas know only the roles. No torch: lists of files are read with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

KIND_ROLES: Mapping[str, tuple[set[str], ...]] = {  # kind of weight update -> sets of roles of which one is present
    "LoRA": ({"up", "down"},),
    "LoHa": ({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},),
    "LoKr": (
        {"lokr_w1", "lokr_w2"},
        {"lokr_w1", "lokr_w2_a", "lokr_w2_b"},
        {"lokr_w1_a", "lokr_w1_b", "lokr_w2"},
        {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"},
    ),
    "GLoRA": ({"a1", "a2", "b1", "b2"},),
    "OFT": ({"oft_blocks"}, {"oft_diag"}),
    "IA³": ({"ia3", "on_input"},),
    "full": ({"diff"},),
    "norm": ({"w_norm"},),
    "replacement": ({"set_weight"},),
}
BIAS_ROLES = ("diff_b", "b_norm", "up_bias")
# width of context, keys (0) or values (1), number of the layer, the same as old files write it, parameter
HYPERNETWORK_NAME = re.compile(r"(\d{1,6})\.([01])\.(?:linear\.(\d{1,6})|linear([12]))\.(weight|bias)")


def _suffixes() -> dict[str, str]:
    roles = {
        "down": (".lora_down", ".lora_down.weight", ".lora.down.weight", "_lora.down.weight"),
        "up": (".lora_up", ".lora_up.weight", ".lora.up.weight", "_lora.up.weight"),
        "mid": (".lora_mid", ".lora_mid.weight"),
        "up_bias": (".lora_up.bias", ".lora_B.bias", ".lora_B.default.bias"),
        "magnitude": (".lora_magnitude_vector",),
        "ia3": (".weight",),
    }
    roles["down"] += (".lora_A.weight", ".lora_A.default.weight", ".lora_linear_layer.down.weight")
    roles["up"] += (".lora_B.weight", ".lora_B.default.weight", ".lora_linear_layer.up.weight")
    vector = ".lora_magnitude_vector"
    roles["magnitude"] += (f"{vector}.weight", f"{vector}.default", f"{vector}.default.weight")
    own = "alpha scale scalar dora_scale rescale on_input set_weight diff diff_b w_norm b_norm oft_blocks oft_diag"
    own += " bias_indices bias_values bias_size hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2"
    own += " lokr_w1 lokr_w1_a lokr_w1_b lokr_w2 lokr_w2_a lokr_w2_b lokr_t2"
    roles |= {role: (f".{role}",) for role in own.split()}
    roles |= {role: (f".{role}.weight",) for role in ("a1", "a2", "b1", "b2", "bm")}
    return {suffix: role for role, suffixes in roles.items() for suffix in suffixes}


SUFFIXES = _suffixes()
BUNDLED = "bundle_emb."


def split_name(name: str) -> tuple[str, str] | None:
    """Layer spelling and role of a tensor name, or None for a name that is no adapter's. The longest suffix counts."""
    for place in _ends(name):
        role = SUFFIXES.get(name[place:])
        if role is not None and place:
            return name[:place], role
    return None


def _ends(name: str) -> list[int]:
    """Where a suffix of up to three pieces may begin, the longest first."""
    places: list[int] = []
    place = len(name)
    while len(places) < 3 and (place := name.rfind(".", 0, place)) > 0:
        places.append(place)
    old = [place - len("_lora") for place in places if name.endswith("_lora", 0, place)]  # to_q_lora.down.weight
    return [*old, *reversed(places)]


def group_by_layer(names: Iterable[str]) -> tuple[dict[str, dict[str, str]], dict[str, str], list[str]]:
    """Tensor names by layer and role; bundled embeddings' tensors by their name below the bundle; and the others."""
    layers: dict[str, dict[str, str]] = {}
    bundled: dict[str, str] = {}
    others: list[str] = []
    for name in names:
        if name.startswith(BUNDLED):
            bundled[name.removeprefix(BUNDLED)] = name
            continue
        found = split_name(name)
        if found is None:
            others.append(name)
        else:
            layers.setdefault(found[0], {})[found[1]] = name
    return layers, bundled, others


def looks_like_weights(layers: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether any layer has what an update needs, rather than plain weights of a network."""
    return any(set(roles) - {"ia3", "scale", "alpha"} or "on_input" in roles for roles in layers.values())


def kind_of(roles: set[str]) -> str | None:
    """The name of the kind whose tensors are all there, or None. A layer with a bias difference alone is "bias"."""
    for kind, choices in KIND_ROLES.items():
        if any(needed <= roles for needed in choices):
            return kind
    return "bias" if roles & set(BIAS_ROLES) else None


def is_hypernetwork(names: Iterable[str]) -> bool:
    """Whether tensor names are those of a hypernetwork."""
    return any(HYPERNETWORK_NAME.fullmatch(name) for name in names)
