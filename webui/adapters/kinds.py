"""Which formula an adapter's layer wants, told by the roles that it has; and the change that it makes to a weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.adapters.lora import LowRank, Roles, dora, lora, scale_of
from webui.adapters.lycoris import full, glora, ia3, loha, lokr, norm, oft, replaced
from webui.adapters.roles import BIAS_ROLES, KIND_ROLES
from webui.registry import Registry

Formula = Callable[[Roles, Tensor], Tensor]
KINDS: Registry[Formula] = Registry("kind of weight update")
NUMBERS = ("alpha", "scale", "on_input")

for _label, _formula in (
    ("LoRA", lora),
    ("LoHa", loha),
    ("LoKr", lokr),
    ("GLoRA", glora),
    ("OFT", oft),
    ("IA³", ia3),
    ("full", full),
    ("norm", norm),
    ("replacement", replaced),
):
    KINDS.register(_label, roles=KIND_ROLES[_label])(_formula)


@dataclass(frozen=True)
class LayerUpdate:
    """What an adapter does to one layer at strength 1."""

    kind: str
    roles: Roles
    dynamic_rank: int | None = None

    def with_rank(self, rank: int) -> LayerUpdate:
        """The same with the first ranks only, for kinds that have ranks."""
        return LayerUpdate(self.kind, self.roles, rank) if self.kind == "LoRA" else self

    def _float(self, device: torch.device) -> Roles:
        """The tensors in float32 beside the base weight; single numbers stay where they are, to be read at once."""
        roles = {r: t.float() if r in NUMBERS else t.to(device, torch.float32) for r, t in self.roles.items()}
        if self.dynamic_rank is not None and "mid" not in roles:
            rank = len(roles["down"])
            if "alpha" in roles and "scale" not in roles:  # the scale stays that of the whole
                roles["scale"] = roles["alpha"].reshape(-1)[0] / rank
            roles["up"] = roles["up"][:, : self.dynamic_rank]
            roles["down"] = roles["down"][: self.dynamic_rank]
        return roles

    def delta(self, base: Tensor) -> Tensor:
        """ΔW, float32 of the base's shape. `base` is the layer's weight in float32."""
        roles = self._float(base.device)
        change = KINDS[self.kind](roles, base)
        if "bias_values" in roles:
            change = change + _sparse(self.roles).to(base.device).reshape(base.shape)
        for role, by_rows in (("dora_scale", None), ("magnitude", True)):
            if role in roles and self.kind != "OFT":
                change = dora(base + change, roles[role].reshape(_oriented(roles[role])), by_rows) - base
        return change

    def low_rank(self, strength: float, rows: tuple[int, int] | None = None) -> LowRank | None:
        """strength·ΔW as a product of low rank on the `rows` of a weight, or None where it is none."""
        if self.kind != "LoRA" or {"mid", "dora_scale", "magnitude", "bias_values"} & set(self.roles):
            return None
        up, down, rank = self.roles["up"], self.roles["down"], self.dynamic_rank
        return LowRank(up[:, :rank], down[:rank], strength * scale_of(self.roles, len(down)), rows)

    def add_to(self, total: Tensor, base: Tensor, strength: float) -> None:
        """Add strength·ΔW to `total`, float32 of the base's shape, in place."""
        total.add_(self.delta(base), alpha=strength)

    @property
    def changes_weight(self) -> bool:
        """Whether there is more than a bias difference."""
        return self.kind != "bias"

    def bias_delta(self) -> Tensor | None:
        """What is added to the bias, or None."""
        found = [self.roles[role].float().flatten() for role in BIAS_ROLES if role in self.roles]
        return torch.stack(found).sum(0) if found else None


def _oriented(magnitude: Tensor) -> tuple[int, ...]:
    """A vector without its further dimensions of one: PEFT keeps a convolution's as [1, o, 1, 1]."""
    return tuple(magnitude.shape) if magnitude.ndim > 1 else (magnitude.numel(), 1)


def has_sparse_shape(roles: Roles, count: int) -> bool:
    """Whether the sparse rest of an extracted file, where there is one, has `count` places and points at no other."""
    if "bias_values" not in roles:
        return True
    if not {"bias_indices", "bias_size"} <= set(roles):
        return False
    size, indices = roles["bias_size"].flatten(), roles["bias_indices"]
    if math.prod(int(n) for n in size) != count or indices.shape != (len(size), len(roles["bias_values"])):
        return False
    return bool((indices >= 0).all()) and bool((indices < size[:, None]).all())


def _sparse(roles: Roles) -> Tensor:
    size = [int(n) for n in roles["bias_size"].flatten()]
    indices, values = roles["bias_indices"].long(), roles["bias_values"].float()
    return torch.sparse_coo_tensor(indices, values, size, check_invariants=True).to_dense()
