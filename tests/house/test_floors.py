"""Imports go down: a room may use the rooms of lower floors, and nothing else of this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, imports_of, name_of, python_files

FLOORS = (
    # floor 0 is one room of plain data; so is floor 8, the composition root
    {
        "errors",
        "registry",
        "request",
        "infotext",
        "infotext_format",
        "infotext_keys",
        "infotext_passes",
        "settings",
        "settings_list",
        "paths",
        "ports",
        "identity",
        "client",
    }
    | {"environment", "installer", "atomic", "logs", "metrics", "limits", "picture_answer"},
    {"text", "weights", "diffusion", "imaging"},
    {"nn", "exchange"},
    {"families", "adapters", "preprocessors", "upscalers", "captioning"},
    {"extend", "library"},
    {"engine", "merging", "scripts"},
    {"training", "workers"},
    {"ui", "api"},
    {"app", "cli", "commands", "pass_options", "script_options", "doctor", "model_commands", "old_flags"}
    | {"server_options"}
    | {"user_commands"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
ONE_ROOM = (0, len(FLOORS) - 1)

# A package of others -> where it may be imported.
ALLOWED = {
    "gradio": ("webui/ui/", "webui/app.py"),
    "fastapi": ("webui/api/", "webui/app.py", "webui/ui/"),
    "cv2": ("webui/imaging/", "webui/preprocessors/"),
    "transformers": ("webui/text/tokenizers.py", "webui/captioning/"),
    "tokenizers": ("webui/text/tokenizers.py", "webui/captioning/"),
    "diffusers": (),
    "peft": (),
    "torchvision": (),
    "pydantic": ("webui/api/",),
}


def room_of(module: str) -> str | None:
    """The room of a module of this project, or None for the package itself and for foreign modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "webui" and len(parts) > 1 else None


def test_every_room_has_a_floor() -> None:
    rooms = {file.relative_to(ROOT / "webui").parts[0].removesuffix(".py") for file in python_files("webui")}
    assert rooms - {"__init__"} <= set(FLOOR_OF), "say in FLOORS on which floor the new room is"


def test_imports_go_down() -> None:
    wrong = []
    for file in python_files("webui"):
        here = room_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
        if here in (None, "__init__"):
            continue
        for module, line in imports_of(file):
            there = room_of(module)
            if there is None or there == here:
                continue
            ground, below = FLOOR_OF[here], FLOOR_OF.get(there, 99)
            if below > ground or (below == ground and ground not in ONE_ROOM):
                wrong.append(f"{name_of(file)}:{line} (floor {ground}) imports {module} (floor {below})")
    assert not wrong, "\n".join(wrong)


def test_the_ground_floor_is_plain_data() -> None:
    heavy = {"torch", "gradio", "fastapi", "numpy", "PIL", "cv2", "transformers", "safetensors"}
    ground = [file for file in python_files("webui") if file.stem in FLOORS[0] and file.parent == ROOT / "webui"]
    wrong = [f"{name_of(f)}:{line} {m}" for f in ground for m, line in imports_of(f) if m.split(".")[0] in heavy]
    assert len(ground) == len(FLOORS[0]) and not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_of_others_stay_in_their_rooms(package: str) -> None:
    wrong = [
        f"{name_of(file)}:{line}"
        for file in python_files("webui")
        for module, line in imports_of(file)
        if module.split(".")[0] == package and not name_of(file).startswith(ALLOWED[package] or ("nowhere",))
    ]
    assert not wrong, f"{package} may be imported in {ALLOWED[package] or 'no place'} only: {wrong}"


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"shared", "utils", "util", "common", "helpers", "misc", "manager"}
    assert not [name_of(file) for file in python_files("webui") if file.stem in drawers]


@pytest.mark.parametrize(
    "module", ["webui.cli", "webui.commands", "webui.doctor", "webui.app", "webui.workers.service"]
)
def test_what_starts_the_program_imports_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([n for n in ('torch', 'gradio', 'transformers', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_launcher_needs_nothing_that_is_installed() -> None:
    files = [ROOT / "launch.py", ROOT / "webui" / "environment.py", ROOT / "webui" / "installer.py"]
    names = {(name_of(file), module) for file in files for module, _ in imports_of(file)}
    own = {"webui.environment", "webui.installer"}
    foreign = [pair for pair in names if pair[1].split(".")[0] not in sys.stdlib_module_names and pair[1] not in own]
    assert not foreign
    assert Path(ROOT, "webui", "__init__.py").read_text(encoding="utf-8").count("import") == 0
