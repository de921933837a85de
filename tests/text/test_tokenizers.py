"""CLIP's tokens are those of the reference implementation."""

import gzip
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.text.tokenizers import T5_VOCABULARY, VOCABULARY, clip_tokenizer

TEXTS = [
    "",
    "a photo of a cat",
    "A Photo,  of\ta\n\nCAT!!",
    "it's we're they'll I'd 'tis 'S",
    "masterpiece, best quality, (1girl:1.2), 8k, f/1.8, 35mm",
    "naïve café, Ünïcödé, İstanbul, ẞtraße, ﬁne",
    "e\u0301 is normalised to é",
    "一只红色的苹果，水墨画",
    "日本語のプロンプト・テスト",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 emoji",
    "שלום עולם مرحبا",
    "<|startoftext|>a<|endoftext|> b <|END",
    "\x00\x01\u200b\u2028\u00a0\ufeff",
    "&amp; &lt;html&gt; is left alone",
    "x" * 300,
    "1234567890 ½ ⅷ ٣",
]


@pytest.fixture(scope="module")
def reference():
    from transformers import CLIPTokenizer

    lines = gzip.decompress(VOCABULARY.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = symbols + [s + "</w>" for s in symbols] + [line.replace(" ", "") for line in lines]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({t: i for i, t in enumerate(tokens)}, [tuple(line.split()) for line in lines])


def test_the_published_example_has_its_published_ids():
    assert clip_tokenizer().encode("a photo of a cat") == [320, 1125, 539, 320, 2368]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal_those_of_transformers(reference, text):
    assert clip_tokenizer().encode(text) == reference(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_ids_of_any_text_equal_those_of_transformers(reference, text):
    assert clip_tokenizer().encode(text) == reference(text, add_special_tokens=False)["input_ids"]


def test_a_lone_surrogate_reads_as_the_replacement_character():
    assert clip_tokenizer().encode("a\ud800b") == clip_tokenizer().encode("a\ufffdb")


def test_the_named_tokens_are_those_of_the_vocabulary(reference):
    tokenizer = clip_tokenizer()
    assert [tokenizer.begin, tokenizer.end] == reference("")["input_ids"]
    assert [tokenizer.comma] == tokenizer.encode(",")


def test_tokens_read_back_as_lower_case_text():
    tokenizer = clip_tokenizer()
    assert tokenizer.decode(tokenizer.encode("A  Red\nApple")) == "a red apple"


def test_the_tokenizer_is_built_once():
    assert clip_tokenizer() is clip_tokenizer()


def test_it_loads_neither_torch_nor_transformers():
    code = (
        "import sys; from webui.text.tokenizers import clip_tokenizer; clip_tokenizer().encode('x');"
        "print(sorted({'torch', 'transformers', 'numpy', 'gradio'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_t5s_vocabulary_is_the_published_file():
    sentencepiece_of_hello_world = b"\xe2\x96\x81world"  # "▁world", stored as plain UTF-8 in the model
    assert T5_VOCABULARY.stat().st_size == 791_656
    assert sentencepiece_of_hello_world in T5_VOCABULARY.read_bytes()


def test_the_vocabularies_come_with_their_licences():
    folder = VOCABULARY.parent
    assert "MIT License" in (folder / "LICENSE-CLIP.txt").read_text()
    assert "Apache License" in (folder / "LICENSE-T5.txt").read_text()
