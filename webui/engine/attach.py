"""Attachments: what adapters add to a loaded checkpoint for one job. Attaching and detaching are exact inverses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from webui.errors import IncompatibleModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from webui.extend import Predictor
    from webui.nn.hooks import BlockHooks

# `change(total, base)` adds to `total`, in place, what it makes of the base weight; both are float32 of one shape.
Change: TypeAlias = Callable[["Tensor", "Tensor"], None]


@dataclass(frozen=True)
class Attachment:
    """What one adapter adds. `weights` maps a parameter's name to the changes of it, each made of the base weight."""

    name: str
    weights: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    wrap_predictor: Callable[[Predictor], Predictor] | None = None
    block_hooks: BlockHooks | None = None


class AttachedWeights:
    """The weights of attachments in the place of a network's own, until others are wanted.

    The base tensors are never written to: the very same ones return. All changes of a weight are made of its base
    and summed in float32, in the order of the attachments' names, with one rounding at the end, so the order in which
    attachments are given changes nothing.
    """

    def __init__(self, module: nn.Module):
        self._module = module
        self._originals: dict[str, nn.Parameter] = {}
        self._merged: dict[str, nn.Parameter] = {}  # what stands in their place

    def switch(self, attachments: Sequence[Attachment]) -> None:
        """Take off what is attached and attach these.

        Raises IncompatibleModel for a weight that the network does not have or a change of another shape; then
        nothing is attached.
        """
        former = self._merged
        self.detach()
        parameters = dict(self._module.named_parameters())
        changes: dict[str, list[Change]] = {}
        try:
            for attachment in sorted(attachments, key=lambda one: one.name):
                for name, some in attachment.weights.items():
                    if name not in parameters:
                        message = f"{attachment.name} changes {name}, which this checkpoint does not have."
                        raise IncompatibleModel(message)
                    changes.setdefault(name, []).extend(some)
            former = {name: merged for name, merged in former.items() if name in changes}
            for name, some in changes.items():  # in the memory of the former set: fresh pages cost more than the sums
                self._put(name, _changed(name, parameters[name], some, former.pop(name, None)), parameters[name])
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """Put the base tensors back."""
        for name, original in self._originals.items():
            holder, leaf = _holder(self._module, name)
            setattr(holder, leaf, original)
        self._originals, self._merged = {}, {}

    def _put(self, name: str, changed: nn.Parameter, original: nn.Parameter) -> None:
        holder, leaf = _holder(self._module, name)
        self._originals[name], self._merged[name] = original, changed
        setattr(holder, leaf, changed)


@contextmanager
def attached(module: nn.Module, attachments: Sequence[Attachment]) -> Iterator[None]:
    """Within the block, the attachments' weights are in place; see `AttachedWeights`."""
    weights = AttachedWeights(module)
    weights.switch(attachments)
    try:
        yield
    finally:
        weights.detach()


def _changed(name: str, base: nn.Parameter, changes: Sequence[Change], memory: nn.Parameter | None) -> nn.Parameter:
    """The changed weight, written into `memory` where there is some."""
    import torch

    with torch.no_grad():
        merged = torch.empty_like(base) if memory is None else memory.detach()
        plain = base.detach().float()
        total = merged if merged.dtype == torch.float32 else torch.empty_like(plain)
        total.copy_(plain)
        for change in changes:
            try:
                change(total, plain)
            except RuntimeError as error:
                if "shape" not in str(error) and "size" not in str(error):
                    raise
                found = f"A change of {name} has another shape than its {list(base.shape)}."
                raise IncompatibleModel(found) from error
        if total is not merged:
            merged.copy_(total)
        return torch.nn.Parameter(merged, requires_grad=False)


def _holder(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf
