"""Captioners as functions: the one used last stays loaded until another is asked for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

from webui.captioning.names import KINDS, Captioner

if TYPE_CHECKING:
    from PIL import Image

Describe: TypeAlias = "Callable[[Image.Image], str]"  # a picture of any mode and size -> its caption


def load_captioner(captioner: Captioner, device: str | torch.device) -> Describe:
    """What describes pictures. Raises FileErrors for a folder that cannot be used."""
    return _loaded(captioner, torch.device(device))


def release() -> None:
    """Forget the loaded one."""
    _loaded.cache_clear()


@functools.lru_cache(maxsize=1)
def _loaded(captioner: Captioner, device: torch.device) -> Describe:
    load: Callable[..., Describe] = importlib.import_module(KINDS[captioner.kind].module).load
    return load(captioner.folder, device)
