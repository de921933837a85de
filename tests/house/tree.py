"""The tracked files and their syntax trees, read once for the tests of this folder."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Files of the project: tracked ones and new ones that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return tuple(sorted(ROOT / name for name in listed if name and (ROOT / name).is_file()))


def python_files(*folders: str) -> list[Path]:
    """Python files below some folders of the project, or all of them."""
    roots = [ROOT / folder for folder in folders] or [ROOT]
    return [file for file in project_files() if file.suffix == ".py" and any(file.is_relative_to(r) for r in roots)]


@functools.cache
def tree_of(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def name_of(file: Path) -> str:
    """The path inside the project, for messages."""
    return file.relative_to(ROOT).as_posix()


def imports_of(file: Path) -> Iterator[tuple[str, int]]:
    """Full names of imported modules with the line, wherever in the file they are imported.

    `from package import name` gives `package.name` if that is a module of this project, else `package`."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if is_module(full) else node.module), node.lineno


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of this project."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
