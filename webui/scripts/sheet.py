"""Grids of pictures with legends. Pictures are read from their files one by one, and the whole stays within a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from webui.errors import EmulsionError
from webui.imaging.files import load_picture, open_picture
from webui.scripts.fonts import Font, font_for

LARGEST = 48_000_000  # pixels of all cells of a sheet together; larger ones are scaled down
LONGEST = 16_000  # pixels along a side: formats for pictures end a little above
PAPER, EMPTY, INK, BAD = (255, 255, 255), (236, 236, 232), (24, 28, 26), (168, 50, 31)
MOST_LINES = 12
_SPACING = 1.25  # of lines, as a multiple of the font's size


@dataclass(frozen=True)
class Layout:
    """What all tables of a sheet share: the size of a cell in pixels, the margin between cells, and the legend."""

    cell: tuple[int, int]
    margin: int = 0
    legend: bool = True
    notes: tuple[str, ...] = ()

    @property
    def font_size(self) -> int:
        """Pixels; readable at the size of a cell, and never tiny."""
        return max(11, min(72, round(sum(self.cell) / 2 / 18)))


def layout(files: Sequence[Path], count: int, margin: int = 0, legend: bool = True) -> Layout:
    """The layout for `count` cells that hold these pictures: as large as the largest, if all of them fit."""
    sizes = [_size(file) for file in files]
    width = max((size[0] for size in sizes), default=256)
    height = max((size[1] for size in sizes), default=256)
    scale = min(1.0, math.sqrt(LARGEST / (width * height * max(1, count))))
    if scale == 1.0:
        return Layout((width, height), margin, legend)
    cell = max(8, int(width * scale)), max(8, int(height * scale))
    note = f"The grid is large: its pictures were scaled down from {width}×{height} to {cell[0]}×{cell[1]}."
    return Layout(cell, max(0, round(margin * scale)), legend, (note,))


def table(
    contents: Sequence[Sequence[Path | str]], columns: Sequence[str], rows: Sequence[str], layout: Layout
) -> Image.Image:
    """Cells in rows, with the columns' labels above and the rows' at the left. A text stands in place of a picture."""
    width, height = layout.cell
    heads = _blocks(columns, width, layout) if layout.legend else []
    sides = _blocks(rows, max(round(width * 0.75), 96), layout) if layout.legend else []
    pad = layout.font_size
    top = max((head.height for head in heads if head.lines), default=-2 * pad) + 2 * pad
    left = round(max((side.width for side in sides if side.lines), default=-2 * pad)) + 2 * pad
    step_x, step_y = width + layout.margin, height + layout.margin
    size = left + len(columns) * step_x - layout.margin, top + len(rows) * step_y - layout.margin
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, head in enumerate(heads):
        head.draw(pen, (left + index * step_x + width / 2, top / 2))
    for index, side in enumerate(sides):
        side.draw(pen, (left / 2, top + index * step_y + height / 2))
    for y, row in enumerate(contents):
        for x, content in enumerate(row):
            _put(sheet, pen, content, (left + x * step_x, top + y * step_y), layout)
    return sheet


def page(tables: Sequence[Image.Image], titles: Sequence[str], layout: Layout) -> Image.Image:
    """Tables side by side in nearly a square, each below its title; one alone is returned as it is, if untitled."""
    width, height = tables[0].size
    blocks = _blocks(titles, width, layout) if layout.legend else []
    pad = layout.font_size
    top = max((block.height for block in blocks if block.lines), default=-pad) + pad
    if len(tables) == 1 and not top:
        return _bounded(tables[0])
    columns = max(1, round(math.sqrt(len(tables) * height / width)))
    columns = math.ceil(len(tables) / math.ceil(len(tables) / columns))  # no column stays empty
    rows = math.ceil(len(tables) / columns)
    step_x, step_y = width + layout.margin, height + top + layout.margin
    sheet = Image.new("RGB", (columns * step_x - layout.margin, rows * step_y - layout.margin), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, one in enumerate(tables):
        x, y = index % columns * step_x, index // columns * step_y
        sheet.paste(one, (x, y + top))
        if blocks:
            blocks[index].draw(pen, (x + width / 2, y + top / 2))
    return _bounded(sheet)


def _bounded(sheet: Image.Image) -> Image.Image:
    longest = max(sheet.size)
    if longest <= LONGEST:
        return sheet
    return sheet.resize((max(1, sheet.width * LONGEST // longest), max(1, sheet.height * LONGEST // longest)))


def _size(file: Path) -> tuple[int, int]:
    try:
        return open_picture(file).size
    except EmulsionError:
        return 0, 0


def _put(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, content: Path | str, place: tuple[int, int], layout: Layout
) -> None:
    """One cell, in the middle of its place. A picture that has gone missing leaves its words."""
    width, height = layout.cell
    words = content if isinstance(content, str) else ""
    if isinstance(content, Path):
        try:
            picture = load_picture(content).convert("RGB")
        except EmulsionError as error:
            words = str(error)
        else:
            if picture.width > width or picture.height > height:
                picture.thumbnail(layout.cell, Image.Resampling.LANCZOS)
            sheet.paste(picture, (place[0] + (width - picture.width) // 2, place[1] + (height - picture.height) // 2))
            return
    pen.rectangle((*place, place[0] + width - 1, place[1] + height - 1), fill=EMPTY)
    block = _block(words, width, max(11, layout.font_size * 3 // 4), max(1, int(height / layout.font_size)))
    block.draw(pen, (place[0] + width / 2, place[1] + height / 2), BAD)


# Labels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """Wrapped lines of one label."""

    lines: tuple[str, ...]
    font: Font
    size: int

    @property
    def width(self) -> float:
        return max((self.font.getlength(line) for line in self.lines), default=0)

    @property
    def height(self) -> int:
        return round(len(self.lines) * self.size * _SPACING)

    def draw(self, pen: ImageDraw.ImageDraw, centre: tuple[float, float], ink: tuple[int, int, int] = INK) -> None:
        """All lines, around a point."""
        y = centre[1] - self.height / 2 + self.size * (_SPACING - 1) / 2
        for line in self.lines:
            pen.text((centre[0] - self.font.getlength(line) / 2, y), line, ink, self.font)
            y += self.size * _SPACING


def _blocks(labels: Sequence[str], width: int, layout: Layout) -> list[_Block]:
    return [_block(label, width - layout.font_size // 2, layout.font_size, MOST_LINES) for label in labels]


def _block(label: str, width: int, size: int, most: int) -> _Block:
    font, text = font_for(label, size)
    lines = [line for part in text.splitlines() for line in wrapped(part, font, width)]
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][:-1].rstrip() + "…"]
    return _Block(tuple(lines), font, size)


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """A text in lines of at most `width` pixels, broken between words, and inside of words that are too long."""
    lines, line = [], ""
    for word in text.split():
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = ""
        for letter in word:
            if line and font.getlength(line + letter) > width:
                lines.append(line)
                line = ""
            line += letter
    return [*lines, line] if line else lines
