"""Weights of words keep their numbers on the way into this program's grammar."""

from __future__ import annotations

import pytest

from webui.exchange.weights import from_comfyui, from_invokeai, from_novelai, is_weighted
from webui.text.attention import parse_attention


def pieces(text: str) -> list[tuple[str, float]]:
    """What the text encoder is told, rounded as far as the texts are."""
    return [(part, round(weight, 4)) for part, weight in parse_attention(text)]


@pytest.mark.parametrize(
    ("theirs", "meant"),
    [
        ("a (b) c", [("a ", 1), ("b", 1.1), (" c", 1)]),
        ("(a:1.3)", [("a", 1.3)]),
        ("((a))", [("a", 1.21)]),
        ("((a:1.3))", [("a", 1.3)]),  # a number counts whatever is around it
        ("(a (b:0.5):1.2)", [("a ", 1.2), ("b", 0.5)]),
        ("[a] (b)", [("[a] ", 1), ("b", 1.1)]),  # square brackets are text
        (r"\(a\) (b)", [("(a) ", 1), ("b", 1.1)]),
        ("(a", [("(a", 1)]),
        ("a) (b:1.2)", [("a) (b:1.2)", 1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:-0.5)", [("a", -0.5)]),
        ("(a:1e1)", [("a", 10)]),
        (r"back\slash", [(r"back\slash", 1)]),
        ("embedding:folder/easy.pt, a", [("easy, a", 1)]),
    ],
)
def test_comfyui(theirs, meant):
    assert pieces(from_comfyui(theirs)) == meant


def test_texts_that_read_alike_in_both_grammars_stay_as_they_are():
    text = "a (b:1.2), ((c)), d"
    assert from_comfyui(text) == text and from_novelai("a, b") == "a, b" and from_invokeai("a, b") == ("a, b", True)


@pytest.mark.parametrize(
    ("theirs", "meant"),
    [
        ("{a}", [("a", 1.05)]),
        ("{{a}}, b", [("a", 1.1025), (", b", 1)]),
        ("[a]", [("a", 0.9524)]),
        ("{a, [b]}", [("a, ", 1.05), ("b", 1)]),
        ("(a)", [("(a)", 1)]),
        ("1.5::a, b::, c", [("a, b", 1.5), (", c", 1)]),
        ("-1::hat::, {b}", [("hat", -1), (", ", 1), ("b", 1.05)]),
        ("{a", [("a", 1.05)]),
    ],
)
def test_novelai(theirs, meant):
    assert pieces(from_novelai(theirs)) == meant


# The right column is what the prompt parser of compel 2.5.1, InvokeAI's own, gives.
@pytest.mark.parametrize(
    ("theirs", "meant"),
    [
        ("a tall thin man picking apricots++", [("a tall thin man picking ", 1), ("apricots", 1.21)]),
        ("a (tall thin)+ man", [("a ", 1), ("tall thin", 1.1), (" man", 1)]),
        ("a (tall (thin)+)1.2 man--", [("a ", 1), ("tall ", 1.2), ("thin", 1.32), (" ", 1), ("man", 0.81)]),
        ("a house (on fire)0.5, sea", [("a house ", 1), ("on fire", 0.5), (", sea", 1)]),
        (r"a \(literal\) cat+", [("a (literal) ", 1), ("cat", 1.1)]),
        ("(plain) group", [("plain group", 1)]),
        ("well-known word", [("well-known word", 1)]),
        ("state-of-the-art+", [("state-of-the-art", 1.1)]),
        ("d---, e", [("d", 0.729), (", e", 1)]),
        ("(fish (red)1.5)0.8", [("fish ", 0.8), ("red", 1.2)]),
    ],
)
def test_invokeai(theirs, meant):
    text, whole = from_invokeai(theirs)
    assert pieces(text) == meant and whole


@pytest.mark.parametrize("text", ['("a","b").blend(1,1)', '("a", "b").and()', "a cat.swap(dog)", "a (cat).swap(dog)"])
def test_what_invokeai_alone_can_say_is_told_apart(text):
    assert from_invokeai(text) == (text, False)


def test_only_weights_that_are_not_one_count():
    assert is_weighted("(a:1.2)") and not is_weighted("(a:1.0) BREAK b") and not is_weighted("")


def test_deep_and_long_texts_take_little_time():
    for text in (
        "(" * 50_000,
        "(" * 20_000 + ")" * 20_000,
        "a-" * 50_000,
        "{" * 50_000 + "a",
        "1::" * 30_000,
        "a+" * 30_000,
    ):
        for convert in (from_comfyui, from_novelai, from_invokeai):
            assert "end" in str(convert(text + " end"))


def test_prompt_editing_weighs_nothing():
    assert not is_weighted("[a cat:a dog:0.5], [::0.1]") and is_weighted("[a (big:1.2) cat:a dog:0.5]")
