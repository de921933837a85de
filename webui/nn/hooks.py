"""Places inside a network where attachments take part: named sites, and functions that chain at them.

There is no slot to replace and so nothing to fight over: every hook sees what the one before it returned.
A hook is built for one network call (it may close over the step, the sigma or the rows of the batch).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from torch import Tensor


class Site(NamedTuple):
    """Where in the network: `Site("down", 4, "attn2")`.

    `part` is "down", "middle" or "up" (the file's input_blocks, middle_block, output_blocks), `block` the number in the
    file, `layer` is "attn1" (self), "attn2" (text) or "block", `depth` counts the transformer layers of a block.
    """

    part: str
    block: int
    layer: str = "block"
    depth: int = 0


Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
SourceHook: TypeAlias = Callable[[Site, Tensor, Tensor], tuple[Tensor, Tensor]]
AttendHook: TypeAlias = Callable[[Site, Tensor, Tensor, Tensor, Attend], Tensor]
BlockHook: TypeAlias = Callable[[Site, Tensor], Tensor]
JoinHook: TypeAlias = Callable[[Site, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class BlockHooks:
    """What takes part in one network call. `a + b` runs a's hooks before b's (for `attend`: a's around b's).

    `sources(site, key_source, value_source)` returns both, [B, S, C]: what keys and values are made from
        (hypernetworks change them, reference pictures lengthen them).
    `attend(site, query, key, value, proceed)` returns [B, H, T, D]: wraps the attention itself
        (an IP-Adapter adds a second attention to `proceed(query, key, value)`).
    `block(site, h)` returns h [B, C, H, W]: after each block, before an upsampling; what a down block returns
        is also what its skip connection carries (T2I-Adapter, motion modules; the middle's ControlNet residual).
    `join(site, h, skip)` returns both: where an up block is about to concatenate them (ControlNet residuals, FreeU).
    """

    sources: tuple[SourceHook, ...] = ()
    attend: tuple[AttendHook, ...] = ()
    block: tuple[BlockHook, ...] = ()
    join: tuple[JoinHook, ...] = ()

    def __add__(self, other: BlockHooks) -> BlockHooks:
        return BlockHooks(
            self.sources + other.sources,
            self.attend + other.attend,
            self.block + other.block,
            self.join + other.join,
        )

    def run_sources(self, site: Site, key_source: Tensor, value_source: Tensor) -> tuple[Tensor, Tensor]:
        """Pass both sources through every hook in order."""
        for hook in self.sources:
            key_source, value_source = hook(site, key_source, value_source)
        return key_source, value_source

    def run_attend(self, site: Site, query: Tensor, key: Tensor, value: Tensor, attend: Attend) -> Tensor:
        """The attention with every wrapper around it, the first hook outermost."""
        for hook in reversed(self.attend):
            attend = _wrapped(hook, site, attend)
        return attend(query, key, value)

    def run_block(self, site: Site, h: Tensor) -> Tensor:
        """Pass a block's output through every hook in order."""
        for hook in self.block:
            h = hook(site, h)
        return h

    def run_join(self, site: Site, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Pass both halves of a skip connection through every hook in order."""
        for hook in self.join:
            h, skip = hook(site, h, skip)
        return h, skip


def _wrapped(hook: AttendHook, site: Site, inner: Attend) -> Attend:
    return lambda query, key, value: hook(site, query, key, value, inner)


NO_HOOKS = BlockHooks()
