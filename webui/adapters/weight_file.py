"""LoRA and LyCORIS files: read, matched with the layers of the loaded networks, and turned into changes of weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from webui.adapters.block_weights import BLOCKS, block_of
from webui.adapters.kinds import NUMBERS, LayerUpdate, has_sparse_shape
from webui.adapters.merge import Change
from webui.adapters.names import Target
from webui.adapters.origin import made_for
from webui.adapters.roles import group_by_layer, kind_of, looks_like_weights
from webui.errors import IncompatibleModel, UnknownModel
from webui.weights.reader import open_weights
from webui.weights.tensors import Header

Changes = dict[str, list[Change]]  # by parameter
LEAST_FITTING = 1 / 3  # of a file's layers; with fewer it was made for another network
MOST_MISSHAPEN = 1 / 10  # of the layers whose names fit


@dataclass(frozen=True)
class WeightFile:
    """An adapter file in memory (mapped, not copied): updates by the file's own layer names.

    `bundled` holds embeddings that came along, tensors by their names below the bundle; `others` are tensor names that
    belong to no update.
    """

    name: str
    layers: Mapping[str, LayerUpdate]
    others: tuple[str, ...]
    bundled: Mapping[str, Tensor]
    origin: str  # "made for Stable Diffusion XL", or "" where nothing tells


@dataclass(frozen=True)
class FittedWeights:
    """A file matched with networks: updates by target, and the names of layers and tensors that fit nothing."""

    name: str
    updates: tuple[tuple[Target, LayerUpdate], ...]
    unfitting: tuple[str, ...] = field(default=())

    def changes(
        self, part: int, strength: float, rank: int | None = None, blocks: Mapping[str, float] | None = None
    ) -> Changes:
        """What the file does to the parameters of one part. Nothing at strength 0.

        `blocks` multiplies the strength by block (`adapters/block_weights.py`); what lies in no block keeps it.
        """
        found: Changes = {}
        for target, update in self.updates if strength else ():
            here = strength * _share(target, blocks)
            if target.part != part or not here:
                continue
            if rank is not None:
                update = update.with_rank(rank)
            if update.changes_weight:
                found.setdefault(target.weight, []).append(_weight_change(target, update, here))
            bias = update.bias_delta()
            if bias is not None and target.bias is not None:
                found.setdefault(target.bias, []).append(_bias_change(target, bias, here))
        return found

    def blocks(self) -> tuple[str, ...]:
        """The blocks in which the file changes anything, in order."""
        found = {block_of(target.part, target.weight) for target, _ in self.updates}
        return tuple(block for block in BLOCKS if block in found)


def read_weight_file(path: Path, name: str = "") -> WeightFile:
    """Read an adapter file.

    Raises DamagedFile, UnsafeFile, NotFound; UnknownModel for a file without a single weight update.
    """
    with open_weights(path) as weights:
        header = weights.header
        layers, bundled, others = group_by_layer(header.tensors)
        defaults = _defaults(header)
        found: dict[str, LayerUpdate] = {}
        for layer, names in layers.items() if looks_like_weights(layers) else ():
            kind = kind_of(set(names))
            if kind is None:
                others += names.values()
                continue
            roles = {role: weights.tensor(full) for role, full in names.items()}
            scale = defaults(layer, roles)
            if scale is not None and not {"alpha", "scale"} & set(roles):
                roles["scale"] = torch.tensor(scale)
            found[layer] = LayerUpdate(kind, roles)
        bundle = {key: weights.tensor(full) for key, full in bundled.items()}
    if not found:
        raise UnknownModel(
            f"{path.name} holds no weight updates.",
            "A LoRA or LyCORIS file was wanted.",
            "It may be a checkpoint, an embedding or a ControlNet: put it into the folder of its kind.",
        )
    return WeightFile(name or path.stem, found, tuple(others), bundle, made_for(header))


def fit(file: WeightFile, table: Mapping[str, Target], base: str = "") -> FittedWeights:
    """Match a file with the networks of a name table; `base` says what they are, for messages.

    Raises IncompatibleModel, with what the file looks made for, when too little of it fits: another kind of base
    gives a wrong picture, not a slightly different one.
    """
    updates: list[tuple[Target, LayerUpdate]] = []
    unnamed: list[str] = []
    misshapen: list[str] = []
    for layer, update in file.layers.items():
        target = table.get(layer)
        if target is None:
            unnamed.append(layer)
        elif not _has_shape(update, target):
            misshapen.append(layer)
        else:
            updates.append((target, update))
    named = len(updates) + len(misshapen)
    if len(updates) <= LEAST_FITTING * len(file.layers) or len(misshapen) > MOST_MISSHAPEN * named:
        example = (misshapen or unnamed)[0]
        raise IncompatibleModel(
            f"The LoRA {file.name} does not fit this checkpoint{f' ({base})' if base else ''}: "
            f"{len(file.layers) - len(updates)} of its {len(file.layers)} layers, such as {example}, do not.",
            f"It looks made for {file.origin}." if file.origin else "",
            "Choose a checkpoint of the LoRA's kind, or take it out of the prompt.",
        )
    return FittedWeights(file.name, tuple(updates), (*unnamed, *misshapen, *file.others))


def _has_shape(update: LayerUpdate, target: Target) -> bool:
    """Whether every change has the shape of what it changes, whatever the file holds."""
    try:
        return _is_shaped(update, target)
    except (RuntimeError, ValueError, IndexError):
        return False


def _is_shaped(update: LayerUpdate, target: Target) -> bool:
    """Decided on tensors without memory, so it costs nothing. Tensors that do not belong together raise."""
    if any(update.roles[role].numel() != 1 for role in NUMBERS if role in update.roles):
        return False
    if not has_sparse_shape(update.roles, math.prod(target.shape)):
        return False
    bias = update.bias_delta()
    if bias is not None and target.bias is not None and len(bias) != target.shape[0]:
        return False
    if not update.changes_weight:
        return target.bias is not None
    roles = {role: torch.empty(t.shape, device="meta") for role, t in update.roles.items() if role not in _VALUES}
    if update.kind == "OFT":
        blocks = roles.get("oft_blocks", roles.get("oft_diag"))
        return blocks is not None and blocks.ndim > 2 and blocks.shape[-3] * blocks.shape[-1] == target.shape[0]
    if set(roles) <= {"up", "down", "up_bias"}:
        up, down = roles["up"], roles["down"]
        size = math.prod(target.shape[1:])
        return up.shape[0] == target.shape[0] and down[0].numel() == size and up[0].numel() == len(down)
    flag = {"on_input": update.roles["on_input"]} if "on_input" in update.roles else {}
    shaped = LayerUpdate(update.kind, {**roles, **flag, "scale": torch.tensor(1.0)})
    return shaped.delta(torch.empty(target.shape, device="meta")).shape == target.shape


_VALUES = (
    "alpha",
    "scale",
    "scalar",
    "on_input",
    "bias_indices",
    "bias_values",
    "bias_size",
)  # not of the layer's shape


def _share(target: Target, blocks: Mapping[str, float] | None) -> float:
    block = block_of(target.part, target.weight)
    return 1.0 if blocks is None or block is None else blocks.get(block, 0.0)


def _weight_change(target: Target, update: LayerUpdate, strength: float) -> Change:
    low_rank = None if target.transposed else update.low_rank(strength, target.rows)
    if low_rank is not None:
        return low_rank

    def change(total: Tensor, base: Tensor) -> None:
        if target.transposed:
            total.add_(update.delta(base.T).T, alpha=strength)
            return
        if target.rows is not None:
            total, base = total[slice(*target.rows)], base[slice(*target.rows)]
        update.add_to(total, base, strength)

    return change


def _bias_change(target: Target, bias: Tensor, strength: float) -> Change:
    def change(total: Tensor, base: Tensor) -> None:
        (total if target.rows is None else total[slice(*target.rows)]).add_(bias.to(total.device), alpha=strength)

    return change


def _defaults(header: Header) -> Callable[[str, Mapping[str, Tensor]], float | None]:
    """Scales of files that keep alpha in their metadata, as PEFT's do."""
    try:
        settings = json.loads(header.metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        settings = {}

    def scale(layer: str, roles: Mapping[str, Tensor]) -> float | None:
        part, _, inner = layer.partition(".")
        alpha = settings.get(f"{part}.lora_alpha") if isinstance(settings, dict) else None
        if "down" not in roles or not isinstance(alpha, int | float):
            return None
        patterns = settings.get(f"{part}.alpha_pattern")
        for ending, own in patterns.items() if isinstance(patterns, dict) else ():
            if isinstance(own, int | float) and f".{inner}".endswith(f".{ending}"):
                alpha = own
        rank = len(roles["down"])
        return alpha / (math.sqrt(rank) if settings.get(f"{part}.use_rslora") else rank)

    return scale


__all__: Sequence[str] = ("Change", "Changes", "FittedWeights", "WeightFile", "fit", "read_weight_file")
