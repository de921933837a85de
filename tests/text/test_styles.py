"""Styles from CSV files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import DamagedFile, InvalidRequest
from webui.text.styles import Style, apply_styles, extract_styles, merge, read_styles


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_styles_are_read_with_quoting_line_breaks_and_a_byte_order_mark(tmp_path):
    path = write(
        tmp_path / "styles.csv", 'name,prompt,negative_prompt\nA,"x, {prompt},\ny",bad\n中文,水墨,\n', "utf-8-sig"
    )
    styles = read_styles([path])
    assert styles["A"] == Style("A", "x, {prompt},\ny", "bad", "styles.csv")
    assert styles["中文"].prompt == "水墨"


def test_of_equal_names_the_first_file_counts(tmp_path):
    first = write(tmp_path / "a.csv", "name,prompt,negative_prompt\nA,one,\n")
    second = write(tmp_path / "b.csv", "name,prompt,negative_prompt\nA,two,\nB,three,\n")
    styles = read_styles([first, second])
    assert (styles["A"].prompt, styles["B"].source) == ("one", "b.csv")


def test_the_oldest_column_name_is_understood(tmp_path):
    assert read_styles([write(tmp_path / "s.csv", "name,text\nA,one\n")])["A"] == Style("A", "one", "", "s.csv")


def test_rows_without_a_name_are_separators(tmp_path):
    assert read_styles([write(tmp_path / "s.csv", "name,prompt,negative_prompt\n,---,\n\nA,one,x\n")]).keys() == {"A"}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'name,prompt\nA,"' + b"x" * 1_100_000])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"broken\.csv"):
        read_styles([path])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"gone\.csv"):
        read_styles([tmp_path / "gone.csv"])


@pytest.mark.parametrize(
    ("style", "prompt", "merged"),
    [
        ("photo of {prompt}, film", "a cat", "photo of a cat, film"),
        ("film", "a cat ", "a cat, film"),
        ("film", "", "film"),
        ("", "a cat", "a cat"),
    ],
)
def test_a_style_is_inserted_or_appended(style, prompt, merged):
    assert merge(style, prompt) == merged


STYLES = {
    "film": Style("film", "film, {prompt}, grain", "blurry"),
    "ink": Style("ink", "ink", ""),
    "same": Style("same", "{prompt}", ""),
}


def test_styles_are_applied_one_after_the_other():
    assert apply_styles("cat", "dog", ["film", "ink"], STYLES) == ("film, cat, grain, ink", "dog, blurry")


def test_a_style_without_a_text_leaves_that_prompt_untouched():
    assert apply_styles(" cat ", " dog ", ["ink"], STYLES)[1] == " dog "


def test_an_unknown_style_is_named():
    with pytest.raises(InvalidRequest, match="'oil'"):
        apply_styles("cat", "", ["oil"], STYLES)


def test_styles_are_found_again_in_the_prompts():
    assert extract_styles("film, cat, grain, ink", "dog, blurry", STYLES) == ("cat", "dog", ("film", "ink"))


def test_a_prompt_without_styles_is_left_alone():
    assert extract_styles("cat", "dog", STYLES) == ("cat", "dog", ())


@given(st.text(), st.text())
def test_extraction_never_fails_and_applying_again_gives_the_same_prompt(prompt, negative):
    bare, bare_negative, names = extract_styles(prompt, negative, STYLES)
    again = apply_styles(bare, bare_negative, names, STYLES)
    assert [text.split() for text in again] == [text.split() for text in (prompt, negative)]
