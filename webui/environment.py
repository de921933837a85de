"""Which packages are wanted, and which are there. Standard library only: this runs before anything is installed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.txt"
DEVELOPMENT_LOCK = ROOT / "requirements-dev.txt"
MCP_LOCK = ROOT / "requirements-mcp.txt"  # what --mcp needs besides
CONSTRAINTS = ROOT / "constraints.txt"

NO_TELEMETRY = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


class Stop(Exception):
    """Ends the launch with one plain sentence."""


def environment_folder() -> Path:
    """Where the virtual environment lies or will lie."""
    return Path(os.environ.get("EMULSION_VENV") or ROOT / ".venv").expanduser().absolute()


def python_of(venv: Path) -> Path:
    """The Python inside a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def packages_folder(venv: Path) -> Path | None:
    """The site-packages of a virtual environment, or None."""
    return next(iter([*venv.glob("lib/python3*/site-packages"), *venv.glob("Lib/site-packages")]), None)


def normal(name: str) -> str:
    """A package name in its one normal spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(lock: Path) -> dict[str, str]:
    """Package name -> exact version of the lines that hold on this system. Raises Stop on a line of another form."""
    wanted: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        text, _, marker = (part.strip() for part in line.split("#")[0].partition(";"))
        if text and (not marker or marker_holds(marker)):
            name, equals, version = text.partition("==")
            if not equals:
                raise Stop(
                    f"{lock.name} has the line {text!r}; every package there needs an exact version (name==1.2.3)."
                )
            wanted[normal(name)] = version
    return wanted


def marker_holds(marker: str) -> bool:
    """Whether a marker of the lock holds: one comparison of python_version, or of platform_system."""
    match = re.fullmatch(r"(python_version|platform_system)\s*(>=|<|==)\s*[\"']([\w.]+)[\"']", marker)
    if not match:
        raise Stop(f"The requirement marker {marker!r} is not understood.")
    name, operator, value = match.groups()
    if name == "platform_system":
        return {"win32": "Windows", "darwin": "Darwin"}.get(sys.platform, "Linux") == value
    here, there = tuple(sys.version_info[:2]), tuple(int(part) for part in value.split("."))
    return {">=": here >= there, "<": here < there, "==": here == there}[operator]


def installed(folder: Path | None) -> dict[str, str]:
    """Package name -> version of one site-packages folder, read off its folder names alone."""
    found = {}
    if folder and folder.is_dir():
        for entry in os.scandir(folder):
            if entry.name.endswith(".dist-info"):
                name, _, version = entry.name[: -len(".dist-info")].rpartition("-")
                found[normal(name)] = version
    return found


def unmet(locks: list[Path], found: dict[str, str]) -> list[str]:
    """Requirements that are missing or have another version. A build tag such as 2.13.0+cpu counts as 2.13.0."""
    wanted = {name: version for lock in locks for name, version in read_lock(lock).items()}
    return [f"{name}=={version}" for name, version in wanted.items() if found.get(name, "").split("+")[0] != version]


def fingerprint(locks: list[Path]) -> str:
    """Changes whenever a lock does."""
    return hashlib.sha256(b"\0".join(lock.read_bytes() for lock in locks)).hexdigest()


def stamp(venv: Path) -> dict[str, Any]:
    """What the last complete install wrote; empty if there was none."""
    try:
        return dict(json.loads((venv / "emulsion.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def is_ready(venv: Path, locks: list[Path], torch_index: str | None = None) -> bool:
    """Whether the environment is complete: stamped by this lock, and every version is the wanted one.

    With `torch_index` also whether torch came from there."""
    facts = stamp(venv)
    return (
        fingerprint(locks) in facts.get("locks", [])
        and torch_index in (None, facts.get("torch-index"))
        and python_of(venv).exists()
        and not unmet(locks, installed(packages_folder(venv)))
    )


def listing(names: list[str]) -> str:
    """At most four names, then a count."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def clean_environment() -> dict[str, str]:
    """The environment without what would let foreign packages into the virtual environment, or ours out of it."""
    unwanted = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def program_version() -> str:
    """The version of this program, from pyproject.toml."""
    import tomllib

    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
