"""The house style, as far as a machine can read it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.tree import ROOT, name_of, project_files, python_files, tree_of

FILE_LINES, FUNCTION_LINES = 400, 80
MAY_PRINT = (
    "webui/cli.py",
    "webui/commands.py",
    "webui/model_commands.py",
    "webui/user_commands.py",
    "webui/script_options.py",
    "webui/app.py",
    "webui/installer.py",
    "webui/training/",
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SOURCE = python_files("webui", "benchmarks", "launch.py")


def test_files_are_short_enough_to_read() -> None:
    sizes = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in python_files()}
    assert {name: size for name, size in sizes.items() if size > FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{name_of(file)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for file in python_files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, FUNCTIONS) and node.end_lineno and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def undocumented(body: list[ast.stmt], inside: str = "") -> list[str]:
    """Public classes, functions and methods without a docstring, and where they are."""
    missing = []
    for node in body:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or node.name.startswith("_"):
            continue
        setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)
        # torch calls it; what a network computes is said by its class
        network = inside and node.name == "forward"
        if not ast.get_docstring(node) and not setter and not network:
            missing.append(f"{node.lineno} {inside}{node.name}")
        if isinstance(node, ast.ClassDef):
            missing += undocumented(node.body, f"{node.name}.")
    return missing


def test_public_names_say_what_they_are_for() -> None:
    missing = [f"{name_of(file)}:{place}" for file in SOURCE for place in undocumented(tree_of(file).body)]
    assert not missing, "\n".join(missing)


def test_modules_say_what_they_are_for() -> None:
    assert not [name_of(file) for file in SOURCE if tree_of(file).body and not ast.get_docstring(tree_of(file))]


def test_no_error_is_swallowed_unseen() -> None:
    wrong = []
    for file in SOURCE:
        for node in ast.walk(tree_of(file)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            everything = node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")
            silent = all(isinstance(line, ast.Pass) for line in node.body)
            if node.type is None or (everything and silent):
                wrong.append(f"{name_of(file)}:{node.lineno}")
    assert not wrong, wrong


def test_only_what_speaks_to_a_terminal_prints() -> None:
    wrong = [
        f"{name_of(file)}:{node.lineno}"
        for file in python_files("webui")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        if not name_of(file).startswith(MAY_PRINT)
    ]
    assert not wrong, wrong


@pytest.mark.parametrize(
    "pattern",
    [
        r"weights_only\s*=\s*False",
        r"trust_remote_code\s*=\s*True",
        r"\b(pickle|marshal|shelve)\.loads?\(",
        r"\b(eval|exec)\(",
        r"shell\s*=\s*True",
    ],
)
def test_nothing_that_a_file_says_is_run(pattern: str) -> None:
    wrong = []
    for file in SOURCE:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"(?<![\w.])" + pattern.removeprefix(r"\b"), line) and not line.lstrip().startswith("#"):
                wrong.append(f"{name_of(file)}:{number} {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImpl" + r"ementedError)\b")
    wrong = [name_of(file) for file in python_files() if words.search(file.read_text(encoding="utf-8"))]
    assert not wrong, wrong


# Written in pieces so that this file does not hold what it looks for.
MACHINE = r"(?<![\w.:/])/(w[o]rk|f[a]rm|r[o]ot|opt/e[m]ulsion|var/t[m]p)/"
HOSTS = r"p[y]pi\.org|python[h]osted\.org|registry\.np[m]js|deb\.de[b]ian\.org|download\.py[t]orch\.org|cra[t]es\.io"
WORKPLACE = r"\b(sub[-]?agent|co-auth[o]red-by|language mo[d]el wrote)\b"


@pytest.mark.parametrize("pattern", [MACHINE, HOSTS, WORKPLACE])
def test_no_file_speaks_of_the_machine_it_was_written_on(pattern: str) -> None:
    wrong = []
    for file in project_files():
        data = file.read_bytes()
        if b"\0" in data[:4096] or len(data) > 2**21:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if re.search(pattern, line, re.IGNORECASE):
                wrong.append(f"{name_of(file)}:{number} {line.strip()[:100]}")
    assert not wrong, "\n".join(wrong)


def test_no_large_file_is_tracked_by_accident() -> None:
    large = {name_of(file): file.stat().st_size for file in project_files() if file.stat().st_size > 2**21}
    assert not [name for name in large if not name.startswith(("models/starter/", "docs/"))], large
    assert sum(file.stat().st_size for file in project_files() if file.is_relative_to(ROOT / "models")) < 120 * 2**20
