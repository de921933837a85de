"""Attachments: what adapters add to a loaded checkpoint for one job. Attaching and detaching are exact inverses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webui.errors import IncompatibleModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from webui.extend import Predictor
    from webui.nn.hooks import BlockHooks


@dataclass(frozen=True)
class Attachment:
    """What one adapter adds. `weights` maps a parameter's name to a function from the base weight to the one used."""

    name: str
    weights: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    wrap_predictor: Callable[[Predictor], Predictor] | None = None
    block_hooks: BlockHooks | None = None


@contextmanager
def attached(module: nn.Module, attachments: Sequence[Attachment]) -> Iterator[None]:
    """Put the attachments' weights in place, and the very same base tensors back at the end, whatever happens.

    The base weights are never written to; several attachments of one layer apply in order.
    Raises IncompatibleModel for a weight that the network does not have or whose shape would change.
    """
    from torch import nn

    originals: dict[str, nn.Parameter] = {}
    parameters = dict(module.named_parameters())
    try:
        for attachment in attachments:
            for name, change in attachment.weights.items():
                if name not in parameters:
                    raise IncompatibleModel(f"{attachment.name} changes {name}, which this checkpoint does not have.")
                holder, leaf = _holder(module, name)
                now = getattr(holder, leaf)
                changed = change(now.detach())
                if changed.shape != now.shape:
                    raise IncompatibleModel(
                        f"{attachment.name} makes {name} {list(changed.shape)}.", f"It is {list(now.shape)}."
                    )
                originals.setdefault(name, parameters[name])
                setattr(holder, leaf, nn.Parameter(changed.to(now.dtype), requires_grad=False))
        yield
    finally:
        for name, original in originals.items():
            holder, leaf = _holder(module, name)
            setattr(holder, leaf, original)


def _holder(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf
