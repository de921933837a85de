"""Any bytes give a typed error or a PictureInfo whose request a plan would take; bombs and giants are bounded."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.exchange import samples
from tests.exchange.graphs import DEFAULT, FLUX, KOLORS, LINKS, changed, editor, editor_default, node
from tests.exchange.writers import png, stealth, with_comment
from webui.errors import DamagedFile, EmulsionError
from webui.exchange import read_picture, read_workflow
from webui.exchange.documents import JSON_LIMIT, parse_json
from webui.request import check

JSON_SAMPLES: list[Any] = [
    samples.FOOOCUS,
    samples.INVOKEAI_2,
    samples.INVOKEAI_3,
    samples.NOVELAI,
    samples.SWARMUI,
    samples.EASY_DIFFUSION,
    samples.DRAW_THINGS,
]
GRAPHS: list[Any] = [DEFAULT, FLUX, KOLORS, editor(*editor_default().values(), links=LINKS)]
LINKED = ("model", "positive", "negative", "latent_image")
NAMES = ("parameters", "prompt", "workflow", "sd-metadata", "invokeai_metadata", "invokeai_graph", "Dream", "Comment")
NAMES += ("Software", "Description", "XML:com.adobe.xmp", "negative_prompt", "num_inference_steps")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(-3, 99), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["4", ["4", 0], ["6", 1], [["4"], 0], "NaN", "-0", "1e999", "0x10", "KSampler", "(" * 50]),
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


def broken(value: Any, path: tuple, odd: Any) -> Any:
    """A copy with something else at one place."""
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = broken(copy[path[0]], path[1:], odd)
    return copy


@st.composite
def damaged(draw: Any, documents: list[Any]) -> Any:
    """One of the documents with up to three places changed."""
    document = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 3))):
        document = broken(document, draw(st.sampled_from(places(document))), draw(ODD))
    return document


def read_safely(data: bytes) -> None:
    """The property: an error of this program, or a picture whose request holds."""
    try:
        info = read_picture(data)
    except EmulsionError:
        return
    if info.request is not None:
        check(info.request)
        json.loads(info.request.to_json())
    json.dumps([info.infotext, *(entry.value for entry in info.left_out)])


@seed(1)
@settings(max_examples=250, deadline=None)
@given(damaged(GRAPHS))
def test_workflows_with_odd_values(document):
    with contextlib.suppress(EmulsionError):
        check(read_workflow(json.dumps(document)).request)


@seed(2)
@settings(max_examples=250, deadline=None)
@given(damaged(JSON_SAMPLES), st.sampled_from(NAMES))
def test_settings_with_odd_values_under_any_name(document, name):
    read_safely(
        png(
            {**samples.NOVELAI_TEXTS, name: json.dumps(document)} if name == "Comment" else {name: json.dumps(document)}
        )
    )


@seed(3)
@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80), max_size=4
    )
)
def test_any_texts(texts):
    read_safely(png(texts))


WHOLE = (
    png({"parameters": samples.A1111, "prompt": json.dumps(DEFAULT)}),
    with_comment(samples.A1111),
    stealth(samples.A1111, "alpha"),
)


@seed(4)
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 10**6), st.binary(max_size=6), st.booleans())
def test_damaged_files(data, place, odd, cut):
    place %= len(data)
    read_safely(data[:place] + odd + (b"" if cut else data[place + len(odd) :]))


@seed(5)
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data):
    read_safely(data)
    read_safely(WHOLE[0][:8] + data)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_bomb_in_a_compressed_text_is_never_unpacked(kind):
    packed = zlib.compress(b" " * (40 << 20), 9)
    bomb = chunk(kind, (b"parameters\0\0" if kind == b"zTXt" else b"parameters\0\1\0\0\0") + packed)
    whole = png({"Author": "me"})
    before, behind = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    with pytest.raises(DamagedFile):
        read_picture(whole[:before] + bomb + whole[before:])
    info = read_picture(whole[:behind] + bomb + whole[behind:])
    assert info.program is None and info.items == {"Author": "me"}


def test_a_bomb_in_hidden_text_is_bounded(monkeypatch):
    monkeypatch.setattr("webui.exchange.stealth.TEXT_LIMIT", 5_000)
    info = read_picture(stealth("x" * 1_000_000, "alpha"))
    assert len(info.items["hidden text"]) == 5_000


def test_a_length_beyond_the_picture_reads_what_is_there():
    data = stealth("short", "rgb", packed=False)
    assert read_picture(data).items["hidden text"].startswith("short")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "1" * 10_000, '"' + '\\"' * 50_000]
)
def test_deep_and_endless_json_is_refused_in_words(text):
    with pytest.raises(DamagedFile):
        parse_json(text)
    read_safely(png({"prompt": text, "parameters": text}))


def test_giant_json_is_refused():
    with pytest.raises(DamagedFile, match=str(JSON_LIMIT)):
        parse_json("[" + " " * JSON_LIMIT + "]")


def test_workflows_of_many_nodes_are_bounded():
    many = {str(number): {"class_type": "KSampler", "inputs": {}} for number in range(20_001)}
    with pytest.raises(DamagedFile, match="20001 nodes"):
        read_workflow(many)


def test_thousands_of_samplers_outputs_and_ways_are_bounded():
    row = {
        str(number): node("KSampler", steps=2, sampler_name="euler", **dict.fromkeys(LINKED, (str(number - 1), 0)))
        for number in range(1, 19_000)
    }
    assert len(read_workflow(row).request.passes) == 20
    outputs = {str(1000 + number): node("SaveImage", images=("8", 0)) for number in range(18_000)}
    assert read_workflow({**DEFAULT, **outputs}).request.seed == DEFAULT["3"]["inputs"]["seed"]
    graph = dict(DEFAULT)
    for number in range(100):  # each doubles the ways to the first
        before = (str(999 + number), 0) if number else ("6", 0)
        graph[str(1000 + number)] = node("ConditioningCombine", conditioning_1=before, conditioning_2=before)
    assert read_workflow(changed(graph, n3={"positive": ("1099", 0)})).request.negative_prompt == "text, watermark"


def test_a_long_row_of_nodes_is_walked_without_recursion():
    graph: dict[str, Any] = dict(DEFAULT)
    for number in range(900):
        before = ["4", 0] if not number else [str(999 + number), 0]
        graph[str(1000 + number)] = {"class_type": "FreeU", "inputs": {"b1": number, "model": before}}
    graph["3"] = {**graph["3"], "inputs": {**graph["3"]["inputs"], "model": ["1899", 0]}}
    reading = read_workflow(graph)
    assert reading.request.checkpoint == "v1-5-pruned-emaonly-fp16" and len(reading.left_out) < 250


def test_nothing_of_it_imports_torch():
    code = "import webui.exchange, sys; print([name for name in ('torch', 'numpy', 'gradio') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
