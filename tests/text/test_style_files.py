"""Styles written one at a time, with all else in the files left as it was."""

from __future__ import annotations

import csv
import io

import pytest

from webui.errors import DamagedFile, FileError, InvalidRequest, NotFound
from webui.text import style_files
from webui.text.style_files import Imported, StyleFiles
from webui.text.styles import Style

FOREIGN = 'name,colour,prompt,negative_prompt\n-----,,,\nInk,blue,"ink, {prompt}",bad\n\nOil,red,oil,\n'


@pytest.fixture
def files(tmp_path):
    return StyleFiles(tmp_path)


def test_a_new_style_makes_a_file_that_a1111_reads(files, tmp_path):
    files.put(Style("水墨", 'ink "wash",\n{prompt}', "photo"))
    data = (tmp_path / "styles.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfname,prompt,negative_prompt\r\n")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [{"name": "水墨", "prompt": 'ink "wash",\n{prompt}', "negative_prompt": "photo"}]
    assert files.styles() == {"水墨": Style("水墨", 'ink "wash",\n{prompt}', "photo", "styles.csv")}


def test_a_change_leaves_other_rows_columns_dividers_and_line_ends(files, tmp_path):
    (tmp_path / "styles.csv").write_text(FOREIGN, newline="")
    files.put(Style("Ink", "new ink", "worse"))
    expected = FOREIGN.replace('"ink, {prompt}",bad', "new ink,worse")
    assert (tmp_path / "styles.csv").read_bytes() == expected.encode()


def test_a_style_is_changed_in_the_file_that_it_came_from(files, tmp_path):
    (tmp_path / "styles.csv").write_text("name,prompt,negative_prompt\nA,one,\n")
    (tmp_path / "styles_mine.csv").write_text("name,prompt,negative_prompt\nB,two,\n")
    before = (tmp_path / "styles.csv").read_bytes()
    files.put(Style("C", "three"), was="B")
    assert (tmp_path / "styles.csv").read_bytes() == before
    assert files.styles()["C"] == Style("C", "three", "", "styles_mine.csv") and "B" not in files.styles()


def test_the_oldest_column_name_stays_and_is_written(files, tmp_path):
    (tmp_path / "styles.csv").write_text("name,text\nA,one\n", newline="")
    files.put(Style("A", "two", "not"))
    assert (tmp_path / "styles.csv").read_text() == "name,text,negative_prompt\nA,two,not\n"


def test_a_deleted_style_is_gone_from_every_file(files, tmp_path):
    for name in ("styles.csv", "styles_b.csv"):
        (tmp_path / name).write_text("name,prompt,negative_prompt\nA,one,\nB,two,\n", newline="")
    files.delete("A")
    assert list(files.styles()) == ["B"]
    assert (tmp_path / "styles_b.csv").read_text() == "name,prompt,negative_prompt\nB,two,\n"
    with pytest.raises(NotFound, match="'A'"):
        files.delete("A")


def test_a_style_cannot_take_the_name_of_another(files):
    files.put(Style("A", "one"))
    files.put(Style("B", "two"))
    with pytest.raises(InvalidRequest, match="already"):
        files.put(Style("B", "three"), was="A")
    with pytest.raises(NotFound, match="'gone'"):
        files.put(Style("C", "three"), was="gone")
    assert files.styles()["B"].prompt == "two"


@pytest.mark.parametrize("style", [
    Style(""), Style("  "), Style("two\nlines"), Style("x" * 201), Style("\ud800"), Style("A", "\ud800"),
    Style("A", "a\0b"), Style("A", "", "x" * 100_001),
])  # fmt: skip
def test_what_no_file_can_hold_is_refused(files, tmp_path, style):
    with pytest.raises(InvalidRequest):
        files.put(style)
    assert list(tmp_path.iterdir()) == []


def test_an_imported_file_adds_what_is_new_and_overwrites_nothing(files):
    files.put(Style("A", "mine"))
    files.put(Style("B", "same"))
    data = "\ufeffname,prompt,negative_prompt\r\nA,theirs,\r\nB,same,\r\nC,new,bad\r\nC,again,\r\n".encode()
    assert files.take_over(data) == Imported(("C",), ("A",))
    assert {name: style.prompt for name, style in files.styles().items()} == {"A": "mine", "B": "same", "C": "new"}


TABLE = (
    'name,prompt,negative_prompt\r\n水墨　风格,"水墨画, {prompt}, 留白",“模糊”，低质量\r\nPlain,"a ""b"",\r\nc",\r\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_a_table_is_read_as_its_editor_wrote_it_and_written_so_that_all_can(files, tmp_path, encoding):
    assert files.take_over(TABLE.encode(encoding)).added == ("水墨　风格", "Plain")
    assert files.styles()["水墨　风格"] == Style("水墨　风格", "水墨画, {prompt}, 留白", "“模糊”，低质量", "styles.csv")
    assert files.styles()["Plain"].prompt == 'a "b",\r\nc'
    (tmp_path / "styles.csv").write_bytes(TABLE.encode(encoding))
    files.put(Style("新", "new"))
    data = (tmp_path / "styles.csv").read_bytes()
    assert data == ("" if encoding == "utf-8" else "\ufeff").encode() + (TABLE + "新,new,\r\n").encode()


def test_western_letters_are_not_read_as_chinese(files):
    with pytest.raises(DamagedFile, match="UTF-8"):
        files.take_over("name,prompt,negative_prompt\nété,crème brûlée à la carte,\n".encode("latin-1"))


def test_a_name_of_several_lines_does_not_keep_the_others_of_an_import_out(files):
    taken = files.take_over(b'name,prompt,negative_prompt\n"two\nlines",a,\nother,b,\n')
    assert taken.added == ("two lines", "other")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", "名".encode("gbk"), b"a,b\n1,2\n", b"name\nA\n"])
def test_a_file_that_is_no_table_of_styles_is_not_imported(files, tmp_path, data):
    with pytest.raises(DamagedFile):
        files.take_over(data, "theirs.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_never_overwritten(files, tmp_path):
    damaged = "name,prompt\nété,été\n".encode("latin-1")
    (tmp_path / "styles.csv").write_bytes(damaged)
    with pytest.raises(DamagedFile):
        files.put(Style("A", "one"))
    assert (tmp_path / "styles.csv").read_bytes() == damaged


def test_a_full_disk_is_told_and_the_old_file_stays(files, tmp_path, monkeypatch):
    files.put(Style("A", "one"))
    before = (tmp_path / "styles.csv").read_bytes()

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(style_files, "write_atomically", full)
    with pytest.raises(FileError, match="No space left"):
        files.put(Style("A", "two"))
    assert (tmp_path / "styles.csv").read_bytes() == before
