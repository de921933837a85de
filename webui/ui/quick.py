"""Halves the time that Gradio's import takes.

For every class of component Gradio reads the class's source file, parses it and writes a stub file for editors beside
it, at every start and for our own components too. Nothing reads these files while the program runs.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE, _FUNCTION = "gradio.component_meta", "create_or_modify_pyi"


def leave_out_stub_files() -> None:
    """Call before Gradio is imported; afterwards it does nothing."""
    if _MODULE not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as usual, and lets it be changed once it is loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            if hasattr(module, _FUNCTION):
                setattr(module, _FUNCTION, _nothing)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _nothing(*arguments: Any) -> None:
    """In the place of what writes stub files."""
