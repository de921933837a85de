"""Attachments: what adapters add to a loaded checkpoint for one job. Attaching and detaching are exact inverses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webui.errors import IncompatibleModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from webui.adapters.merge import Change
    from webui.extend import Predictor
    from webui.nn.hooks import BlockHooks


@dataclass(frozen=True)
class Attachment:
    """What one adapter adds. `weights` maps a parameter's name to the changes of it, each made of the base weight."""

    name: str
    weights: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    wrap_predictor: Callable[[Predictor], Predictor] | None = None
    block_hooks: BlockHooks | None = None


class AttachedWeights:
    """The weights of attachments in the place of a network's own, until others are wanted.

    The base tensors are kept and never written to: the very same ones return. Beside them there is at most one changed
    copy of each changed weight, in memory that a following set with the same weights takes over. All changes of a
    weight are made of its base and summed in float32, in the order of the attachments' names, with one rounding at the
    end, so the order in which attachments are given changes nothing.
    """

    def __init__(self, module: nn.Module):
        self._module = module
        self._originals: dict[str, nn.Parameter] = {}
        self._memory: dict[str, Tensor] = {}  # what stands in their place

    def switch(self, attachments: Sequence[Attachment]) -> None:
        """Take off what is attached and attach these.

        Raises IncompatibleModel for a weight that the network does not have or a change of another shape; then
        nothing is attached.
        """
        from torch import nn

        from webui.adapters.merge import merge
        from webui.nn.memory import room_like

        memory = self._memory
        self.detach()
        owners = dict(_owners(self._module))
        changes: dict[str, list[Change]] = {}
        for attachment in sorted(attachments, key=lambda one: one.name):
            for name, some in attachment.weights.items():
                if name not in owners:
                    raise IncompatibleModel(f"{attachment.name} changes {name}, which this checkpoint does not have.")
                changes.setdefault(name, []).extend(some)
        bases = {name: owners[name][2] for name in changes}
        if memory.keys() != bases.keys():
            memory.clear()  # before there is more
            memory = room_like(bases)
        merge(bases, changes, memory)
        for name in changes:
            owner, leaf, _ = owners[name]
            owner._parameters[leaf] = nn.Parameter(memory[name], requires_grad=False)
        self._originals, self._memory = bases, memory

    def detach(self) -> None:
        """Put the base tensors back."""
        owners = dict(_owners(self._module)) if self._originals else {}
        for name, original in self._originals.items():
            owner, leaf, _ = owners[name]
            owner._parameters[leaf] = original
        self._originals, self._memory = {}, {}


@contextmanager
def attached(module: nn.Module, attachments: Sequence[Attachment]) -> Iterator[None]:
    """Within the block, the attachments' weights are in place; see `AttachedWeights`."""
    weights = AttachedWeights(module)
    weights.switch(attachments)
    try:
        yield
    finally:
        weights.detach()


def _owners(module: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str, nn.Parameter]]]:
    """Every parameter by name: the module that holds it, its name there, and itself."""
    for path, owner in module.named_modules():
        for leaf, parameter in owner._parameters.items():
            if parameter is not None:
                yield f"{path}.{leaf}" if path else leaf, (owner, leaf, parameter)
