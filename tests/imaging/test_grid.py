"""Sheets of several pictures."""

from __future__ import annotations

import pytest
from PIL import Image

from webui.imaging.grid import grid_rows, sheet

COLOURS = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250))


@pytest.mark.parametrize(("count", "size"), [(1, (8, 6)), (2, (16, 6)), (3, (16, 12)), (4, (16, 12)), (5, (24, 12))])
def test_pictures_stand_in_rows_in_their_order(count: int, size: tuple[int, int]) -> None:
    made = sheet([Image.new("RGB", (8, 6), colour) for colour in COLOURS[:count]])
    assert made.size == size
    columns = size[0] // 8
    seen = [made.getpixel((index % columns * 8 + 4, index // columns * 6 + 3)) for index in range(count)]
    assert seen == list(COLOURS[:count])


def test_a_sheet_that_would_be_too_large_is_made_smaller() -> None:
    made = sheet([Image.new("RGB", (200, 100), colour) for colour in COLOURS], max_pixels=30_000)
    assert 27_000 < made.width * made.height <= 30_000
    assert made.getpixel((2, 2)) == COLOURS[0] and made.getpixel((2, made.height - 3)) == COLOURS[3]


@pytest.mark.parametrize(("setting", "size"), [(-1, (24, 12)), (0, (16, 18)), (1, (40, 6)), (9, (8, 30))])
def test_the_rows_of_a_sheet_are_those_that_are_wanted(setting: int, size: tuple[int, int]) -> None:
    pictures = [Image.new("RGB", (8, 6), colour) for colour in COLOURS]
    assert sheet(pictures, rows=grid_rows(setting, batch_size=3)).size == size
