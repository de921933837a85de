"""requirements.txt and requirements-dev.txt are whole, exact, and not below the versions that are safe."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.tree import ROOT

# The oldest versions without the holes that are known (arbitrary code, memory corruption, file reading).
FLOORS = {
    "torch": "2.10",
    "transformers": "5.3",
    "gradio": "6.31",
    "brotli": "1.2.1",
    "safetensors": "0.8",
    "diffusers": "0.38",
    "starlette": "1.0",
    "python-multipart": "0.0.18",
}


def lines_of(name: str) -> list[str]:
    """Lines of a lock without comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


def lock(*names: str) -> dict[str, Requirement]:
    """Requirements by package."""
    found = [Requirement(line) for name in names for line in lines_of(name)]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


BOTH = ("requirements.txt", "requirements-dev.txt")


@pytest.mark.parametrize("name", BOTH)
def test_every_requirement_has_one_exact_version(name: str) -> None:
    form = re.compile(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*( ; (python_version|platform_system) (>=|<|==) \"[\w.]+\")?")
    assert [line for line in lines_of(name) if not form.fullmatch(line)] == []


def test_no_package_is_named_twice() -> None:
    names = [canonicalize_name(Requirement(line).name) for name in BOTH for line in lines_of(name)]
    assert len(names) == len(set(names))


def test_torchvision_and_its_kin_are_kept_out() -> None:
    assert not {"torchvision", "torchaudio", "xformers"} & set(lock(*BOTH))
    constraints = lines_of("constraints.txt")
    assert "torchvision<0" in constraints and "torchaudio<0" in constraints
    assert next(line for line in lines_of("requirements.txt") if line.startswith("torch==")) in constraints


@pytest.mark.parametrize("package", FLOORS)
def test_versions_are_not_below_the_safe_ones(package: str) -> None:
    wanted = lock(*BOTH)[package]
    version = next(iter(wanted.specifier)).version
    assert Version(version) >= Version(FLOORS[package])


@pytest.mark.parametrize("names", [BOTH[:1], BOTH])
def test_the_lock_holds_all_that_its_packages_need(names: tuple[str, ...]) -> None:
    locked = lock(*names)
    missing = []
    for package, wanted in locked.items():
        if wanted.marker and not wanted.marker.evaluate():
            continue
        for line in importlib.metadata.requires(package) or []:
            need = Requirement(line)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            if package == "torch" and re.match(r"nvidia-|cuda-|triton", need.name):
                continue  # which of these a build of torch needs is known to that build alone
            if (package, need.name) == ("spandrel", "torchvision"):
                continue  # webui/upscalers/loading.py imports it without
            have = locked.get(canonicalize_name(need.name))
            version = next(iter(have.specifier)).version if have else None
            if version is None or not need.specifier.contains(version, prereleases=True):
                missing.append(f"{package} needs {line}, the lock has {version}")
    assert not missing, "\n".join(missing)


def test_what_is_installed_here_is_what_the_lock_says() -> None:
    locked = {name: r for name, r in lock("requirements.txt").items() if not r.marker or r.marker.evaluate()}
    here = {package: importlib.metadata.version(package).split("+")[0] for package in locked}
    wanted = {package: next(iter(requirement.specifier)).version for package, requirement in locked.items()}
    assert {p: v for p, v in here.items() if v != wanted[p]} == {}
