"""The pages that users read exist in English and in Chinese, say the same things, and lead to what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import launch
from tests.house.pages import (
    CHINESE,
    CONTRIBUTORS,
    code_blocks,
    commands,
    markdown_files,
    outline,
    pairs,
    quoted,
    relative_links,
    slugs,
    target_of,
    text_of,
    without_code,
)
from tests.house.tree import ROOT, name_of
from webui.cli import parse

PAGES = pairs()
FIGURE = re.compile(r"(?<![A-Za-z\d.])\d+(?:[.,]\d+)*(?![A-Za-z\d])")
LAUNCHER = {"--repair", "--torch-index", "--offline", "ADDRESS"}  # read by launch.py itself


def both(page: str) -> tuple[str, str]:
    """The texts of a page in English and in Chinese."""
    english, chinese = PAGES[page]
    return text_of(english), text_of(chinese)


def broken(file: Path, link: str) -> bool:
    """Whether a link leads to no file, or to no heading of the file."""
    target, anchor = target_of(file, link)
    return not target.exists() or (anchor != "" and anchor not in slugs(text_of(target)))


def meant(file: Path, link: str) -> Path:
    """What a link leads to, whichever language it is in."""
    target, _ = target_of(file, link)
    english = {chinese: english for english, chinese in PAGES.values()}
    return english.get(target, target)


def test_every_page_for_users_is_there_in_both_languages() -> None:
    assert {file.name for file in (ROOT / "docs").glob("*.md")} - CONTRIBUTORS == {p.name for p in CHINESE.glob("*.md")}
    assert len(PAGES) > 10


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_headings_tables_lists_and_paragraphs(page: str) -> None:
    english, chinese = (outline(text) for text in both(page))
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_code(page: str) -> None:
    english, chinese = (code_blocks(text) for text in both(page))
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_name_the_same_options_files_and_routes(page: str) -> None:
    english, chinese = (quoted(text) for text in both(page))
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_figures(page: str) -> None:
    english, chinese = (set(FIGURE.findall(without_code(text))) for text in both(page))
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_link_to_the_same_pages(page: str) -> None:
    english, chinese = ({meant(file, link) for link in relative_links(file)} for file in PAGES[page])
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_each_language_links_to_the_other_below_its_title(page: str) -> None:
    for file, other, word in zip(PAGES[page], reversed(PAGES[page]), ("简体中文", "English"), strict=True):
        line = text_of(file).splitlines()[2]
        (link,) = re.findall(rf"\[{word}\]\((.+?)\)", line)
        assert target_of(file, link)[0] == other


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_links_to_chinese_pages_where_there_are(page: str) -> None:
    file, chinese = PAGES[page][1], {english: name for english, name in PAGES.values() if english != PAGES[page][0]}
    assert [link for link in relative_links(file) if target_of(file, link)[0] in chinese] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_is_chinese(page: str) -> None:
    english, chinese = (len(re.findall(r"[一-鿿]", without_code(text))) for text in both(page))
    words = len(re.findall(r"[A-Za-z]{2,}", without_code(both(page)[0])))
    assert english < 10 and chinese > words


@pytest.mark.parametrize("page", PAGES)
def test_no_line_of_a_chinese_page_breaks_off_within_a_sentence(page: str) -> None:
    wide = r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef“”（），。]"  # a browser shows a break between them as a space
    text = re.sub(r"(?s)```.*?```", "", both(page)[1])
    assert re.findall(rf".*{wide}\n *(?![-|#!]|\d+\. ){wide}.*", text) == []


@pytest.mark.parametrize("file", markdown_files(), ids=name_of)
def test_links_lead_to_files_and_headings(file: Path) -> None:
    assert [link for link in relative_links(file) if broken(file, link)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_shown_is_understood(page: str) -> None:
    for line in commands(both(page)[0]):
        if line.startswith("python launch.py"):
            words = [word for word in shlex.split(line)[2:] if word not in LAUNCHER]
            assert not words or words[0].startswith("-") or words[0] in launch.COMMANDS, line
            if words[:1] not in (["test"], ["bench"]) and "--help" not in words:
                parse(words)  # exits on a wrong option
