"""Where pictures lie in a grid, by sampled pixels, and what its legend shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops

from webui.extend import Cell, Made
from webui.request import GenerationRequest
from webui.scripts import arguments_of, fonts, sheet, xyz
from webui.scripts.sheet import Layout


def colour(x: int, y: int, z: int = 0) -> tuple[int, int, int]:
    """The colour of a cell."""
    return 40 + 60 * x, 40 + 60 * y, 40 + 60 * z


def made_of(folder: Path, columns: int, rows: int, pages: int = 1, size: tuple[int, int] = (40, 30)) -> list[Made]:
    """Cells with pictures of one colour each."""
    made = []
    for z in range(pages):
        for y in range(rows):
            for x in range(columns):
                file = folder / f"{x}{y}{z}.png"
                Image.new("RGB", size, colour(x, y, z)).save(file)
                labels = (f"Steps: {x}", f"row {y}", f"page {z}" if pages > 1 else "")
                made.append(Made(Cell(GenerationRequest(), labels, (x, y, z)), file))
    return made


def plot(made: list[Made], **given: object) -> list[Image.Image]:
    """The sheets of an X/Y/Z plot."""
    return [one.picture for one in xyz.assemble(made, arguments_of("xyz", given))]


def test_without_a_legend_cells_lie_edge_to_edge(tmp_path: Path) -> None:
    (picture,) = plot(made_of(tmp_path, 3, 2), draw_legend=False)
    assert picture.size == (120, 60)
    for x in range(3):
        for y in range(2):
            for corner in ((0, 0), (39, 0), (0, 29), (39, 29)):
                assert picture.getpixel((x * 40 + corner[0], y * 30 + corner[1])) == colour(x, y)


def test_margins_stand_between_cells_only(tmp_path: Path) -> None:
    (picture,) = plot(made_of(tmp_path, 2, 2), draw_legend=False, margin_size=10)
    assert picture.size == (90, 70)
    assert [picture.getpixel((x, 0)) for x in (39, 40, 49, 50)] == [colour(0, 0), *[(255, 255, 255)] * 2, colour(1, 0)]


def test_a_legend_stands_above_and_at_the_left(tmp_path: Path) -> None:
    (picture,) = plot(made_of(tmp_path, 2, 2, size=(160, 160)))
    left, top = picture.width - 320, picture.height - 320
    assert left > 20 and top > 10
    for x in range(2):
        for y in range(2):
            assert picture.getpixel((left + x * 160, top + y * 160)) == colour(x, y)
            assert picture.getpixel((left + x * 160 + 159, top + y * 160 + 159)) == colour(x, y)

    def ink(box: tuple[int, int, int, int]) -> bool:
        return picture.crop(box).convert("L").getextrema()[0] < 80

    assert ink((left, 0, left + 160, top)) and ink((left + 160, 0, left + 320, top))
    assert ink((0, top, left, top + 160)) and ink((0, top + 160, left, top + 320))
    assert not ink((0, 0, left, top))  # the corner


def test_a_column_alone_leaves_no_room_for_labels_that_are_empty(tmp_path: Path) -> None:
    made = [
        Made(Cell(GenerationRequest(), ("", f"row {y}", ""), (0, y, 0)), m.picture)
        for y, m in enumerate(made_of(tmp_path, 1, 2))
    ]
    (picture,) = plot(made)
    assert picture.height == 60 and picture.width > 60


def test_pages_stand_side_by_side_below_their_titles(tmp_path: Path) -> None:
    made = made_of(tmp_path, 1, 2, 3)
    whole, *subs = plot(made, draw_legend=False, include_sub_grids=True)
    assert [sub.size for sub in subs] == [(40, 60)] * 3
    assert whole.size == (80, 120)  # two columns are nearest to a square
    assert [whole.getpixel((z % 2 * 40 + 5, z // 2 * 60 + 35)) for z in range(3)] == [colour(0, 1, z) for z in range(3)]


def test_a_smaller_picture_lies_in_the_middle_of_its_cell(tmp_path: Path) -> None:
    made = made_of(tmp_path, 2, 1)
    Image.new("RGB", (20, 10), colour(1, 0)).save(made[1].picture)
    (picture,) = plot(made, draw_legend=False)
    inside = [picture.getpixel(place) == colour(1, 0) for place in ((49, 15), (50, 10), (69, 19), (70, 15))]
    assert picture.size == (80, 30) and inside == [False, True, True, False]


def test_a_cell_that_failed_shows_why_and_one_left_out_is_blank(tmp_path: Path) -> None:
    made = made_of(tmp_path, 3, 1, size=(120, 120))
    made[1], made[2] = Made(made[1].cell, None, "There is no sampler named X."), Made(made[2].cell)
    (picture,) = plot(made, draw_legend=False)
    blank = Image.new("RGB", (120, 120), sheet.EMPTY)
    cells = [picture.crop((x * 120, 0, x * 120 + 120, 120)) for x in range(3)]
    assert ImageChops.difference(cells[2], blank).getbbox() is None
    assert ImageChops.difference(cells[1], blank).getbbox() is not None
    assert cells[1].getpixel((2, 2)) == sheet.EMPTY


def test_a_huge_grid_is_scaled_down_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "LARGEST", 6000)
    (one,) = xyz.assemble(made_of(tmp_path, 4, 5), arguments_of("xyz", {"draw_legend": False}))
    assert one.picture.width * one.picture.height <= 6000
    assert "scaled down from 40×30 to 20×15" in one.notes[0]
    assert one.picture.getpixel((30, 22)) == colour(1, 1)


def test_a_long_side_stays_within_what_formats_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "LONGEST", 100)
    (picture,) = plot(made_of(tmp_path, 5, 1), draw_legend=False)
    assert picture.size == (100, 15)


def test_a_file_that_is_gone_does_not_stop_the_grid(tmp_path: Path) -> None:
    made = made_of(tmp_path, 2, 1)
    made[0].picture.unlink()
    (picture,) = plot(made, draw_legend=False)
    assert picture.getpixel((60, 15)) == colour(1, 0)


def test_long_labels_are_wrapped_within_their_width() -> None:
    font, _ = fonts.font_for("a", 12)
    lines = sheet.wrapped("a rather long label with anextremelylongwordthatneedsbreaking inside", font, 80)
    assert len(lines) > 4
    assert all(font.getlength(line) <= 80 for line in lines)
    assert "".join(lines).replace(" ", "") == "aratherlonglabelwithanextremelylongwordthatneedsbreakinginside"


def test_a_label_without_a_font_is_written_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "fonts_of_the_system", lambda: ())
    font, text = fonts.font_for("水彩 café – 640×480", 14)
    assert text == "\\u6c34\\u5f69 caf\\xe9 \\u2013 640\\xd7480"
    assert font.getlength(text) > 0


@pytest.mark.skipif(not fonts.fonts_of_the_system(), reason="no other font is installed")
@pytest.mark.parametrize("label", ["plain words", "crème brûlée", "640×480 – “Łódź”", "эмульсия"])
def test_no_letter_of_a_label_is_drawn_as_a_box(label: str) -> None:
    font, text = fonts.font_for(label, 20)
    box = font.getmask("\uffff")
    assert text == label
    assert all(bytes(font.getmask(letter)) != bytes(box) for letter in label if letter != " ")


@pytest.mark.skipif(not fonts.wide_fonts(), reason="no font with Chinese characters is installed")
def test_chinese_labels_are_drawn_with_a_font_of_the_system() -> None:
    font, text = fonts.font_for("水彩", 20)
    assert text == "水彩" and font.getmask("水").getbbox() != font.getmask("\uffff").getbbox()


def test_the_legend_grows_with_the_cells() -> None:
    assert Layout((64, 64)).font_size == 11
    assert Layout((512, 512)).font_size > 20
