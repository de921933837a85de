"""Fonts for legends: Pillow's own, and one of the system's where a label holds characters that it lacks."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Where systems keep fonts, and names of those that have Chinese, Japanese and Korean characters, best first.
FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    f"{os.environ.get('WINDIR', 'C:/Windows')}/Fonts",
)
NAMES = (
    *("NotoSansCJK-Regular.*", "NotoSansSC-Regular.*", "NotoSansCJK*", "NotoSansSC*", "SourceHanSans*", "wqy-*"),
    *("DroidSansFallback*", "msyh.tt*", "PingFang*", "Hiragino Sans GB*", "STHeiti*", "simhei.ttf", "simsun.ttc"),
    *("Arial Unicode*", "NotoSerifCJK-Regular.*", "NotoSerifCJK*"),
)
# Names of those with the letters of Europe, for systems without the former.
PLAIN_NAMES = ("DejaVuSans.ttf", "NotoSans-Regular.*", "LiberationSans-Regular.ttf", "[Aa]rial.ttf", "segoeui.ttf")
MOST = 8  # fonts of a kind that are tried
_NOWHERE = "\uffff"  # no character: what a font shows instead


def font_for(text: str, size: int) -> tuple[Font, str]:
    """A font of so many pixels that can show a text, and the text as it is then shown.

    Pillow's own font has the letters of English alone. What the best font lacks is written as `\\u4e2d`.
    """
    letters = "".join(sorted(set(text)))
    font, lacking = _own(size), _lacking(_own(size), letters)
    for file in fonts_of_the_system() if lacking else ():
        other = _opened(file, size)
        if other is not None and len(missing := _lacking(other, letters)) < len(lacking):
            font, lacking = other, missing
        if not lacking:
            break
    escaped = {ord(letter): letter.encode("unicode_escape").decode() for letter in lacking}
    return font, text.translate(escaped)


def _lacking(font: Font, letters: str) -> str:
    """Those of the letters for which a font shows the sign of what it lacks."""
    sign = _shape(font, _NOWHERE)
    return "".join(letter for letter in letters if not letter.isspace() and _shape(font, letter) == sign)


@functools.lru_cache(4096)
def _shape(font: Font, letter: str) -> bytes:
    mask = font.getmask(letter)
    return bytes(mask) + bytes(str(mask.size), "ascii")


@functools.lru_cache(64)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(64)
def _opened(file: Path, size: int) -> Font | None:
    try:
        return ImageFont.truetype(str(file), size)
    except (OSError, ValueError):
        return None  # damaged, or of a kind that FreeType does not read


@functools.cache
def wide_fonts() -> tuple[Path, ...]:
    """Font files of this system with Chinese characters, best first."""
    return _found(NAMES)


@functools.cache
def fonts_of_the_system() -> tuple[Path, ...]:
    """Font files that may hold what Pillow's own font lacks, best first."""
    return (*wide_fonts()[:MOST], *_found(PLAIN_NAMES)[:MOST])


def _found(names: tuple[str, ...]) -> tuple[Path, ...]:
    folders = [Path(folder).expanduser() for folder in FOLDERS]
    return tuple(
        itertools.chain.from_iterable(
            sorted(folder.rglob(name)) for name in names for folder in folders if folder.is_dir()
        )
    )
