"""Tiny models of every family, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.families.tiny import Tiny, build


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tiny]:
    """`tiny("sdxl")`: the model of a family, made at first use."""
    made: dict[tuple[str, int], Tiny] = {}

    def get(family: str, in_channels: int = 4) -> Tiny:
        key = (family, in_channels)
        if key not in made:
            made[key] = build(family, tmp_path_factory.mktemp("models") / f"{family}-{in_channels}", in_channels)
        return made[key]

    return get
