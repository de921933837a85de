"""Every sentence that the server can say to a reader of the page is in every language of the page."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.house.sentences import everything_said
from tests.house.tree import ROOT, python_files, tree_of
from webui.ui.language import FALLBACK, languages
from webui.ui.sentences import SENTENCES

LISTS = sorted(SENTENCES.glob("*.json"))
PLACE = re.compile(r"\{\d+\}")
SIGNS = {"zh-CN": re.compile(r"[\u4e00-\u9fff\uff00-\uffef]")}  # that a translation into a language has
SYSTEM = {  # what the operating system says
    *("[Errno {1}] {2}", "[Errno {1}] {2}: {3}", "No such file or directory", "Permission denied", "File exists"),
    *("No space left on device", "Disk quota exceeded", "Read-only file system", "Input/output error"),
    *("Is a directory", "Not a directory", "File name too long", "Too many open files", "timed out"),
    *("Connection refused", "Connection reset by peer", "Connection timed out", "Network is unreachable"),
    "No route to host",
}
UNREAD = {"webui/engine/surroundings.py note"}  # those of engine/adapters.py, which are read there


def entries(file: Path) -> list[tuple[str, str]]:
    """A list as it is written, twice the same sentence included."""
    return json.loads(file.read_text("utf-8"), object_pairs_hook=list)


def words() -> set[str]:
    """Texts of the program that fill places: names of kinds, roles, tabs."""
    files = python_files("webui")
    nodes = (node for file in files for node in ast.walk(tree_of(file)) if isinstance(node, ast.Constant))
    return {
        text for node in nodes if isinstance(node.value, str) for text in (node.value, node.value.replace("_", " "))
    }


def test_every_sentence_can_be_read_from_the_source() -> None:
    unread = {re.sub(r":\d+", "", one) for one in everything_said().unread}
    assert unread == UNREAD, "say it so that it can be read, see tests/house/sentences.py"


def test_every_language_but_english_has_a_list() -> None:
    assert {file.stem for file in LISTS} == {*languages()} - {FALLBACK}


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_every_sentence_is_translated(file: Path) -> None:
    known = dict(entries(file))
    missing = {text: where for text, where in everything_said().sentences.items() if text not in known}
    assert not missing, f"put these into {file.relative_to(ROOT)}: {json.dumps(missing, indent=1, ensure_ascii=False)}"


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_no_translation_is_of_something_that_nobody_says(file: Path) -> None:
    known = [text for text, _ in entries(file)]
    assert len(known) == len(set(known)), "a sentence stands there twice"
    assert not sorted({*known} - {*everything_said().sentences} - words() - SYSTEM)


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_translations_have_the_places_of_their_sentences_and_are_in_their_language(file: Path) -> None:
    for text, translation in entries(file):
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(translation)), text
        assert PLACE.findall(text) == [f"{{{number}}}" for number in range(1, len(PLACE.findall(text)) + 1)], text
        assert SIGNS[file.stem].search(translation) or translation in ("LoRA",), text
