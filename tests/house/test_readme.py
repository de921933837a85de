"""The READMEs begin with what everybody needs. What holds for all pages is in test_pages.py."""

from __future__ import annotations

import pytest

from tests.house.pages import commands, text_of
from tests.house.tree import ROOT


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_two_commands_come_first(name: str) -> None:
    shown = commands(text_of(ROOT / name))
    assert shown[:2] == ["python launch.py", "python launch.py test"] and len(shown) > 6
