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
_OWN = 0x17F  # Pillow's own font has Latin letters up to here
_ALSO = set("–—‘’“”…•×·−")


def font_for(text: str, size: int) -> tuple[Font, str]:
    """A font of so many pixels that can show a text, and the text as it is then shown.

    Where no font of the system has the characters, they are written as `\\u4e2d`.
    """
    if all(ord(letter) <= _OWN or letter in _ALSO for letter in text):
        return _own(size), text
    wide = _wide(size)
    return (wide, text) if wide is not None else (_own(size), text.encode("ascii", "backslashreplace").decode())


@functools.lru_cache(64)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(64)
def _wide(size: int) -> Font | None:
    for file in wide_fonts():
        try:
            return ImageFont.truetype(str(file), size)
        except (OSError, ValueError):
            continue  # damaged, or of a kind that FreeType does not read
    return None


@functools.cache
def wide_fonts() -> tuple[Path, ...]:
    """Font files of this system with Chinese characters, best first."""
    folders = [Path(folder).expanduser() for folder in FOLDERS]
    return tuple(
        itertools.chain.from_iterable(
            sorted(folder.rglob(name)) for name in NAMES for folder in folders if folder.is_dir()
        )
    )
