"""Every sentence that the server can say to a reader of the page, read from the source.

A sentence is followed backwards from where it is handed over (an error of webui/errors.py, a job's note …) through
names, conditions, functions and their parameters to the texts that it is made of. What fills it is a place: {1}, {2} …
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.house.functions import (
    Scope,
    assigned,
    functions_named,
    looped,
    named,
    own_nodes,
    parameters,
    parts_returned,
    scopes,
    tables,
    unpacked,
)
from tests.house.tree import ROOT, name_of, python_files, tree_of

Piece: TypeAlias = str | None  # None: a place
CARRY = "\0"  # a piece that is a sentence which was read where it was said first
Template: TypeAlias = tuple[Piece, ...]

# They speak to a terminal, to programs, or while the program starts: never to a reader of the page.
SILENT = (
    *("webui/cli.py", "webui/commands.py", "webui/model_commands.py", "webui/user_commands.py", "webui/doctor.py"),
    *("webui/script_options.py", "webui/server_options.py", "webui/pass_options.py", "webui/old_flags.py"),
    *("webui/installer.py", "webui/environment.py", "webui/ports.py", "webui/logs.py", "webui/client.py"),
    *("webui/app.py", "webui/training/"),
    *("webui/api/openai/", "webui/api/native/", "webui/api/mcp_tools.py", "webui/api/proxy.py"),
)
# Where sentences are handed over, besides errors: the name that is called, and the arguments that hold them.
HANDED: dict[str, tuple[int | str, ...]] = {
    "note": (0, "text"),  # of a job
    "report": ("text",),
    "leave_out": (2, "reason"),
    "Untranslated": (2, "reason"),
    "Recognised": ("problem",),
    "Facts": ("problem",),
    "Kept": ("problem",),
    "Axis": ("problem",),
    "SpeedRecipe": ("note",),
    "Kind": (1, 2, "remedy"),  # of a model file that is not what was wanted
    "Evidence": (1,),  # of what a VAE is made for
    "Problem": (2, "found"),
    "_on_lost": (0,),  # of a worker
    "_end": (1,),
    "demand": (2,),
    "say": ("error",),
}
LISTS = ("notes", "warnings", "problems")  # names of lists of sentences
# Names of sentences that were said, and are read, elsewhere.
CARRIED = ("found", "wanted", "remedy", "problem", "error", "reason", "answer", "how", *LISTS)
MANY = 16  # ways to fill one sentence


@dataclass
class Said:
    """Templates with the place where they were found, and what cannot be read."""

    sentences: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


@functools.cache
def error_names() -> tuple[frozenset[str], frozenset[str]]:
    """Errors of webui/errors.py and those derived from them: all, and those that say themselves what they are told."""
    classes = [node for file in python_files("webui") for node in tree_of(file).body if isinstance(node, ast.ClassDef)]
    names = {"EmulsionError"}
    while more := {node.name for node in classes if names & set(map(named, node.bases))} - names:
        names |= more
    own = {node.name for node in classes for one in node.body if getattr(one, "name", "") == "__init__"}
    return frozenset(names), frozenset((names & own) - {"EmulsionError"})


class Reader:
    """Follows expressions to texts."""

    def __init__(self) -> None:
        self.wanted: set[tuple[str, str]] = set()  # (function, parameter): what callers hand over is a sentence
        self.clauses: set[tuple[str, str, str]] = set()  # (file, function, parameter): parts of a sentence
        self.parts: dict[Template, str] = {}  # parts of sentences that stand within them, with the file
        self._depth = 0

    def read(self, node: ast.expr, scope: Scope) -> list[Template] | None:
        """What an expression may say; None where that is not written in the source. A place is told by None."""
        if self._depth > 12:
            return None
        self._depth += 1
        try:
            return self._read(node, scope)
        finally:
            self._depth -= 1

    def _read(self, node: ast.expr, scope: Scope) -> list[Template] | None:
        if isinstance(node, ast.Constant):
            return [(node.value,)] if isinstance(node.value, str) else [()] if node.value is None else None
        if isinstance(node, ast.JoinedStr):
            return product([self._filled(part, scope) for part in node.values])
        if isinstance(node, ast.IfExp):
            return self._all([node.body, node.orelse], scope)
        if isinstance(node, ast.BoolOp):
            return self._all(node.values if isinstance(node.op, ast.Or) else node.values[-1:], scope)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self.read(node.left, scope), self.read(node.right, scope)]
            if is_list(node.left) or is_list(node.right):
                return None if None in sides else [one for side in sides for one in side or ()]
            return product([side if side is not None else [(None,)] for side in sides])
        if isinstance(node, (ast.List, ast.Tuple)):
            return self._all(node.elts, scope)
        if isinstance(node, ast.Dict):
            return self._all(node.values, scope)
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            for loop in node.generators:
                if ast.unparse(loop.target) == ast.unparse(node.elt):
                    return self.read(loop.iter, scope)
            return self.read(node.elt, scope)
        if isinstance(node, ast.Lambda):
            return []
        if isinstance(node, ast.Subscript) and ast.unparse(node.slice) in ("'text'", "'error'"):  # of a job's event
            return [(CARRY,)]
        if isinstance(node, (ast.Starred, ast.NamedExpr, ast.Subscript)):
            return self.read(node.value, scope)
        if isinstance(node, ast.Call):
            return self._called(node, scope)
        if isinstance(node, ast.Attribute):
            return [(CARRY,)] if node.attr in CARRIED else None
        return self._name(node.id, scope) if isinstance(node, ast.Name) else None

    def _all(self, nodes: Iterable[ast.expr], scope: Scope) -> list[Template] | None:
        found = [self.read(node, scope) for node in nodes]
        return None if None in found else [one for some in found for one in some or ()]

    def _filled(self, part: ast.expr, scope: Scope) -> list[Template]:
        """A piece of an f-string: the texts that may fill it where all of them are written down, else a place."""
        if not isinstance(part, ast.FormattedValue):
            return self.read(part, scope) or [()]
        value = part.value
        if named(value) in (CARRIED if isinstance(value, ast.Attribute) else ("error", "problem", "how")):
            if scope.function and named(value) in parameters(scope.function):
                self.wanted.add((scope.function.name, named(value)))
            return [(CARRY,)]
        before = set(self.wanted)
        quoted = part.conversion != -1 or part.format_spec is not None
        ways = None if quoted or isinstance(value, ast.Subscript) else self.read(value, scope)
        pieces = [piece for way in ways or () for piece in way]
        words = any(piece and " " in piece.strip() for piece in pieces)
        fixed = None not in pieces and not isinstance(value, ast.Call)
        if not ways or self.wanted != before or len(ways) > MANY or not (words or fixed) or looped(value, scope):
            self.wanted = before
            self._part(value, scope, quoted)
            return [(None,)]
        return ways

    def _part(self, value: ast.expr, scope: Scope, quoted: bool) -> None:
        """Remember what fills a place where that is written down: words that private functions are handed, and those
        that stand for a name that is missing."""
        function = scope.function
        if quoted or function is None:
            return
        if isinstance(value, ast.Name) and value.id in parameters(function) and function.name.startswith("_"):
            self.clauses.add((scope.file, function.name, value.id))
        if isinstance(value, ast.Call) and named(value.func) == "join" and isinstance(value.func, ast.Attribute):
            between = self.read(value.func.value, scope) or [()]
            if any(map(str.isalpha, "".join(piece for piece in between[0] if piece))):
                self.parts[(None, *between[0], None)] = f"{scope.file}:{value.lineno}"
        before = set(self.wanted)
        for way in self._words(value, scope):
            if " " in spelled(way):
                self.parts[way] = f"{scope.file}:{value.lineno}"
        self.wanted = before
        branches: list[ast.expr] = value.values if isinstance(value, ast.BoolOp) else []
        if isinstance(value, ast.IfExp):
            branches = [value.body, value.orelse]
        for branch in branches:
            if isinstance(branch, (ast.Constant, ast.JoinedStr)):
                self.parts |= dict.fromkeys(self.read(branch, scope) or (), f"{scope.file}:{branch.lineno}")

    def _words(self, value: ast.expr, scope: Scope) -> Iterator[Template]:
        """What a place may be filled with out of a table, or by a function that gives several values."""
        if isinstance(value, ast.Subscript):
            yield from self.read(value.value, scope) or ()
        if isinstance(value, ast.Name) and scope.function is not None:
            for call, place in unpacked(value.id, scope.function):
                for part, other in parts_returned(call, place):
                    yield from self.read(part, other) or ()
            for table in tables(value.id, scope.function):
                yield from self.read(table, scope) or ()

    def _called(self, node: ast.Call, scope: Scope) -> list[Template] | None:
        name = named(node.func)
        if name in ("tuple", "list", "sorted", "next", "cast") and node.args:
            return self.read(node.args[-1 if name == "cast" else 0], scope)
        if name in ("str", "shown", "pop"):  # of an error, or of a problem that was told before
            return [(CARRY,)]
        if name in error_names()[0] or name in HANDED:
            return [(CARRY,)]
        if name == "get" and isinstance(node.func, ast.Attribute):
            return self._all([node.func.value, *node.args[1:]], scope)
        if name == "text":  # of webui/ui/language.py: in the reader's language already
            return []
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant):  # ", ".join(…)
            return [(None,)]
        found: list[Template] = []
        functions = [one for one in functions_named(name) if one.file == scope.file or not name.startswith("_")]
        for other in functions:
            assert other.function is not None
            for line in own_nodes(other.function):
                if isinstance(line, ast.Return) and line.value is not None:
                    ways = self.read(line.value, other)
                    if ways is None:
                        return None
                    found += ways
        return found if functions else None

    def _name(self, name: str, scope: Scope) -> list[Template] | None:
        if name in LISTS:  # what is put into them is read where that is done
            return [(CARRY,)]
        if scope.function is not None:
            if name in parameters(scope.function):
                self.wanted.add((scope.function.name, name))
                return []
            values, known = assigned(name, scope.function)
            if values or known:
                ways = self._all(values, scope)
                return (
                    [(CARRY,)]
                    if ways is None and name in ("error", "problem")
                    else ways
                    if ways is None or not known
                    else [*ways, (CARRY,)]
                )
            for call, place in unpacked(name, scope.function):
                ways = [self.read(one, other) for one, other in parts_returned(call, place)]
                return None if None in ways else [one for some in ways for one in some or ()]
        values, _ = assigned(name, scope.tree)
        if values:
            return self._all(values, Scope(scope.file, scope.tree, None))
        for node in scope.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module and name in [a.asname or a.name for a in node.names]:
                file = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
                file = file if file.is_file() else file.with_suffix("") / "__init__.py"
                if file.is_file() and node.module.startswith("webui"):
                    return self._name(name, Scope(name_of(file), tree_of(file), None))
        return None


def product(parts: list[list[Template]]) -> list[Template]:
    """Every way to take one of each."""
    return [tuple(itertools.chain.from_iterable(way)) for way in itertools.product(*parts)]


def handed(node: ast.AST, file: str) -> Iterator[ast.expr]:
    """The expressions that a node hands over as sentences."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        listed = any(named(target) in LISTS for target in targets) and is_list(node.value)
        if listed or any(named(target) == "problem" or ast.unparse(target) == "self.error" for target in targets):
            yield node.value
    errors, own = error_names()
    if isinstance(node, ast.ClassDef) and node.name in own:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                yield from call.args
    if not isinstance(node, ast.Call):
        return
    name = named(node.func)
    if name in errors - own:
        yield from node.args
        yield from (word.value for word in node.keywords if word.arg in ("found", "wanted", "remedy"))
    elif name == "note" and file.startswith("webui/exchange/"):  # of a workflow's node
        yield from node.args[1:2]
    elif name in HANDED and (name != "note" or isinstance(node.func, ast.Attribute)):
        yield from (arg for place, arg in enumerate(node.args) if place in HANDED[name])
        yield from (word.value for word in node.keywords if word.arg in HANDED[name])
    elif name in ("append", "extend") and isinstance(node.func, ast.Attribute) and named(node.func.value) in LISTS:
        yield from node.args


