"""Sums of base weights and their changes, in float32 with one rounding at the end.

Low-rank changes, which nearly all files consist of, are added to a few rows at a time: what is summed stays in a core's
cache, so that merging costs little more than reading the base and writing the result once. Other changes take a weight
as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from webui.adapters.lora import LowRank, as_matrix
from webui.errors import IncompatibleModel
from webui.nn.threads import run_jobs

Change = Callable[[Tensor, Tensor], None]  # (total, base): adds to total what it makes of base, both float32
BLOCK = 1 << 19  # numbers that are summed at a time


def merge(bases: Mapping[str, Tensor], changes: Mapping[str, Sequence[Change]], into: Mapping[str, Tensor]) -> None:
    """Write each base weight plus its changes, added in their order, into the tensor of its name in `into`.

    Tensors of one name have one shape, type and layout. Bases are only read. Raises IncompatibleModel for a change of
    another shape.
    """
    by_rows = {name: low for name, some in changes.items() if (low := _low_ranks(bases[name], some)) is not None}
    large_first = sorted(by_rows, key=lambda name: bases[name].numel(), reverse=True)  # the threads end together
    with torch.no_grad():
        run_jobs([partial(_merge_rows, bases[name], by_rows[name], into[name]) for name in large_first])
        for name in changes.keys() - by_rows.keys():
            _merge_whole(name, bases[name], changes[name], into[name])


def _low_ranks(base: Tensor, changes: Sequence[Change]) -> list[LowRank] | None:
    """The changes, if they and the base's layout allow to go by rows. Other devices are fast with whole weights."""
    found = [change for change in changes if isinstance(change, LowRank)]
    in_rows = base.is_contiguous() or (base.ndim == 4 and base.is_contiguous(memory_format=torch.channels_last))
    return found if len(found) == len(changes) and in_rows and base.ndim > 1 and base.device.type == "cpu" else None


def _merge_rows(base: Tensor, changes: Sequence[LowRank], into: Tensor) -> None:
    factors = [change.factors(base) for change in changes]
    source, target = as_matrix(base.detach()), as_matrix(into)  # [o, n]
    count = max(1, BLOCK // source.shape[1])
    memory = torch.empty(min(count, len(source)), source.shape[1])
    for first in range(0, len(source), count):
        rows = slice(first, first + count)
        total = target[rows] if target.dtype == torch.float32 else memory[: len(source[rows])]
        total.copy_(source[rows])
        for change, (up, down) in zip(changes, factors, strict=True):
            change.add_to_rows(total, first, up, down)
        if target.dtype != torch.float32:
            target[rows].copy_(total)


def _merge_whole(name: str, base: Tensor, changes: Sequence[Change], into: Tensor) -> None:
    plain = base.detach().float()
    total = into if into.dtype == torch.float32 else torch.empty_like(plain)
    total.copy_(plain)
    for change in changes:
        try:
            change(total, plain)
        except RuntimeError as error:
            if "shape" not in str(error) and "size" not in str(error):
                raise
            found = f"A change of {name} has another shape than its {list(base.shape)}."
            raise IncompatibleModel(found) from error
    if total is not into:
        into.copy_(total)
