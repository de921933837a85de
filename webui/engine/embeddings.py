"""Embeddings whose names stand in a prompt: which files they mean, before any tensor is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui.adapters.embedding import (
    bundled_names,
    embedding_header,
    embedding_name,
    read_vectors,
    vector_count,
    vector_tensors,
)
from webui.engine.adapters import HASH_LENGTH, AdapterUse, adapter_uses
from webui.engine.catalogue import PICTURES, Catalogue, CheckpointFile
from webui.engine.prompts import negative_spans, texts_of
from webui.errors import EmulsionError, FileError, IncompatibleModel
from webui.families import FAMILIES
from webui.text.chunks import chunk_prompt
from webui.text.directives import cut_directives
from webui.text.tokenizers import clip_tokenizer
from webui.weights.header import read_header

if TYPE_CHECKING:
    from torch import Tensor

    from webui.families.base import ModelFacts

COUNTED_STEPS = 20  # of an edited prompt whose length is counted


@dataclass(frozen=True)
class EmbeddingUse:
    """One embedding that a prompt names: its file, the tensors for each text encoder, and its number of vectors.

    `bundle` is its name inside a LoRA file that brought it along.
    """

    name: str
    file: CheckpointFile
    tensors: tuple[str, ...]
    vectors: int
    bundle: str = ""

    @property
    def key(self) -> str:
        """Equal for equal effects."""
        return f"{self.name}|{self.file.key}|{self.bundle}"

    def read(self) -> tuple[Tensor, ...]:
        """The vectors [n, D] for each text encoder."""
        return read_vectors(embedding_header(self.file.path), self.tensors)


def embedding_files(catalogue: Catalogue) -> dict[str, CheckpointFile]:
    """Every embedding by the name that prompts call it; of equal names the first file's counts."""
    return {_name(file, catalogue): file for file in reversed(catalogue.files("embeddings"))}


def _name(file: CheckpointFile, catalogue: Catalogue) -> str:
    def inside() -> str:
        try:
            return embedding_name(embedding_header(file.path))
        except FileError:
            return file.stem  # it is told of when a prompt names it

    return catalogue.remembered("name", file, inside) if file.path.suffix.lower() in PICTURES else file.stem


def embedding_uses(
    texts: Sequence[str], emphasis: str, catalogue: Catalogue, facts: ModelFacts, adapters: Sequence[AdapterUse] = ()
) -> tuple[tuple[EmbeddingUse, ...], list[str]]:
    """The embeddings that texts name, and notes on those that this checkpoint cannot take.

    Bundled embeddings of the LoRAs in use count as well. Raises DamagedFile, UnsafeFile or UnknownModel for a file
    that is named and cannot be read.
    """
    known = {name: (file, "") for name, file in embedding_files(catalogue).items()}
    for use in adapters:
        known |= {name: (use.file, name) for name in bundled_names(read_header(use.file.path))}
    uses, notes = [], []
    for name in _named(texts, emphasis, known):
        file, bundle = known[name]
        header = embedding_header(file.path)
        encoders = len(FAMILIES[facts.family].text_encoders)
        try:
            tensors = vector_tensors(header, encoders, facts.context_width, bundle)
        except IncompatibleModel as error:
            notes.append(f"{error.found} {error.wanted} {name!r} was read as plain words.")
            continue
        uses.append(EmbeddingUse(name, file, tensors, vector_count(header, tensors), bundle))
    return tuple(uses), notes


def vector_counts(text: str, catalogue: Catalogue, checkpoint: str | None = None) -> dict[str, int]:
    """Number of vectors of every embedding that a whole prompt names, for counting its tokens while it is typed.

    Names that a job would refuse, such as half-typed LoRAs, are passed over: the job will say so. `checkpoint` as in a
    request.
    """
    words, directives = cut_directives(text)
    found: list[AdapterUse] = []
    for directive in directives:
        try:
            found += adapter_uses([directive], catalogue)[0]
        except EmulsionError:
            continue
    counts: dict[str, int] = {}
    try:
        facts = catalogue.facts(catalogue.find(checkpoint))
        for part in texts_of(negative_spans(words, COUNTED_STEPS)):
            uses, _ = embedding_uses([part], "Original", catalogue, facts, [use for use in found if use.kind == "lora"])
            counts |= {use.name: use.vectors for use in uses}
    except EmulsionError:
        return counts
    return counts


def _named(texts: Sequence[str], emphasis: str, known: Mapping[str, object]) -> list[str]:
    """Which names the texts really hold, token by token."""
    whole = " ".join(" ".join(texts).split()).casefold()
    possible = {name: 1 for name in known if " ".join(name.split()).casefold() in whole}
    if not possible:
        return []
    tokenizer = clip_tokenizer()
    found: dict[str, None] = {}
    for text in texts:
        for chunk in chunk_prompt(text, tokenizer, emphasis, 0, possible):
            found |= dict.fromkeys(name for _, name in chunk.embeddings)
    return list(found)


def infotext_hashes(uses: Sequence[EmbeddingUse], catalogue: Catalogue) -> dict[str, str]:
    """A1111's field with the names and hashes of embeddings."""
    own = {use.name: catalogue.sha256(use.file)[:HASH_LENGTH] for use in uses if not use.bundle}
    return {"TI hashes": ", ".join(f"{name}: {digits}" for name, digits in own.items())} if own else {}
