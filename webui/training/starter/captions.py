"""Captions as token ids over the few words that training meets.

The shipped file has CLIP's whole vocabulary, but only the rows of words that occur can learn anything. Training works
on those rows alone; every other row ships as the "unknown word" vector, which training teaches to be ignored.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.text.tokenizers import clip_tokenizer
from webui.training.starter.pictures import Drawings
from webui.training.starter.recipe import BACKGROUNDS, HELD_OUT_STYLE

BEGIN, END, LENGTH = 49406, 49407, 77
UNKNOWN_SHARE = 0.1  # of captions get one word that says nothing


@dataclass(frozen=True)
class Vocabulary:
    """`tokens[i]` is CLIP's id of compact id i; the compact id after the last one is the unknown word."""

    tokens: tuple[int, ...]

    @property
    def unknown(self) -> int:
        """Compact id of the unknown word."""
        return len(self.tokens)

    def compact(self, token: int) -> int:
        """Compact id of one of CLIP's ids."""
        return self._positions().get(token, self.unknown)

    def _positions(self) -> dict[int, int]:
        cached = self.__dict__.get("_cache")
        if cached is None:
            cached = {token: i for i, token in enumerate(self.tokens)}
            object.__setattr__(self, "_cache", cached)
        return cached

    def encode(self, caption: str, choice: random.Random | None = None) -> list[int]:
        """Compact ids of length 77 with begin and end; `choice` slips in an unknown word now and then."""
        words = [self.compact(token) for token in clip_tokenizer().encode(caption)]
        if choice is not None and words and choice.random() < UNKNOWN_SHARE:
            words.insert(choice.randint(0, len(words)), self.unknown)
        ids = [self.compact(BEGIN), *words[: LENGTH - 2]]
        return ids + [self.compact(END)] * (LENGTH - len(ids))


def vocabulary_of(drawings: Drawings) -> Vocabulary:
    """The tokens of every caption that training can form."""
    texts = {"a an style background ,", *BACKGROUNDS, *drawings.concepts, *drawings.styles}
    texts.discard(HELD_OUT_STYLE)
    texts.update(word for words in drawings.keywords for word in words)
    tokenizer = clip_tokenizer()
    tokens = {token for text in texts for token in tokenizer.encode(text)}
    tokens.update(token for text in texts for token in tokenizer.encode(f"{text},"))
    return Vocabulary((*sorted(tokens), BEGIN, END))


def whole_embedding(compact: Tensor, vocabulary: Vocabulary, rows: int = 49408) -> Tensor:
    """Spread the compact rows [V + 1, D] over CLIP's vocabulary [rows, D]; other rows are the unknown word."""
    whole = compact[vocabulary.unknown].expand(rows, -1).clone()
    whole[torch.tensor(vocabulary.tokens)] = compact[: len(vocabulary.tokens)]
    return whole
