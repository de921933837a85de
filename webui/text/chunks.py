"""Prompts as chunks of 75 tokens, the way a CLIP text encoder with 77 positions reads prompts of any length.

The rules (where chunks break, how far a comma may pull words into the next one, textual inversion vectors that take
several places) are those of AUTOMATIC1111's web UI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webui.errors import InvalidRequest
from webui.text.attention import BREAK, parse_attention
from webui.text.composition import split_composition
from webui.text.directives import cut_directives
from webui.text.schedule import timeline
from webui.text.tokenizers import ClipTokenizer

CHUNK = 75  # tokens of a chunk that a prompt may fill
LENGTH = CHUNK + 2  # with the begin and end tokens


@dataclass(frozen=True)
class Chunk:
    """What the text encoder gets at once. Places of embeddings hold token 0 until the vectors are put there."""

    tokens: tuple[int, ...]  # [77]: begin, the prompt's, end, and padding (the end token)
    weights: tuple[float, ...]  # [77]; 1 for begin, end and padding
    embeddings: tuple[tuple[int, str], ...] = ()  # index into the 77 of the first vector, name

    def padded(self, pad: int) -> tuple[int, ...]:
        """The tokens with everything after the first end token replaced: OpenCLIP's encoders were trained with 0."""
        end = self.tokens.index(self.tokens[-1])
        return self.tokens[: end + 1] + (pad,) * (LENGTH - end - 1)


def chunk_prompt(
    text: str,
    tokenizer: ClipTokenizer,
    emphasis: str = "Original",
    comma_backtrack: int = 20,
    embeddings: Mapping[str, int] | None = None,
) -> list[Chunk]:
    """The chunks of one text (directives, AND and editing already taken out of it), at least one.

    `embeddings` maps a name to its number of vectors; `name` and `embedding:name` in the text stand for them, in any
    case, and the longest name wins. When a chunk is full and its last comma is at most `comma_backtrack` tokens back,
    the words after the comma move to the next chunk (0 switches that off). Raises InvalidRequest for an embedding that
    is longer than a chunk.
    """
    return _fill(text, tokenizer, emphasis, comma_backtrack, embeddings or {}).chunks


def empty_chunk(tokenizer: ClipTokenizer) -> Chunk:
    """The chunk of an empty prompt, which also fills up the shorter of two prompts."""
    return _Draft().chunk(tokenizer)


def equalise(prompts: list[list[Chunk]], tokenizer: ClipTokenizer) -> list[list[Chunk]]:
    """Append empty chunks until all prompts have as many as the longest."""
    longest = max((len(chunks) for chunks in prompts), default=0)
    return [chunks + [empty_chunk(tokenizer)] * (longest - len(chunks)) for chunks in prompts]


