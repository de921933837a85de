"""Emphasis in prompts."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.text.attention import BREAK, parse_attention

GRAMMAR = st.text(alphabet="ab ()[]:\\.15-BREAK\n", max_size=60)


def weights(text, emphasis="Original"):
    return [(piece, pytest.approx(weight)) for piece, weight in parse_attention(text, emphasis)]


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
        ("[less]", [("less", 1 / 1.1)]),
        ("[[less]] [", [("less", 1 / 1.21), (" ", 1.0)]),
        ("[x:1.3]", [("x:1.3", 1 / 1.1)]),
        ("stray ) and ] and :", [("stray ) and ] and :", 1.0)]),
        ("no bracket:1.3)", [("no bracket:1.3)", 1.0)]),
        ("(a: 1.5 )", [("a", 1.5)]),
        ("(a:-0.5)", [("a", -0.5)]),
        ("(a:+.5)", [("a", 0.5)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:b)", [("a:b", 1.1)]),
        (r"a \\ b", [("a \\ b", 1.0)]),
        (r"a \n b", [("a n b", 1.0)]),
        ("([crossing)]", [("crossing", 1.0)]),
        ("", [("", 1.0)]),
        ("()", [("", 1.0)]),
    ],
)
def test_brackets_weigh_as_documented(prompt, pieces):
    assert weights(prompt) == pieces


def test_break_is_a_piece_of_its_own_and_takes_the_whitespace_with_it():
    assert parse_attention("a \nBREAK\n b") == [("a", 1.0), BREAK, ("b", 1.0)]


def test_break_counts_as_a_whole_upper_case_word_only():
    assert parse_attention("OUTBREAK break BREAKS") == [("OUTBREAK break BREAKS", 1.0)]


def test_break_also_breaks_inside_brackets():
    assert weights("(a BREAK b:1.2)") == [("a", 1.2), BREAK, ("b", 1.2)]


def test_two_breaks_stay_two():
    assert parse_attention("BREAK BREAK") == [BREAK, BREAK]


def test_with_emphasis_none_brackets_are_literal():
    assert parse_attention("(a:1.2) \\(b\\) BREAK [c]", "None") == [("(a:1.2) \\(b\\)", 1.0), BREAK, ("[c]", 1.0)]


def test_with_emphasis_ignore_brackets_vanish_and_words_stay_apart():
    assert parse_attention("a(b:1.5)c", "Ignore") == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


@settings(max_examples=500, deadline=None)
@given(GRAMMAR | st.text())
def test_no_text_is_an_error_and_weights_stay_finite(text):
    pieces = parse_attention(text)
    assert pieces
    assert all(piece == BREAK or abs(piece[1]) <= 1.1e6 for piece in pieces)


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\"), max_size=80).filter(lambda t: "BREAK" not in t))
def test_text_without_brackets_is_one_piece_of_weight_one(text):
    assert parse_attention(text) == [(text, 1.0)]


@given(GRAMMAR.filter(lambda t: "BREAK" not in t and "\\" not in t and ":" not in t))
def test_only_brackets_are_lost(text):
    kept = "".join(piece for piece, _ in parse_attention(text))
    assert [c for c in kept if c not in "()[]"] == [c for c in text if c not in "()[]"]


@given(st.text())
def test_escaped_text_reads_back_as_itself(text):
    escaped = "".join("\\" + c if c in "()[]\\" else c for c in text.replace("BREAK", ""))
    assert "".join(piece for piece, _ in parse_attention(escaped)) == text.replace("BREAK", "")


@pytest.mark.parametrize(
    "unit", ["(", "(a", "([a", "(a:1.5)", ":", " ", "\\", "(a)]", "BREAK ", "9", "(a:99999999999)"]
)
def test_a_long_hostile_prompt_takes_linear_time(unit):
    started = time.process_time()
    parse_attention(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 20.0  # a quadratic parser would take minutes
