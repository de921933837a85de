"""The functions of webui/ and what their names stand for, for tests that follow values through the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.house.tree import name_of, python_files, tree_of

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Scope:
    """Where an expression stands."""

    file: str
    tree: ast.Module
    function: Function | None


def named(node: ast.AST) -> str:
    """The last name of what is called."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@functools.cache
def all_functions() -> dict[str, list[Scope]]:
    """Every function by its name."""
    found: dict[str, list[Scope]] = {}
    for file in python_files("webui"):
        for scope in scopes(name_of(file), tree_of(file)):
            if scope.function is not None:
                found.setdefault(scope.function.name, []).append(scope)
    return found


def functions_named(name: str) -> list[Scope]:
    """The functions of that name, wherever they are."""
    return all_functions().get(name, [])


@functools.cache
def own_nodes(function: ast.AST) -> tuple[ast.AST, ...]:
    """What stands in a function or module, not in the functions inside of it."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, FUNCTIONS):
            found += [child, *own_nodes(child)]
    return tuple(found)


def scopes(file: str, tree: ast.Module) -> Iterator[Scope]:
    """A module's own lines and each of its functions."""
    yield Scope(file, tree, None)
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield Scope(file, tree, node)


def parameters(function: Function | None) -> list[str]:
    """Names in the order of a call, without self."""
    if function is None:
        return []
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def assigned(name: str, where: ast.AST) -> tuple[list[ast.expr], bool]:
    """The values that a name is given there, and whether it may also be an error that was caught."""
    values: list[ast.expr] = []
    caught = False
    for node in own_nodes(where):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id == name:
                    values.append(node.value)
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=False)
                    values += [value for one, value in pairs if isinstance(one, ast.Name) and one.id == name]
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == name:
            values.append(node.iter)
        elif isinstance(node, ast.ExceptHandler) and node.name == name:
            caught = True
    return values, caught


def unpacked(name: str, where: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions whose tuples give a name its value, and the place in the tuple."""
    for node in own_nodes(where):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Call):
            names = [ast.unparse(one) for one in node.targets[0].elts]
            if name in names:
                yield named(node.value.func), names.index(name)


def parts_returned(function: str, place: int) -> Iterator[tuple[ast.expr, Scope]]:
    """One place of the tuples that a function returns."""
    for scope in functions_named(function):
        assert scope.function is not None
        for line in own_nodes(scope.function):
            if isinstance(line, ast.Return) and isinstance(line.value, ast.Tuple):
                yield line.value.elts[place], scope


def tables(name: str, where: ast.AST) -> Iterator[ast.expr]:
    """What a name is the last value of: `for key, name in TABLE.items()`."""
    for node in own_nodes(where):
        if not isinstance(node, ast.For) or not isinstance(node.target, ast.Tuple):
            continue
        last = ast.unparse(node.target.elts[-1]) == name
        if last and isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Attribute):
            yield node.iter.func.value


def looped(value: ast.expr, scope: Scope) -> bool:
    """Whether a name is that of a loop: what it stands for are names and numbers, not words of a sentence."""
    loops = (node for node in own_nodes(scope.function or scope.tree) if isinstance(node, ast.For))
    return isinstance(value, ast.Name) and any(
        isinstance(one, ast.Name) and one.id == value.id for node in loops for one in ast.walk(node.target)
    )
