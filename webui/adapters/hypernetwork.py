"""Hypernetworks: small residual networks in front of the keys and values of every attention.

The file format and its rules are those of AUTOMATIC1111's web UI: for each width of context two networks, one before
the keys and one before the values, x + strength·f(x). How a network is built is told by the numbers of its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.adapters.roles import HYPERNETWORK_NAME, is_hypernetwork
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.nn.hooks import BlockHooks, Site
from webui.weights.reader import open_weights
from webui.weights.tensors import Header

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "swish": F.hardswish,  # A1111's name for it
    "relu": F.relu,
    "relu6": F.relu6,
    "rrelu": F.rrelu,
    "leakyrelu": F.leaky_relu,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "logsigmoid": F.logsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
WITHOUT = ("", "none", "linear", "identity")

Parameters = Mapping[str, Tensor]  # "weight" and perhaps "bias"


@dataclass(frozen=True)
class Layers:
    """One small network: its layers with parameters in order; `activation` and where it acts.

    A two-dimensional weight is a linear layer, one with a single number a PReLU, any other a layer normalisation.
    """

    steps: tuple[Parameters, ...]
    activation: Callable[[Tensor], Tensor] | None
    activate_output: bool

    def __call__(self, x: Tensor) -> Tensor:
        """f(x), [B, T, D]."""
        last = max(number for number, step in enumerate(self.steps) if step["weight"].ndim == 2)
        for number, step in enumerate(self.steps):
            weight, bias = step["weight"], step.get("bias")
            if weight.ndim == 2:
                x = F.linear(x, weight, bias)
                if self.activation is not None and (number < last or self.activate_output):
                    x = self.activation(x)
            elif bias is None:
                x = F.prelu(x, weight)
            else:
                x = F.layer_norm(x, weight.shape, weight, bias)
        return x

    def to(self, device: torch.device, dtype: torch.dtype) -> Layers:
        """The same elsewhere or in another type."""
        steps = tuple({name: tensor.to(device, dtype) for name, tensor in step.items()} for step in self.steps)
        return Layers(steps, self.activation, self.activate_output)


@dataclass(frozen=True)
class Hypernetwork:
    """Networks before keys and values, by width of what they read."""

    name: str
    pairs: Mapping[int, tuple[Layers, Layers]]

    def hooks(self, strength: float, device: torch.device, dtype: torch.dtype) -> BlockHooks:
        """What takes part in every attention. None at strength 0."""
        if not strength:
            return BlockHooks()
        pairs = {width: tuple(f.to(device, dtype) for f in pair) for width, pair in self.pairs.items()}

        def sources(site: Site, key_source: Tensor, value_source: Tensor) -> tuple[Tensor, Tensor]:
            pair = pairs.get(key_source.shape[-1])
            if pair is None:
                return key_source, value_source
            first, second = pair
            return key_source + strength * first(key_source), value_source + strength * second(value_source)

        return BlockHooks(sources=(sources,))

    def check(self, widths: set[int], context: int, base: str = "") -> None:
        """Raise IncompatibleModel unless it was made for a network of these widths and this width of context."""
        strange = set(self.pairs) - widths - {context}
        if set(self.pairs) & (widths | {context}) and (context in self.pairs or not strange):
            return
        raise IncompatibleModel(
            f"The hypernetwork {self.name} is for contexts of width {', '.join(map(str, sorted(self.pairs)))}.",
            f"This checkpoint{f' ({base})' if base else ''} has {context}.",
            "Choose one that was trained on this kind of checkpoint.",
        )


def read_hypernetwork(path: Path, name: str = "") -> Hypernetwork:
    """Read a hypernetwork file.

    Raises UnknownModel for a file of another kind or with an activation that is not known, DamagedFile for layers
    that do not follow each other or values that are no numbers, and what reading raises.
    """
    with open_weights(path) as weights:
        header = weights.header
        if not is_hypernetwork(header.tensors):
            raise UnknownModel(f"{path.name} is no hypernetwork.", "Its networks go by widths of context (768, 320 …).")
        found: dict[int, dict[int, dict[int, dict[str, Tensor]]]] = {}
        for full in header.tensors:
            match = HYPERNETWORK_NAME.fullmatch(full)
            if match is None:
                continue
            width, which, layer, old, leaf = match.groups()
            number = int(layer) if layer else int(old) - 1
            tensor = weights.tensor(full)
            if not bool(tensor.float().isfinite().all()):
                raise DamagedFile(f"{path.name} is damaged: {full} holds values that are no numbers.")
            found.setdefault(int(width), {}).setdefault(int(which), {}).setdefault(number, {})[leaf] = tensor
    activation, activate_output = _activation(header)
    pairs = {}
    for width, both in found.items():
        if set(both) != {0, 1}:
            raise DamagedFile(f"{path.name} has one network of width {width}.", "Two were wanted: keys and values.")
        first, second = (_layers(path, width, both[which], activation, activate_output) for which in (0, 1))
        pairs[width] = (first, second)
    return Hypernetwork(name or path.stem, pairs)


def _activation(header: Header) -> tuple[Callable[[Tensor], Tensor] | None, bool]:
    said = header.metadata.get("activation_func", "").lower()
    activates_output = header.metadata.get("activate_output", "True") != "False"
    if said in WITHOUT or said == "prelu":  # which has parameters and so stands among the layers
        return None, activates_output
    if said not in ACTIVATIONS:
        raise UnknownModel(
            f"{header.path.name} has the activation {said!r:.40}.", f"Known: {', '.join(ACTIVATIONS)}, prelu."
        )
    return ACTIVATIONS[said], activates_output


def _layers(
    path: Path,
    width: int,
    steps: Mapping[int, Parameters],
    activation: Callable[[Tensor], Tensor] | None,
    activate_output: bool,
) -> Layers:
    now = width
    for number in sorted(steps):
        weight, bias = steps[number].get("weight"), steps[number].get("bias")
        if weight is not None and weight.ndim == 2 and weight.shape[1] == now:
            now = weight.shape[0]
            fits = bias is None or bias.shape == (now,)
        elif weight is not None and bias is None:
            fits = weight.shape == (1,)
        else:
            fits = weight is not None and weight.shape == bias.shape == (now,)  # type: ignore[union-attr]
        if not fits:
            raise DamagedFile(f"{path.name}: layer {number} of the network for {width} does not follow the one before.")
    if now != width or not any(step["weight"].ndim == 2 for step in steps.values()):
        raise DamagedFile(f"{path.name}: the network for {width} ends in {now}.", f"{width} was wanted.")
    return Layers(tuple(steps[number] for number in sorted(steps)), activation, activate_output)
