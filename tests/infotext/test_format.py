"""The text under a picture: prompt, negative prompt, parameter line."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.infotext_format import infotext_key, read_infotext, write_infotext

FIELDS = {"Steps": 20, "Sampler": "Euler a", "CFG scale": 7.0}
LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7"

CIVITAI = """masterpiece, (best quality:1.2), <lora:film:0.8>
a girl
Negative prompt: blurry, (bad:1.3)
worst quality
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 5.5, Seed: 3141592653, Size: 512x768, Model hash: 6ce0161689, \
Model: v1-5-pruned-emaonly, Clip skip: 2, Lora hashes: "film: 0123456789ab, other: ba9876543210", \
Hires prompt: "a, \\"b\\":\\nc", Version: v1.10.1"""


def test_the_three_parts_stand_on_their_lines():
    assert write_infotext("a cat", "blurry", FIELDS) == f"a cat\nNegative prompt: blurry\n{LINE}"


def test_empty_prompts_leave_no_line():
    assert write_infotext("", "", FIELDS) == LINE
    assert write_infotext("a cat", "", FIELDS) == f"a cat\n{LINE}"
    assert write_infotext("", "blurry", FIELDS) == f"Negative prompt: blurry\n{LINE}"


def test_keys_stand_in_the_order_that_other_programs_expect():
    fields = {"Version": "x", "Own": 1, "Size": "8x8", "User": "u", "Tiling": True, "Seed": 5, "Other": 2, "Steps": 3}
    text = write_infotext("", "", fields)
    assert text == "Steps: 3, Seed: 5, Size: 8x8, Tiling: True, Own: 1, Other: 2, Version: x, User: u"


def test_none_is_left_out_and_a_value_equal_to_its_key_is_a_flag():
    assert write_infotext("", "", FIELDS | {"Gone": None, "Fancy": "Fancy"}) == f"{LINE}, Fancy"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("a, b", '"a, b"'),
        ("a: b", '"a: b"'),
        ("a\nb", '"a\\nb"'),
        ('say "x": y', '"say \\"x\\": y"'),
        ('"quoted"', '"\\"quoted\\""'),
        ("中文, x", '"中文, x"'),
        ("", '""'),
        (" padded ", '" padded "'),
        ("512x512", '"512x512"'),
        (7.0, "7"),
        (7.5, "7.5"),
        (1e-7, "1e-07"),
        (True, "True"),
        (-1, "-1"),
    ],
)
def test_values_are_quoted_where_they_must_be(value, written):
    assert write_infotext("", "", FIELDS | {"Own key": value}) == f"{LINE}, Own key: {written}"


def test_a_text_of_another_program_is_taken_apart():
    read = read_infotext(CIVITAI)
    assert read.prompt == "masterpiece, (best quality:1.2), <lora:film:0.8>\na girl"
    assert read.negative_prompt == "blurry, (bad:1.3)\nworst quality"
    assert read.fields == {
        "Steps": "28",
        "Sampler": "DPM++ 2M Karras",
        "CFG scale": "5.5",
        "Seed": "3141592653",
        "Size-1": "512",
        "Size-2": "768",
        "Model hash": "6ce0161689",
        "Model": "v1-5-pruned-emaonly",
        "Clip skip": "2",
        "Lora hashes": "film: 0123456789ab, other: ba9876543210",
        "Hires prompt": 'a, "b":\nc',
        "Version": "v1.10.1",
    }


def test_values_that_are_json_are_read_whole():
    hashes, resources = '{"vae": "63aeecb90f", "lora:film": "5a33"}', '[{"type":"lora","weight":0.8},{"type":"vae"}]'
    read = read_infotext(f"a\n{LINE}, Hashes: {hashes}, Civitai resources: {resources}, Version: v1")
    assert read.fields["Hashes"] == hashes and read.fields["Civitai resources"] == resources
    assert set(read.fields) == {"Steps", "Sampler", "CFG scale", "Hashes", "Civitai resources", "Version"}


def test_brackets_that_are_no_json_are_a_text_up_to_the_comma():
    assert read_infotext(f"{LINE}, Own: [Forge] Flux, Other: [1, 2").fields["Own"] == "[Forge] Flux"
    assert read_infotext(f"{LINE}, Other: [1, 2").fields["Other"] == "[1"


def test_line_breaks_of_windows_are_line_breaks():
    read = read_infotext(f"a cat,\r\nred\r\nNegative prompt: b\r\n{LINE}\r\n")
    assert (read.prompt, read.negative_prompt, read.fields["Steps"]) == ("a cat,\nred", "b", "20")


def test_fields_that_follow_an_empty_negative_prompt_on_its_line_are_fields():
    read = read_infotext(f"a cat\nNegative prompt: {LINE}")
    assert (read.prompt, read.negative_prompt, read.fields["Steps"]) == ("a cat", "", "20")


def test_a_template_below_the_fields_is_a_field():
    read = read_infotext(f"a red cat\nNegative prompt: b\n{LINE}\nTemplate: a {{red|blue}} cat\nNegative Template: b")
    assert (read.prompt, read.negative_prompt, read.fields["Steps"]) == ("a red cat", "b", "20")
    assert read.fields["Template"] == "a {red|blue} cat\nNegative Template: b"


def test_a_last_line_with_fewer_than_three_fields_is_prompt():
    read = read_infotext("a cat\nnote: this, ratio 16: 9")
    assert (read.prompt, read.fields) == ("a cat\nnote: this, ratio 16: 9", {})


def test_a_prompt_alone_and_a_parameter_line_alone_are_understood():
    assert read_infotext("a cat").prompt == "a cat"
    assert read_infotext(LINE).fields == {"Steps": "20", "Sampler": "Euler a", "CFG scale": "7"}


def test_whitespace_around_a_pasted_text_does_no_harm():
    assert read_infotext(f"a cat\n{LINE}\n\n  ").fields["Steps"] == "20"


@pytest.mark.parametrize("broken", ['Own: "a\\q"', 'Own: "', 'Own: "a" b', "Own: {1"])
def test_a_broken_quotation_is_taken_literally(broken):
    assert read_infotext(f"{LINE}, {broken}").fields["Own"] == broken.removeprefix("Own: ")


def test_prompts_that_resemble_the_format_get_an_exact_copy():
    prompt = f"a\nNegative prompt: b\n{LINE}"
    text = write_infotext(prompt, "", FIELDS)
    assert "Exact prompt: " in text
    assert (read_infotext(text).prompt, read_infotext(text).negative_prompt) == (prompt, "")


def test_ordinary_prompts_get_no_exact_copy():
    assert "Exact" not in write_infotext("a cat, \n  (dog:1.2)\n\nb ", "blurry,\n bad ", FIELDS)


def test_the_text_itself_holds_neither_nul_nor_lone_surrogates():
    text = write_infotext("a\0b\ud800", "\udfff", FIELDS | {"Own": "x\0\ud800"})
    assert "\0" not in text
    assert text.encode("utf-8")
    read = read_infotext(text)
    assert (read.prompt, read.negative_prompt, read.fields["Own"]) == ("a\0b\ud800", "\udfff", "x\0\ud800")


@pytest.mark.parametrize(
    ("name", "key"), [("Own key", "Own key"), ("a:b,c", "a_b_c"), ("x", "x_"), ("", "__"), ("-/ ok", "ok")]
)
def test_any_name_can_be_made_a_key(name, key):
    assert infotext_key(name) == key
    assert read_infotext(write_infotext("", "", FIELDS | {name: "value"})).fields[key] == "value"


PIECES = (
    *("\n", "\r", "Negative prompt: ", "Steps: 20", ", ", "Seed: 1", ":", '"', "\\", "\0", " ", "a", "Exact prompt: "),
    *("👩‍👩‍👧", "שלום", "\u202e", "\u2028", "\x85", "512x512", "BREAK", "Sampler: Euler a"),
)
HOSTILE = st.text(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@settings(max_examples=500, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_whatever_is_written_reads_back(prompt, negative, value):
    read = read_infotext(write_infotext(prompt, negative, FIELDS | {"Own key": value}))
    assert (read.prompt, read.negative_prompt) == (prompt, negative)
    if value != "Own key":  # a flag, which other programs write the same way
        assert read.fields["Own key"] == value


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_any_text_can_be_read(text):
    read = read_infotext(text)
    assert all(isinstance(part, str) for part in (read.prompt, read.negative_prompt, *read.fields.values()))


@pytest.mark.parametrize(
    "unit", ["a", "a ", "a:", 'ab:"', 'ab:"\\"', "ab:1,", ",", "\n", '"', "Negative prompt:\n", "ab: "]
)
def test_a_long_hostile_text_takes_linear_time(unit):
    started = time.process_time()
    read_infotext(unit * (1_000_000 // len(unit)))
    assert time.process_time() - started < 5.0  # a quadratic reader would take hours