def count_tokens(
    text: str,
    tokenizer: ClipTokenizer,
    emphasis: str = "Original",
    comma_backtrack: int = 20,
    embeddings: Mapping[str, int] | None = None,
    steps: int = 20,
) -> tuple[int, int]:
    """Tokens that a whole prompt uses and the room its chunks have: (5, 75), (80, 150) …

    Of the texts of an edited prompt and the parts between ANDs the longest counts. Room that a BREAK or a comma leaves
    empty counts as used.
    """
    used = 0
    whole, _ = cut_directives(text)
    for part, _ in split_composition(whole):
        for variant in {span.text for span in timeline(part, steps)}:
            used = max(used, _fill(variant, tokenizer, emphasis, comma_backtrack, embeddings or {}).used)
    return used, max(1, -(-used // CHUNK)) * CHUNK


@dataclass
class _Draft:
    """A chunk that is being filled; offsets count from the first token of the prompt."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    embeddings: list[tuple[int, str]] = field(default_factory=list)
    comma: int | None = None  # where the last comma is

    def add(self, tokens: list[int], weight: float) -> None:
        self.tokens += tokens
        self.weights += [weight] * len(tokens)

    def split(self, place: int) -> _Draft:
        """Cut off everything from `place` on, and return it as the beginning of the next chunk."""
        tail = _Draft(self.tokens[place:], self.weights[place:])
        tail.embeddings = [(offset - place, name) for offset, name in self.embeddings if offset >= place]
        self.embeddings = [(offset, name) for offset, name in self.embeddings if offset < place]
        del self.tokens[place:], self.weights[place:]
        return tail

    def chunk(self, tokenizer: ClipTokenizer) -> Chunk:
        padding = CHUNK - len(self.tokens) + 1
        return Chunk(
            (tokenizer.begin, *self.tokens, *[tokenizer.end] * padding),
            (1.0, *self.weights, *[1.0] * padding),
            tuple((offset + 1, name) for offset, name in self.embeddings),
        )


class _Filled:
    """Finished chunks and the one being filled. `used` counts tokens; those of finished chunks in full."""

    def __init__(self, tokenizer: ClipTokenizer):
        self.tokenizer = tokenizer
        self.chunks: list[Chunk] = []
        self.draft = _Draft()
        self.used = 0

    def next(self, draft: _Draft | None = None) -> None:
        """Finish the chunk being filled and go on with `draft`."""
        self.chunks.append(self.draft.chunk(self.tokenizer))
        self.used += CHUNK
        self.draft = draft or _Draft()

    def finish(self) -> _Filled:
        """Finish the last chunk, which counts only what is in it."""
        if self.draft.tokens or not self.chunks:
            self.used += len(self.draft.tokens)
            self.chunks.append(self.draft.chunk(self.tokenizer))
        return self


def _fill(
    text: str, tokenizer: ClipTokenizer, emphasis: str, comma_backtrack: int, embeddings: Mapping[str, int]
) -> _Filled:
    names = _embedding_names(embeddings, tokenizer)
    filled = _Filled(tokenizer)
    for piece in parse_attention(text, emphasis):
        if piece == BREAK:
            filled.next()
            continue
        tokens, weight = tokenizer.encode(piece[0]), piece[1]
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token == tokenizer.comma:
                filled.draft.comma = len(filled.draft.tokens)
            elif len(filled.draft.tokens) == CHUNK:
                _backtrack(filled, comma_backtrack)
            if len(filled.draft.tokens) == CHUNK:
                filled.next()
            name, length = _embedding_at(tokens, position, names)
            if name is None:
                filled.draft.add([token], weight)
                position += 1
                continue
            vectors = embeddings[name]
            if vectors > CHUNK:
                raise InvalidRequest(
                    f"The embedding {name!r} has {vectors} vectors.", f"A chunk of a prompt holds {CHUNK}."
                )
            if len(filled.draft.tokens) + vectors > CHUNK:
                filled.next()
            filled.draft.embeddings.append((len(filled.draft.tokens), name))
            filled.draft.add([0] * vectors, weight)
            position += length
    return filled.finish()


def _backtrack(filled: _Filled, reach: int) -> None:
    """Move what follows the last comma of a full chunk to the next one, where the comma is near enough."""
    comma = filled.draft.comma
    if comma is not None and CHUNK - comma <= reach:
        filled.next(filled.draft.split(comma + 1))


def _embedding_names(
    embeddings: Mapping[str, int], tokenizer: ClipTokenizer
) -> dict[int, list[tuple[tuple[int, ...], str]]]:
    """By first token: the token sequences that stand for an embedding, the longest first, and its name."""
    names: dict[int, list[tuple[tuple[int, ...], str]]] = {}
    for name in embeddings:
        for spelling in (name, f"embedding:{name}"):
            tokens = tuple(tokenizer.encode(spelling))
            if tokens:
                names.setdefault(tokens[0], []).append((tokens, name))
    for spellings in names.values():
        spellings.sort(key=lambda spelling: -len(spelling[0]))
    return names


def _embedding_at(
    tokens: list[int], position: int, names: Mapping[int, list[tuple[tuple[int, ...], str]]]
) -> tuple[str | None, int]:
    """The embedding whose name starts here and how many tokens the name takes, or (None, 0)."""
    for spelling, name in names.get(tokens[position], ()):
        if tuple(tokens[position : position + len(spelling)]) == spelling:
            return name, len(spelling)
    return None, 0
