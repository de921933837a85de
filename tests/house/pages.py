"""Reads the Markdown pages of the documentation: which there are, their blocks, their links. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOT, project_files

CHINESE = ROOT / "docs" / "zh-CN"
CONTRIBUTORS = {"architecture.md", "performance.md"}  # read by those who change the program: English alone
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"(^|\s+)(#|//) .*$")
NUMBERED = re.compile(r"\d+\. ")


def pairs() -> dict[str, tuple[Path, Path]]:
    """The English and the Chinese file of each page for users, by the English one's path in the project."""
    named = {
        folder / "README.md": folder / "README.zh-CN.md" for folder in (ROOT, ROOT / "models", ROOT / "extensions")
    }
    for file in (ROOT / "docs").glob("*.md"):
        if file.name not in CONTRIBUTORS:
            named[file] = CHINESE / file.name
    return {english.relative_to(ROOT).as_posix(): (english, named[english]) for english in sorted(named)}


def markdown_files() -> list[Path]:
    """Every page of the project."""
    return [file for file in project_files() if file.suffix == ".md"]


def text_of(file: Path) -> str:
    """A page's text."""
    return file.read_text("utf-8")


def without_code(text: str) -> str:
    """The text without its code blocks and without what stands between backticks."""
    return QUOTED.sub("", FENCE.sub("", text))


def quoted(text: str) -> set[str]:
    """What stands between backticks: names of options, files, routes and fields."""
    return {" ".join(name.split()) for name in QUOTED.findall(FENCE.sub("", text))}


def code_blocks(text: str) -> list[tuple[str, list[str]]]:
    """Language and lines of each code block, without comments and empty lines."""
    blocks = [(language, body.splitlines()) for _, language, body in FENCE.findall(text)]
    return [(kind, [line for raw in lines if (line := COMMENT.sub("", raw).strip())]) for kind, lines in blocks]


def commands(text: str) -> list[str]:
    """Lines of the code blocks that a shell reads, without comments."""
    return [line for language, lines in code_blocks(text) if language == "sh" for line in lines]


def outline(text: str) -> list[str]:
    """What kinds of blocks the page has, in order: headings by level, tables by size, code by language, lists by
    length, pictures and paragraphs. Two languages of one page have the same outline."""
    found: list[str] = []
    kept = FENCE.sub(lambda block: f"\n```{block[2]}\n", text)
    for block in re.split(r"\n\s*\n", kept.strip()):
        found.extend(_kinds(block.strip("\n").splitlines()))
    return found


def _kinds(lines: list[str]) -> Iterator[str]:
    """Kinds within a block of lines that has no empty line: usually one, but a list may follow its sentence."""
    first = lines[0].strip()
    items = sum(line.lstrip().startswith("- ") or bool(NUMBERED.match(line.lstrip())) for line in lines)
    if first.startswith("```"):
        yield f"code {first[3:]}"
    elif first.startswith("#"):
        yield f"heading {len(first) - len(first.lstrip('#'))}"
    elif first.startswith("|"):
        yield f"table {len(lines)}×{first.count('|') - 1}"
    elif first.startswith("!["):
        yield "picture"
    elif first.startswith(("- ", "> ")) or NUMBERED.match(first):
        yield f"list {items}"
    else:
        yield "paragraph" if not items else f"paragraph, list {items}"


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    names = re.findall(r"^#+ (.+)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def relative_links(file: Path) -> list[str]:
    """Where the links and pictures of a page lead to, those with a scheme left out."""
    return [link for link in LINK.findall(FENCE.sub("", text_of(file))) if "://" not in link and "mailto:" not in link]


def target_of(file: Path, link: str) -> tuple[Path, str]:
    """The file that a relative link of a page leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    return ((file.parent / path).resolve() if path else file), anchor
