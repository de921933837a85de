"""Encoded texts, kept across jobs: a prompt that stays the same is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from webui.diffusion.conditioning import Conditioning

LIMIT = 128 << 20  # bytes


class ConditioningCache:
    """The least recently used sets of conditionings are dropped when together they are over `limit` bytes."""

    def __init__(self, limit: int = LIMIT):
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[int, tuple[Conditioning, ...]]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Sequence[Conditioning]]) -> tuple[Conditioning, ...]:
        """The conditionings of a key, made now if they are not known."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key][1]
        made = tuple(make())
        size = sum(_bytes(tensor) for one in made for tensor in _tensors(one))
        self._entries[key] = (size, made)
        self._held += size
        while self._held > self._limit and len(self._entries) > 1:
            self._held -= self._entries.popitem(last=False)[1][0]
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._held = 0

    def __len__(self) -> int:
        return len(self._entries)


def _tensors(conditioning: Conditioning) -> list[Tensor]:
    pooled = [] if conditioning.pooled is None else [conditioning.pooled]
    return [conditioning.context, *pooled, *conditioning.extras.values()]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
