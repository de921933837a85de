"""Texts through the text encoders of a model, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from webui.diffusion.conditioning import Conditioning
from webui.families.base import Model, TextEncoderPart
from webui.text.chunks import Chunk, chunk_prompt, equalise
from webui.text.emphasis import apply_emphasis
from webui.text.tokenizers import clip_tokenizer


@dataclass(frozen=True)
class EncodedText:
    """`context` [1, 77·n, D], the encoders' vectors side by side; `pooled` [1, P] of the last encoder's first chunk."""

    context: Tensor
    pooled: Tensor


def encode_chunks(
    model: Model,
    texts: Sequence[str],
    skip: int,
    final_norm: bool,
    emphasis: str = "Original",
    comma_backtrack: int = 20,
    embeddings: Mapping[str, Sequence[Tensor]] | None = None,
) -> list[EncodedText]:
    """Encode texts to equal numbers of chunks.

    `skip` 1 takes each encoder's last layer, `final_norm` normalises what was taken. `embeddings` maps a name to
    vectors [n, D], one tensor for each encoder. Every chunk is encoded by itself, so that neighbours never change it.
    Gradients are kept for vectors that want them, and only then.
    """
    embeddings = embeddings or {}
    tokenizer = clip_tokenizer()
    lengths = {name: len(vectors[0]) for name, vectors in embeddings.items()}
    prompts = equalise([chunk_prompt(text, tokenizer, emphasis, comma_backtrack, lengths) for text in texts], tokenizer)
    result = []
    trained = any(tensor.requires_grad for tensors in embeddings.values() for tensor in tensors)
    with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
        for chunks in prompts:
            contexts, pooled = [], []
            for index, part in enumerate(model.family.text_encoders):
                vectors = {name: tensors[index] for name, tensors in embeddings.items()}
                outputs = [_encode(model, index, part, c, skip, final_norm, emphasis, vectors) for c in chunks]
                contexts.append(torch.cat([hidden for hidden, _ in outputs], dim=1))  # [1, 77·n, D]
                pooled.append(outputs[0][1])
            result.append(EncodedText(torch.cat(contexts, dim=2), pooled[-1]))
    return result


def _encode(
    model: Model,
    index: int,
    part: TextEncoderPart,
    chunk: Chunk,
    skip: int,
    final_norm: bool,
    emphasis: str,
    vectors: Mapping[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """Hidden vectors [1, 77, D] with emphasis and pooled vector [1, P] of one chunk."""
    tokens = chunk.tokens if part.padding is None else chunk.padded(part.padding)
    replacements = [(0, position, vectors[name]) for position, name in chunk.embeddings]
    output = model.text_encoders[index](
        torch.tensor([tokens], device=model.device), replacements or None, skip, final_norm
    )
    weights = torch.tensor([chunk.weights], device=model.device)
    return apply_emphasis(output.hidden, weights, emphasis), output.pooled


def conditionings(contexts: Sequence[Tensor], pooled: Sequence[Tensor] | None = None) -> list[Conditioning]:
    """One Conditioning a text."""
    vectors: Sequence[Any] = pooled if pooled is not None else [None] * len(contexts)
    return [Conditioning(context, vector) for context, vector in zip(contexts, vectors, strict=True)]
