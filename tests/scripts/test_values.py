"""The grammar of fields of values, by the examples that A1111 documents for its X/Y/Z plot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.scripts.values import booleans, decimals, join_list, sizes, split_list, whole_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-5 (+2)", [1, 3, 5]),
        ("10-5 (-3)", [10, 7]),
        ("1-10 [5]", [1, 3, 5, 7, 10]),
        ("3, 1, 2", [3, 1, 2]),
        ("1-3, 10, 20-22 (+1)", [1, 2, 3, 10, 20, 21, 22]),
        ("5-1", [5, 4, 3, 2, 1]),
        ("-2-2 (+2)", [-2, 0, 2]),
        ("-1", [-1]),
        ("7-9 [1]", [7]),
        ("1\n2\n\n3", [1, 2, 3]),
    ],
)
def test_whole_numbers_and_their_ranges(text: str, numbers: list[int]) -> None:
    assert whole_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1-3 (+0.5)", [1, 1.5, 2, 2.5, 3]),
        ("0.0-1.0 [6]", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ("0-1 [5]", [0, 0.25, 0.5, 0.75, 1]),
        ("0-1 (+0.1)", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        ("1-2 (+0.3)", [1, 1.3, 1.6, 1.9]),
        ("7.5, .5, 1e-3", [7.5, 0.5, 0.001]),
    ],
)
def test_decimals_and_their_ranges(text: str, numbers: list[float]) -> None:
    assert decimals(text) == numbers


@pytest.mark.parametrize(
    "text", ["a", "1.5", "1-3 (+0.5)", "1-5 (-1)", "1-5 (+0)", "1-999999999", "nan", "1-5 [0", "1 2"]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        whole_numbers(text)


def test_a_value_with_a_comma_stands_in_quotes() -> None:
    assert split_list('a cat, "a dog, running", a "bird"') == ["a cat", "a dog, running", 'a "bird"']
    assert split_list('"say ""hello""", next') == ['say "hello"', "next"]
    assert split_list(" , a,, b ,") == ["a", "b"]


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=12)


@given(st.lists(words.map(str.strip).filter(bool), max_size=5))
def test_a_written_list_is_read_back(values: list[str]) -> None:
    assert split_list(join_list(values)) == values


def test_sizes_and_yes_and_no() -> None:
    assert sizes("512x768, 64 × 64") == [(512, 768), (64, 64)]
    assert booleans("True, no, 1") == [True, False, True]
    for read, text in ((sizes, "512"), (booleans, "perhaps")):
        with pytest.raises(InvalidRequest):
            read(text)