def is_list(value: ast.expr) -> bool:
    """Whether an expression is a list of sentences, as far as can be seen."""
    if isinstance(value, ast.Call):
        return any(
            ast.unparse(scope.function.returns) == "list[str]"
            for scope in functions_named(named(value.func))
            if scope.function is not None and scope.function.returns is not None
        )
    return isinstance(value, (ast.List, ast.ListComp)) or (
        isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add)
    )


@functools.cache
def everything_said() -> Said:
    """All that modules which speak to the page hand over."""
    reader, said = Reader(), Said()
    speaking = [file for file in python_files("webui") if not name_of(file).startswith(SILENT)]
    calls: dict[str, list[tuple[ast.Call, Scope]]] = {}

    def take(expression: ast.expr, scope: Scope, strict: bool = True) -> None:
        where = f"{scope.file}:{expression.lineno}"
        before = set(reader.wanted)
        ways = reader.read(expression, scope)
        if not strict:
            reader.wanted = before
        if ways is None and strict:
            said.unread.append(f"{where} {ast.unparse(expression)[:90]}")
        for text in filter(None, map(spelled, ways or ())):
            said.sentences.setdefault(text, where)

    for file in speaking:
        for scope in scopes(name_of(file), tree_of(file)):
            for node in own_nodes(scope.function or scope.tree):
                if isinstance(node, ast.Call):
                    calls.setdefault(named(node.func), []).append((node, scope))
                for expression in handed(node, scope.file):
                    take(expression, scope)
    asked: set[tuple[str, ...]] = set()
    while news := (reader.wanted | reader.clauses) - asked:
        asked |= news
        for *files, function, parameter in sorted(one for one in news if one[-2] not in HANDED):
            for call, scope in calls.get(function, ()):
                if not files or scope.file in files:
                    for expression in argument_of(call, function, parameter):
                        take(expression, scope, strict=not files)
    for way, where in reader.parts.items():
        said.sentences |= {text: where for text in [spelled(way)] if text}
    return said


