"""Embeddings are read out of pictures of either form, and pictures that hold none are told from damaged ones."""

import json
import tracemalloc
import zlib

import pytest
import torch

from tests.adapters.pictures import a1111, as_json, encoded, in_pixels, in_text, motif
from webui.adapters import embedding_picture
from webui.adapters.embedding import embedding_header, embedding_name, read_vectors, vector_count, vector_tensors
from webui.adapters.embedding_picture import MAXIMUM_JSON, is_picture, read_picture
from webui.errors import DamagedFile, UnknownModel, UnsafeFile

VECTORS = torch.linspace(-1.3, 2.7, 24).reshape(3, 8)
FORMS = {
    "text in a PNG": lambda data: in_text(data),
    "pixels of a PNG": lambda data: encoded(in_pixels(data)),
    "pixels of a PNG with a black border": lambda data: encoded(in_pixels(data, border=5)),
    "pixels of a PNG with transparency": lambda data: encoded(in_pixels(data).convert("RGBA")),
    "pixels of a lossless WebP": lambda data: encoded(in_pixels(data), "WEBP", lossless=True, exact=True),
}


@pytest.fixture
def put(tmp_path):
    def put(data, name="a.png"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_very_same_numbers(put, form):
    header = embedding_header(put(FORMS[form](a1111(VECTORS))))
    tensors = vector_tensors(header, 1, 8)
    assert vector_count(header, tensors) == 3
    assert torch.equal(read_vectors(header, tensors)[0], VECTORS)
    assert header.metadata["step"] == "12"


@pytest.mark.parametrize("form", FORMS)
def test_pairs_for_two_encoders_come_in_their_order(put, form):
    other = torch.randn(3, 12)
    header = embedding_header(put(FORMS[form](as_json({"clip_g": other, "clip_l": VECTORS}))))
    first, second = read_vectors(header, vector_tensors(header, 2, 20))
    assert torch.equal(first, VECTORS) and torch.equal(second, other)


def test_many_vectors_fill_blocks_far_wider_than_the_motif(put):
    vectors = torch.randn(16, 768)
    header = embedding_header(put(encoded(in_pixels(a1111(vectors)))))
    assert torch.equal(read_vectors(header, vector_tensors(header, 1, 768))[0], vectors)


def test_a_picture_is_called_by_the_name_inside_and_without_one_by_its_own(put):
    assert embedding_name(embedding_header(put(in_text(a1111(VECTORS, name="inky")), "shared.png"))) == "inky"
    nameless = as_json({"string_to_param": {"*": VECTORS}})
    assert embedding_name(embedding_header(put(in_text(nameless), "shared.png"))) == "shared"


def test_other_files_keep_their_own_name(tmp_path):
    torch.save({"string_to_param": {"*": VECTORS}, "name": "inky"}, tmp_path / "own.pt")
    assert not is_picture(tmp_path / "own.pt") and not is_picture(tmp_path / "none.png")
    assert embedding_name(embedding_header(tmp_path / "own.pt")) == "own"


@pytest.mark.parametrize(
    "picture",
    [
        lambda: encoded(motif()),
        lambda: encoded(motif(), "WEBP"),
        lambda: encoded(motif().point(lambda value: 0)),
        lambda: in_text(b"a red apple", keyword="parameters"),
        lambda: encoded(in_pixels(a1111(VECTORS)).resize((150, 70))),
        lambda: encoded(in_pixels(b"", deflated=b"\x01" * 90)),
    ],
)
def test_a_picture_without_an_embedding_says_so(put, picture):
    path = put(picture())
    with pytest.raises(UnknownModel, match=r"a\.png is a picture without an embedding"):
        read_picture(path)


NESTED = b"[" * 200_000
BAD = {
    "no base64": in_text(b"x").replace(b"eA==", b"!!!!"),
    "no JSON": in_text(b"{"),
    "no dictionary": in_text(b"[1]"),
    "nested too deep": in_text(NESTED),
    "ragged": in_text(json.dumps({"clip_l": {"TORCHTENSOR": [[1.0, 2.0], [3.0]]}}).encode()),
    "text for numbers": in_text(json.dumps({"clip_l": {"TORCHTENSOR": ["1.0"]}}).encode()),
    "nothing": in_text(json.dumps({"clip_l": {"TORCHTENSOR": []}}).encode()),
    "beyond any number": in_text(b'{"clip_l": {"TORCHTENSOR": [1' + b"0" * 400 + b"]}}"),
    "a cube": in_text(as_json({"clip_l": torch.ones(2, 2, 2)})),
    "pixels that unpack to nonsense": encoded(in_pixels(b"", deflated=b"\x78\xda" + b"\xff" * 90)),
    "pixels that break off": encoded(in_pixels(b"", deflated=zlib.compress(bytes(range(256)) * 9, 9)[:100])),
    "half a file": in_text(a1111(VECTORS))[:200],
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_embedding_is_an_error_that_names_the_file(put, kind):
    path = put(BAD[kind])
    if kind == "half a file":
        path = put(encoded(in_pixels(a1111(VECTORS)))[:900])
    with pytest.raises(DamagedFile, match=r"a\.png"):
        read_picture(path)


def test_values_that_are_no_numbers_are_refused_in_every_form(put, tmp_path):
    broken = VECTORS.clone()
    broken[1, 1] = float("nan")
    torch.save({"<x>": broken}, tmp_path / "a.pt")
    for path in (put(in_text(a1111(broken))), tmp_path / "a.pt"):
        header = embedding_header(path)
        with pytest.raises(DamagedFile, match="no numbers"):
            read_vectors(header, vector_tensors(header, 1, 8))


BOMBS = {
    "pixels": lambda: encoded(in_pixels(b"", deflated=zlib.compress(b" " * (60 << 20), 9))),
    "text": lambda: in_text(b" " * (MAXIMUM_JSON * 2)),
    "size": lambda: encoded(motif().resize((4000, 4000))),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_size_before_it_is_unpacked(put, kind):
    path = put(BOMBS[kind]())
    tracemalloc.start()
    try:
        with pytest.raises(UnsafeFile, match=r"a\.png"):
            read_picture(path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_the_largest_lists_that_pass_the_limit_stay_within_memory(put):
    body = b'{"x": [' + b"[]," * ((MAXIMUM_JSON - 64) // 3) + b"[]]}"
    path = put(in_text(body))
    tracemalloc.start()
    try:
        assert read_picture(path).tensors == {}
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()


def test_a_file_larger_than_any_embedding_is_not_even_read(put, monkeypatch):
    path = put(in_text(a1111(VECTORS)))
    monkeypatch.setattr(embedding_picture, "MAXIMUM_BYTES", 100)
    with pytest.raises(UnsafeFile, match="larger than any embedding"):
        read_picture(path)
