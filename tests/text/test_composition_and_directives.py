"""AND, and <name:arguments>."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.text.composition import split_composition
from webui.text.directives import Directive, cut_directives


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("", [("", 1.0)]),
        ("a cat AND a dog", [("a cat", 1.0), ("a dog", 1.0)]),
        ("a cat :1.2 AND a dog:-0.5 ", [("a cat", 1.2), ("a dog", -0.5)]),
        ("a cat: 2. AND dog :.5", [("a cat", 2.0), ("dog", 0.5)]),
        ("(cat:1.3) AND dog", [("(cat:1.3)", 1.0), ("dog", 1.0)]),
        ("SAND and BAND", [("SAND and BAND", 1.0)]),
        ("a AND b AND c", [("a", 1.0), ("b", 1.0), ("c", 1.0)]),
        ("time 12:30:2 AND b", [("time 12:30", 2.0), ("b", 1.0)]),
        ("a screen of 16:9", [("a screen of 16:9", 1.0)]),
        ("AND", [("", 1.0), ("", 1.0)]),
    ],
)
def test_prompts_split_at_and_with_their_weights(prompt, parts):
    assert split_composition(prompt) == tuple(parts)


@given(st.text())
def test_no_text_breaks_the_composition(text):
    assert all(isinstance(part, str) and abs(weight) <= 1e6 for part, weight in split_composition(text))


def test_directives_are_cut_out_and_reported_in_order():
    text, directives = cut_directives("a <lora:film look:0.8:te=0.5> cat<unknown:x>")
    assert text == "a  cat"
    assert directives == (
        Directive("lora", ("film look", "0.8"), {"te": "0.5"}, "<lora:film look:0.8:te=0.5>"),
        Directive("unknown", ("x",), {}, "<unknown:x>"),
    )


@pytest.mark.parametrize("text", ["a < b > c", "<3", "<lora>", "<lora:>", "<a b:c>", "->", "<lora:x"])
def test_what_only_resembles_a_directive_stays(text):
    assert cut_directives(text) == (text, ())


def test_named_arguments_may_stand_first_and_hold_equal_signs():
    (directive,) = cut_directives("<segment:face=a=b:2=3:c>")[1]
    assert directive.named == {"face": "a=b"}
    assert directive.positional == ("2=3", "c")


@given(st.text())
def test_nothing_but_directives_is_lost(text):
    rest, directives = cut_directives(text)
    assert len(rest) + sum(len(d.source) for d in directives) == len(text)


@pytest.mark.parametrize("unit", ["<a:", "<", "<aa", ">", "AND ", "a:1 ", ": "])
def test_hostile_texts_take_linear_time(unit):
    started = time.process_time()
    cut_directives(unit * 70_000)
    split_composition(unit * 70_000)
    assert time.process_time() - started < 20.0
