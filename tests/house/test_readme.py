"""The English and the Chinese README say the same things, and what they say is there."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.house.tree import ROOT
from webui.cli import parse

READMES = ("README.md", "README.zh-CN.md")


def text_of(name: str) -> str:
    """A README's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def heading_levels(text: str) -> list[int]:
    """Levels of the headings in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code(text), flags=re.MULTILINE)]


def commands(text: str) -> list[str]:
    """Lines of the code blocks that a shell reads, without comments."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [re.sub(r'"[^"]*"', '"…"', line) for line in lines if line]


def test_both_have_the_same_headings() -> None:
    english, chinese = (heading_levels(text_of(name)) for name in READMES)
    assert english == chinese and len(english) > 6


def test_both_have_the_same_commands() -> None:
    english, chinese = (commands(text_of(name)) for name in READMES)
    assert english == chinese


def test_both_have_the_same_links() -> None:
    english, chinese = (set(re.findall(r"\]\(([^)]+)\)", text_of(name))) for name in READMES)
    assert english - {READMES[1]} == chinese - {READMES[0]}


@pytest.mark.parametrize("name", READMES)
def test_the_two_commands_come_first(name: str) -> None:
    assert commands(text_of(name))[:2] == ["python launch.py", "python launch.py test"]


@pytest.mark.parametrize("name", READMES)
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(name))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", READMES)
def test_every_command_that_is_shown_is_understood(name: str) -> None:
    shown = [line for line in commands(text_of(name)) if line.startswith("python launch.py")]
    own = {"--repair", "--torch-index", "--offline", "ADDRESS"}
    for line in shown:
        words = [word for word in shlex.split(line)[2:] if word not in own]
        if words[:1] not in (["test"], ["bench"]) and "--help" not in words:
            parse(words)  # exits on a wrong option
    assert len(shown) > 6


def test_chinese_is_chinese() -> None:
    assert len(re.findall(r"[一-鿿]", text_of(READMES[1]))) > 600
