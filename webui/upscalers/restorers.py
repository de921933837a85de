"""The seam for face restorers: none is built in, extensions register theirs. Neither torch nor Pillow is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from webui.errors import NotFound
from webui.registry import Registry

if TYPE_CHECKING:
    from PIL import Image

Restore: TypeAlias = "Callable[[Image.Image, float], Image.Image]"  # RGB picture, weight 0..1 -> RGB of the same size

RESTORERS: Registry[Restore] = Registry("face restorer")


def find_restorer(name: str) -> Restore:
    """The restorer of a name. Raises NotFound when it is not installed."""
    if name in RESTORERS:
        return RESTORERS[name]
    raise NotFound(
        f"The face restorer {name} is not installed.",
        f"Installed: {', '.join(RESTORERS.names()) or 'none'}.",
        f"Set its visibility to 0, or install an extension that registers {name}.",
    )
