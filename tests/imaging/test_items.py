"""Further texts in PNG files, beside the infotext."""

from __future__ import annotations

from PIL import Image

from webui.imaging.metadata import encode_picture, read_metadata

PICTURE = Image.new("RGB", (4, 4))


def test_further_texts_of_a_png_are_read_back():
    items = {"postprocessing": "Postprocess upscale by: 2", "name with ü": "some\ntext 中"}
    found = read_metadata(encode_picture(PICTURE, "a cat\nSteps: 1, Seed: 2, Size: 4x4", items=items))
    assert found.items == {"parameters": "a cat\nSteps: 1, Seed: 2, Size: 4x4", **items}


def test_keywords_and_texts_that_png_cannot_hold_are_mended():
    found = read_metadata(encode_picture(PICTURE, items={"k" * 100: "a\0b", "": "empty"}))
    assert found.items == {"k" * 79: "a\ufffdb", "text": "empty"}


def test_other_formats_hold_the_infotext_alone():
    assert list(read_metadata(encode_picture(PICTURE, "a cat", "webp", items={"more": "x"})).items) == ["UserComment"]
