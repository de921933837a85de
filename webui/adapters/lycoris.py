"""The other ways to write a weight update, after LyCORIS (Yeh et al. 2023), OFT (Qiu et al. 2023), BOFT (Liu et al.
2023), IA³ (Liu et al. 2022) and GLoRA (Chavan et al. 2023).

Every function takes an adapter's tensors of one layer by role, in float32, and the base weight [o, i] or [o, i, k, k],
and returns ΔW of the base's shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.adapters.lora import Roles, scale_of


def loha(roles: Roles, base: Tensor) -> Tensor:
    """s·(A₁B₁)∘(A₂B₂), each factor with a core in the Tucker form."""
    halves = []
    for number in ("1", "2"):
        a, b = roles[f"hada_w{number}_a"], roles[f"hada_w{number}_b"]
        if f"hada_t{number}" in roles:
            halves.append(torch.einsum("ijkl,jr,ip->prkl", roles[f"hada_t{number}"], b, a).reshape(base.shape))
        else:
            halves.append((a @ b.flatten(1)).reshape(base.shape))
    return scale_of(roles, len(roles["hada_w1_b"])) * halves[0] * halves[1]


def lokr(roles: Roles, base: Tensor) -> Tensor:
    """s·(W₁ ⊗ W₂), each whole or a product of two; with both whole there is no rank and so no scale."""
    first, rank_first = _kronecker_factor(roles, "1")
    second, rank_second = _kronecker_factor(roles, "2")
    rank = rank_second or rank_first
    scale = scale_of(roles, rank) if rank else 1.0
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return scale * torch.kron(first, second.contiguous()).reshape(base.shape)


def _kronecker_factor(roles: Roles, number: str) -> tuple[Tensor, int]:
    """The factor, and the rank of the product that it is (0 for a whole one)."""
    if f"lokr_w{number}" in roles:
        return roles[f"lokr_w{number}"], 0
    a, b = roles[f"lokr_w{number}_a"], roles[f"lokr_w{number}_b"]
    if number == "2" and "lokr_t2" in roles:
        return torch.einsum("ijkl,jr,ip->prkl", roles["lokr_t2"], b, a), len(b)
    return (a @ b.flatten(1)).reshape(len(a), *b.shape[1:]), len(b)


def ia3(roles: Roles, base: Tensor) -> Tensor:
    """The base with its columns (`on_input`) or rows scaled by a learned vector, less the base."""
    on_input = "on_input" in roles and bool(roles["on_input"].reshape(-1)[0])
    return base * roles["ia3"].reshape(_along(base, 1 if on_input else 0))


def _along(base: Tensor, dimension: int) -> list[int]:
    shape = [1] * base.ndim
    shape[dimension] = base.shape[dimension]
    return shape


def full(roles: Roles, base: Tensor) -> Tensor:
    """The stored difference itself."""
    return roles["diff"].reshape(base.shape)


def norm(roles: Roles, base: Tensor) -> Tensor:
    """The stored difference of a normalisation's weight."""
    return roles["w_norm"].reshape(base.shape)


def replaced(roles: Roles, base: Tensor) -> Tensor:
    """What leads from the base to the stored weight."""
    return roles["set_weight"].reshape(base.shape) - base


def glora(roles: Roles, base: Tensor) -> Tensor:
    """s·(W·A + B) with A and B of low rank. Older files have the two factors of each the other way round."""
    a1, a2, b1, b2 = (roles[name] for name in ("a1", "a2", "b1", "b2"))
    rank = len(b2) if b1.shape[0] == base.shape[0] else len(b1)
    scale = scale_of(roles, rank)
    if b1.shape[0] != base.shape[0] or a1.shape[0] != base.shape[1]:  # old: a1 [r, i], a2 [i, r], b1 [r, i], b2 [o, r]
        a1, a2, b1, b2 = a2, a1, b2, b1
    mixing = a1.flatten(1) @ a2.flatten(1)  # [i, i]
    if "bm" in roles:
        added = torch.einsum("op,pqkl,qi->oikl", b1.flatten(1), roles["bm"], b2.flatten(1))
    else:
        added = b1.flatten(1) @ b2.flatten(1)
    return scale * (torch.tensordot(base, mixing, dims=([1], [0])).movedim(-1, 1) + added.reshape(base.shape))


def oft(roles: Roles, base: Tensor) -> Tensor:
    """Rows of the base rotated block by block (OFT), or in several butterfly stages (BOFT), less the base.

    Here `alpha` is no scale but a bound on the rotations, times the number of rows.
    """
    if "oft_diag" in roles:
        turned = _turn_blocks(roles["oft_diag"], base)
    else:
        blocks = roles["oft_blocks"]
        rotations = _rotations(blocks, float(roles["alpha"].reshape(-1)[0]) * len(base) if "alpha" in roles else 0.0)
        turned = _turn_blocks(rotations, base) if blocks.ndim == 3 else _butterfly(rotations, base)
    if "rescale" in roles:
        turned = turned * roles["rescale"].reshape(_along(base, 0))
    return turned - base


def _rotations(blocks: Tensor, bound: float) -> Tensor:
    """Cayley's map of skew-symmetric matrices: (I + Q)(I − Q)⁻¹, [..., b, b]."""
    skew = blocks - blocks.transpose(-1, -2)
    length = float(skew.norm()) + 1e-8
    if 0 < bound < length:
        skew = skew * (bound / length)
    one = torch.eye(blocks.shape[-1], device=blocks.device)
    return (one + skew) @ torch.linalg.inv(one - skew)


def _turn_blocks(rotations: Tensor, base: Tensor) -> Tensor:
    count, size, _ = rotations.shape
    rows = base.reshape(count, size, -1)
    return torch.einsum("knm,kn...->km...", rotations, rows).reshape(base.shape)


def _butterfly(rotations: Tensor, base: Tensor) -> Tensor:
    """Each stage pairs rows that lie farther apart than in the one before."""
    stages, count, size, _ = rotations.shape
    half = size // 2
    rows = base.flatten(1)  # [o, i·k·k]
    for stage in range(stages):
        stride = 2**stage * half
        shape = rows.shape
        mixed = rows.reshape(-1, 2, stride, shape[1]).transpose(1, 2).reshape(count, size, shape[1])
        mixed = torch.einsum("bij,bjc->bic", rotations[stage], mixed)
        rows = mixed.reshape(-1, stride, 2, shape[1]).transpose(1, 2).reshape(shape)
    return rows.reshape(base.shape)
