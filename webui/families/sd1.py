"""Stable Diffusion 1.x and every narrower or shallower net of its shape, such as the starter checkpoint.

Rombach et al. 2022. Text: CLIP-L in Hugging Face names, the last layer (or an earlier one, "clip skip") normalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webui.families.base import Defaults, Family, Model, ModelFacts, TextEncoderPart
from webui.families.detection import (
    VARIANTS,
    betas,
    is_supported_unet,
    native_size,
    own_defaults,
    parts,
    said_prediction,
    text_layouts,
    zero_terminal_snr,
)
from webui.families.previews import SD1_LATENTS, with_own_factors
from webui.weights.canonical import CLIP
from webui.weights.tensors import Header

if TYPE_CHECKING:
    from webui.diffusion.conditioning import Conditioning


def detects(header: Header) -> bool:
    """A UNet with convolutions around its transformers and no pooled input; no other family's text encoder."""
    unet = is_supported_unet(header)
    return unet is not None and not unet.linear and unet.pooled == 0 and text_layouts(header) <= {"sd1"}


def read_facts(header: Header) -> ModelFacts:
    """Facts of an SD 1 checkpoint."""
    unet = is_supported_unet(header)
    assert unet is not None
    return ModelFacts(
        family="sd1",
        label="Stable Diffusion 1",
        variant=VARIANTS[unet.in_channels],
        prediction=said_prediction(header) or "epsilon",
        zero_terminal_snr=zero_terminal_snr(header),
        native_size=native_size(header, 512),
        latents=with_own_factors(SD1_LATENTS, header),
        in_channels=unet.in_channels,
        context_width=unet.context,
        pooled_width=0,
        parts=parts(header),
        betas=betas(header),
        defaults=own_defaults(header, Defaults(guidance_rescale=0.7 if zero_terminal_snr(header) else 0.0)),
    )


def encode(
    model: Model,
    texts: list[str],
    clip_skip: int,
    emphasis: str,
    comma_backtrack: int,
    size: tuple[int, int] | None,
    negative: list[bool],
    embeddings: dict[str, Any],
) -> list[Conditioning]:
    """Context [1, 77·n, D] of each text."""
    from webui.families.encoding import conditionings, encode_chunks

    found = encode_chunks(model, texts, clip_skip, True, emphasis, comma_backtrack, embeddings)
    return conditionings([text.context for text in found])


FAMILY = Family("sd1", "Stable Diffusion 1", detects, read_facts, (TextEncoderPart((CLIP,), "hf"),), encode)
