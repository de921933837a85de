"""From the words of a group of pictures to what the loaded network is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from webui.diffusion.conditioning import Conditioning, Part, Prompt, Span, join_prompts
from webui.engine.control import heed
from webui.engine.prompts import PromptSpan
from webui.engine.surroundings import Surroundings
from webui.families.channels import CONCAT

if TYPE_CHECKING:
    from webui.engine.embeddings import EmbeddingUse
    from webui.engine.plan import PicturePlan


def group_prompts(
    given: Surroundings,
    pictures: Sequence[PicturePlan],
    number: int,
    channels: Tensor | None,
    refiner: bool = False,
) -> tuple[Prompt, Prompt]:
    """Positive and negative prompt of all pictures in pass `number`, for its checkpoint or for its refiner.

    `channels` [B or 1, C, h, w] are what the network sees beside the latents.
    """
    pairs = []
    for picture in pictures:
        embeddings = (picture.refiner_embeddings if refiner else picture.pass_embeddings)[number]
        pairs.append(_picture_prompts(given, picture, number, embeddings))
    positive, negative = (join_prompts([pair[side] for pair in pairs]) for side in (0, 1))
    if channels is None:
        return positive, negative
    told = {CONCAT: channels}
    return positive.map(lambda c: c.with_extras(**told)), negative.map(lambda c: c.with_extras(**told))


def _picture_prompts(
    given: Surroundings, picture: PicturePlan, number: int, embeddings: Sequence[EmbeddingUse]
) -> tuple[Prompt, Prompt]:
    """One picture's prompts. Its texts are encoded together and apart from other pictures': they share a length."""
    sides = (picture.positive[number], False), (picture.negative[number], True)
    wanted = list(dict.fromkeys((text, flag) for spans, flag in sides for span in spans for text, _ in span.parts))
    texts, flags = zip(*wanted, strict=True)
    size = given.plan.passes[number].seen_size
    encoded = given.session.conditionings(
        texts, flags, given.plan.request, size, embeddings, lambda: heed(given.control)
    )
    edit = given.plan.hooks.edit_conditioning
    found = {key: edit(made, *key) for key, made in zip(wanted, encoded, strict=True)}
    positive, negative = (_prompt(spans, flag, found) for spans, flag in sides)
    return positive, negative


def _prompt(spans: Sequence[PromptSpan], negative: bool, found: dict[tuple[str, bool], Conditioning]) -> Prompt:
    return Prompt(
        tuple(
            Span(span.until_step, tuple(Part(found[text, negative], weight) for text, weight in span.parts))
            for span in spans
        )
    )
