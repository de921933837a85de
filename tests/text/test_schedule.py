"""Prompt editing and alternation."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.text.schedule import Span, active_text, timeline


def texts(prompt, *steps, **options):
    return [(span.until_step, span.text) for span in timeline(prompt, *steps, **options)]


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [b:3 ]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("[cat:dog:0.5]", [(5, "cat"), (10, "dog")]),
        ("[cat::0.5]", [(5, "cat"), (10, "")]),
        ("[cat::3] x", [(3, "cat x"), (10, " x")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("[a:b:99]", [(10, "a")]),
        ("[a:b:1.5]", [(10, "a")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-3]", [(10, "b")]),
        ("[a:b:1.0]", [(10, "a")]),
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[3:4]", [(4, ""), (10, "3")]),
        (r"[\[a\]:3]", [(3, ""), (10, r"\[a\]")]),
    ],
)
def test_editing_switches_at_the_documented_step(prompt, spans):
    assert texts(prompt, 10) == spans


@pytest.mark.parametrize(
    "prompt",
    [
        "a [unbalanced",
        "a [{b|d{:.5] c",
        "a | b [c:3]",
        "(a|b) [c:3]",
        "[a:b|c]",
        "[a:3] trailing \\",
        "[a]",
        "[a:b:c:3]",
        "[a:3:b]",
        "[a:b]",
        "[" * 300 + "a" + ":3]" * 300,
    ],
)
def test_what_does_not_parse_is_used_unchanged(prompt):
    assert texts(prompt, 10) == [(10, prompt)]


def test_stray_brackets_before_an_edit_are_text():
    assert texts("((a][:b:c [d:3]", 10) == [(3, "((a][:b:c "), (10, "((a][:b:c d")]


def test_alternation_changes_each_step():
    assert texts("[a|(b:1.1)]", 4) == [(1, "a"), (2, "(b:1.1)"), (3, "a"), (4, "(b:1.1)")]


def test_alternation_takes_empty_options():
    assert texts("[fe|]male", 3) == [(1, "female"), (2, "male"), (3, "female")]
    assert [text for _, text in texts("[fe|||]male", 5)] == ["female", "male", "male", "male", "female"]


def test_alternation_inside_an_edit_and_an_edit_inside_an_alternation():
    assert [text for _, text in texts("[[a|b]:c:2]", 4)] == ["a", "b", "c", "c"]
    assert [text for _, text in texts("[[a:b:2]|c]", 4)] == ["a", "c", "b", "c"]


def test_alternations_of_different_lengths_run_independently():
    assert [text for _, text in texts("[a|b][1|2|3]", 6)] == ["a1", "b2", "a3", "b1", "a2", "b3"]


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a [b:.5] c", [(8, "a b c")]),
        ("a [b:1.5] c", [(4, "a  c"), (8, "a b c")]),
        ("[a:b:13]", [(3, "a"), (8, "b")]),
        ("[a:b:10]", [(8, "b")]),
        ("[a:b:2.0]", [(8, "a")]),
    ],
)
def test_the_second_pass_has_a_timeline_of_its_own(prompt, spans):
    assert texts(prompt, 10, 8) == spans


def test_old_timelines_read_fractions_below_one_and_know_no_second_pass():
    assert texts("[a:b:0.5]", 10, 8, old_timelines=True) == [(5, "a"), (10, "b")]
    assert texts("[a:b:3.7]", 10, old_timelines=True) == [(3, "a"), (10, "b")]


def test_second_order_samplers_double_the_steps_so_fractions_keep_their_place():
    assert texts("[a:b:0.5]", 2 * 20) == [(20, "a"), (40, "b")]
    assert texts("[a:b:10]", 2 * 20) == [(10, "a"), (40, "b")]


def test_the_active_text_at_a_step_is_the_first_span_that_reaches_it():
    spans = timeline("[a:b:2]", 4)
    assert [active_text(spans, step) for step in range(6)] == ["a", "a", "a", "b", "b", "b"]


GRAMMAR = st.text(alphabet="ab ()[]::|\\.15-\n", max_size=50)


@settings(max_examples=500, deadline=None)
@given(GRAMMAR | st.text(), st.integers(1, 12), st.none() | st.integers(1, 9))
def test_no_text_is_an_error_and_spans_rise_to_the_last_step(text, steps, hires):
    spans = timeline(text, steps, hires)
    assert spans[-1].until_step == (hires or steps)
    assert [span.until_step for span in spans] == sorted({span.until_step for span in spans})
    assert all(isinstance(span, Span) for span in spans)


@given(st.text(alphabet=st.characters(exclude_characters="["), max_size=80))
def test_a_prompt_without_square_brackets_never_changes(text):
    assert texts(text, 7) == [(7, text)]


@pytest.mark.parametrize("unit", ["[", "[a", "(a", "[a:b:c:", "[a:", "[a]", "[a:.5]", "x", "[(", ": ", "\\a"])
def test_a_long_hostile_prompt_takes_linear_time(unit):
    started = time.process_time()
    timeline("[" + unit * (200_000 // len(unit)), 20)
    assert time.process_time() - started < 20.0  # a quadratic parser would take minutes


def test_texts_that_would_fill_the_memory_are_refused():
    with pytest.raises(InvalidRequest, match="Shorten it"):
        timeline("[a|b]" + "x" * 200_000, 1000)
