"""What a network is told beside the noisy latents, and prompts as spans of weighted conditionings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from webui.errors import InvalidRequest


@dataclass(frozen=True)
class Conditioning:
    """One text, or one a picture, as tensors.

    `context` [B, T, D] is the sequence that cross-attention reads, `pooled` [B, P] the summary vector of families that
    have one. `extras` by name: `concat` [B, C, h, w] holds channels that are appended to the network's input.
    A single row (B = 1) stands for all pictures of a batch.
    """

    context: Tensor
    pooled: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Pictures that this speaks about; 1 may stand for any number."""
        return self.context.shape[0]

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """The same with every tensor changed."""
        pooled = None if self.pooled is None else change(self.pooled)
        return Conditioning(change(self.context), pooled, {name: change(value) for name, value in self.extras.items()})

    def expanded(self, rows: int) -> Conditioning:
        """The same for `rows` pictures. Raises InvalidRequest when it speaks about another number of them."""
        if self.rows not in (1, rows):
            raise InvalidRequest(f"A conditioning has {self.rows} rows.", f"One or {rows} were wanted.")
        return self.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))

    def with_extras(self, **extras: Tensor) -> Conditioning:
        """The same with more extras, or others in their place."""
        return Conditioning(self.context, self.pooled, {**self.extras, **extras})


@dataclass(frozen=True)
class Part:
    """One of the texts joined by AND. `weight` is one number, or one a picture."""

    conditioning: Conditioning
    weight: float | tuple[float, ...] = 1.0


@dataclass(frozen=True)
class Span:
    """The parts in force up to and with the network evaluation `until_step`, counted from 0."""

    until_step: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Prompt:
    """Spans in rising order. The last one holds for ever, however often a sampler calls."""

    spans: tuple[Span, ...]

    def at(self, step: int) -> tuple[Part, ...]:
        """The parts in force at a network evaluation, counted from 0."""
        return next((span.parts for span in self.spans if step <= span.until_step), self.spans[-1].parts)

    @classmethod
    def constant(cls, conditioning: Conditioning) -> Prompt:
        """A prompt of one part that never changes."""
        return cls((Span(0, (Part(conditioning),)),))

    def map(self, change: Callable[[Conditioning], Conditioning]) -> Prompt:
        """The same with every conditioning changed."""
        return Prompt(
            tuple(
                Span(span.until_step, tuple(Part(change(part.conditioning), part.weight) for part in span.parts))
                for span in self.spans
            )
        )


def join_prompts(prompts: Sequence[Prompt]) -> Prompt:
    """One prompt for a batch out of one a picture (each of one row).

    Spans are cut wherever any picture's prompt changes. A picture with fewer parts than another gets parts of weight
    0, so every picture still sees exactly its own prompt.
    """
    if len(prompts) == 1:
        return prompts[0]
    ends = sorted({span.until_step for prompt in prompts for span in prompt.spans})
    return Prompt(tuple(Span(end, _joined_parts([prompt.at(end) for prompt in prompts])) for end in ends))


def _joined_parts(pictures: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    parts = []
    for index in range(max(len(own) for own in pictures)):
        chosen = [own[index] if index < len(own) else Part(own[0].conditioning, 0.0) for own in pictures]
        first = chosen[0]
        if all(part.conditioning is first.conditioning and part.weight == first.weight for part in chosen):
            parts.append(first)
            continue
        weights = tuple(part.weight for part in chosen if not isinstance(part.weight, tuple))
        joined = stack(repeat_to_match([part.conditioning for part in chosen]))
        # one number where it can be: guidance leaves the negative prompt out for a single text of weight 1
        parts.append(Part(joined, weights[0] if len(set(weights)) == 1 else weights))
    return tuple(parts)


def repeat_to_match(conditionings: Sequence[Conditioning]) -> list[Conditioning]:
    """The same with contexts repeated along T until all are equally long.

    For cross-attention this changes nothing: every key then appears equally often, and softmax weights are divided
    evenly among its copies. It is not exact for networks that attend to text and picture tokens together.
    """
    length = math.lcm(*(conditioning.context.shape[1] for conditioning in conditionings))
    return [
        conditioning
        if conditioning.context.shape[1] == length
        else Conditioning(
            conditioning.context.repeat(1, length // conditioning.context.shape[1], 1),
            conditioning.pooled,
            conditioning.extras,
        )
        for conditioning in conditionings
    ]


def stackable(conditionings: Sequence[Conditioning]) -> bool:
    """Whether `stack` can put these into one batch."""

    def shapes(conditioning: Conditioning) -> object:
        pooled = None if conditioning.pooled is None else conditioning.pooled.shape[1:]
        return conditioning.context.shape[1:], pooled, {n: t.shape[1:] for n, t in conditioning.extras.items()}

    return all(shapes(conditioning) == shapes(conditionings[0]) for conditioning in conditionings[1:])


def stack(conditionings: Sequence[Conditioning]) -> Conditioning:
    """The rows of all, one after the other. Raises InvalidRequest when their shapes differ."""
    if not stackable(conditionings):
        raise InvalidRequest(
            "Conditionings of different shapes meet in one batch.",
            "Equal lengths, widths and extras were wanted.",
            "Make these pictures one by one (batch size 1).",
        )
    first = conditionings[0]
    return Conditioning(
        torch.cat([c.context for c in conditionings]),
        None if first.pooled is None else torch.cat([c.pooled for c in conditionings if c.pooled is not None]),
        {name: torch.cat([c.extras[name] for c in conditionings]) for name in first.extras},
    )