def argument_of(call: ast.Call, function: str, parameter: str) -> Iterator[ast.expr]:
    """What a call hands to a parameter that is a sentence."""
    names = next(known for scope in functions_named(function) if parameter in (known := parameters(scope.function)))
    place = names.index(parameter)
    if place < len(call.args) and not any(isinstance(arg, ast.Starred) for arg in call.args[: place + 1]):
        yield call.args[place]
    yield from (word.value for word in call.keywords if word.arg == parameter)


def spelled(way: Template) -> str:
    """A template as the catalogue has it; empty for one that only carries what was said elsewhere."""
    pieces = [piece for piece in way if piece != ""]
    while len(pieces) > 1 and pieces[0] == CARRY and isinstance(pieces[1], str) and pieces[1].startswith(" "):
        pieces = [pieces[1].lstrip(), *pieces[2:]] if pieces[1].strip() else pieces[2:]
    while len(pieces) > 1 and pieces[-1] == CARRY and (pieces[-2] or "").endswith((". ", "? ")):
        pieces = [*pieces[:-2], (pieces[-2] or "").rstrip()]
    number = itertools.count(1)
    text = "".join(f"{{{next(number)}}}" if piece in (None, CARRY) else piece for piece in pieces)
    words = any(map(str.isalpha, "".join(filter(None, pieces)))) and " " in text
    return " ".join(text.split()) if words or text == "{1}: {2}" else ""
