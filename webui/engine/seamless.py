"""Pictures that continue across their own edges, for textures ("Tiling")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def seamless(*networks: nn.Module) -> Iterator[None]:
    """Within the block, every convolution of the networks sees the opposite edge beyond an edge instead of zeros."""
    changed = [
        module
        for network in networks
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and any(module.padding)
    ]
    try:
        for module in changed:
            module.padding_mode = "circular"
        yield
    finally:
        for module in changed:
            module.padding_mode = "zeros"
