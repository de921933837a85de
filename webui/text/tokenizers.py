"""CLIP's byte-pair tokenizer, from the vocabulary file that lies beside this module.

Source: Radford et al. 2021 (CLIP), whose released code defines the vocabulary, its order and the word pattern. The ids
equal those of `transformers.CLIPTokenizer`. Only the small `tokenizers` package is loaded, and only when first used.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

VOCABULARY = Path(__file__).parent / "vocabularies" / "clip_bpe_simple_vocab_16e6.txt.gz"
T5_VOCABULARY = Path(__file__).parent / "vocabularies" / "t5_v1_1_spiece.model"

_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_MERGES = 49152 - 256 - 2  # the file lists more merges than the network has embeddings for
_MERGE_BYTES = 1 << 20  # those that are used take half of this; unpacking only them halves the time
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Text to ids of CLIP's 49,408 tokens. Made by `clip_tokenizer`; safe to share between threads."""

    begin, end, comma = 49406, 49407, 267

    def __init__(self, backend: Any):
        self._backend = backend

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the begin and end tokens. Case and runs of whitespace do not matter."""
        return self._backend.encode(_encodable(text), add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids, for display: lower case, one space between words."""
        return self._backend.decode(ids, skip_special_tokens=True).replace("</w>", " ").strip()


@functools.cache
def clip_tokenizer() -> ClipTokenizer:
    """The one CLIP tokenizer of the process, built on first use (about 60 ms)."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary, merges = _vocabulary()
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            end_of_word_suffix="</w>",
            continuing_subword_prefix="",
            unk_token=_END,
            fuse_unk=False,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (_BEGIN, _END)])
    return ClipTokenizer(backend)


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token to id, and the merges in order of rank, as the vocabulary's authors lay them out."""
    text = zlib.decompressobj(wbits=31).decompress(VOCABULARY.read_bytes(), _MERGE_BYTES).decode("utf-8", "ignore")
    lines = text.split("\n", _MERGES + 1)[1:-1]
    symbols = _byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *(line.replace(" ", "") for line in lines), _BEGIN, _END]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    return {token: index for index, token in enumerate(tokens)}, merges


def _byte_symbols() -> list[str]:
    """One printable character for each of the 256 bytes, in the vocabulary's order: printable bytes come first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = len(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(others)]


def _encodable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8; they become the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
