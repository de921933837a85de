"""Words become spans of weighted texts; directives are carried out or left out."""

import pytest

from webui.engine.prompts import (
    PromptSpan,
    carry_out_directives,
    negative_spans,
    positive_spans,
    texts_of,
)
from webui.errors import ExtensionError
from webui.extend import PromptText
from webui.registry import Registry


def test_a_plain_prompt_is_one_span():
    assert positive_spans("a cat", 20) == (PromptSpan(20, (("a cat", 1.0),)),)


def test_parts_of_and_keep_their_weights_and_are_cut_where_any_of_them_changes():
    spans = positive_spans("a [cat:dog:0.5] AND a hat :0.5", 20)
    assert spans == (
        PromptSpan(10, (("a cat", 1.0), ("a hat", 0.5))),
        PromptSpan(20, (("a dog", 1.0), ("a hat", 0.5))),
    )


def test_a_negative_prompt_is_edited_but_not_composed():
    spans = negative_spans("[mud:fog:0.25] AND rain", 8)
    assert [(span.until_step, span.parts) for span in spans] == [
        (2, (("mud AND rain", 1.0),)),
        (8, (("fog AND rain", 1.0),)),
    ]


def test_a_later_pass_has_the_second_half_of_the_timeline():
    assert [s.parts[0][0] for s in positive_spans("[cat:dog:1.5]", 20, 10)] == ["cat", "dog"]
    assert [s.until_step for s in positive_spans("[cat:dog:1.5]", 20, 10)] == [5, 10]


def test_every_text_is_encoded_once():
    prompts = positive_spans("[a|b]", 10), negative_spans("a", 10)
    assert texts_of(*prompts) == ("a", "b")


def prompt(positive, negative=""):
    return PromptText(positive, negative, 7, 2)


def test_a_directive_is_replaced_by_what_its_function_returns():
    known = Registry("directive")
    known.register("pick")(lambda call: f"{call.positional[0]} {call.named['k']} {call.seed} {call.index}")
    changed, unknown = carry_out_directives(prompt("a <pick:cat:k=v> here"), known)
    assert changed.positive == "a cat v 7 2 here"
    assert unknown == ()


def test_directives_may_return_directives_but_not_for_ever():
    known = Registry("directive")
    known.register("outer")(lambda call: "<inner:x>")
    known.register("inner")(lambda call: "found")
    known.register("loop")(lambda call: "<loop:x>")
    assert carry_out_directives(prompt("<outer:x>"), known)[0].positive == "found"
    assert carry_out_directives(prompt("a<loop:x>"), known)[0].positive == "a"


def test_unknown_directives_are_cut_from_both_prompts_and_told():
    changed, unknown = carry_out_directives(prompt("a<lora:film:1> cat", "mud<lora:film:1>"), Registry("directive"))
    assert (changed.positive, changed.negative) == ("a cat", "mud")
    assert [found.source for found in unknown] == ["<lora:film:1>"]


@pytest.mark.parametrize("function", [lambda call: 1 / 0, lambda call: 3])
def test_a_failing_directive_is_named(function):
    known = Registry("directive")
    known.register("bad")(function)
    with pytest.raises(ExtensionError, match="<bad:x>"):
        carry_out_directives(prompt("<bad:x>"), known)
