"""Stable Diffusion 2.x, predicting noise or velocity.

Text: OpenCLIP-H, the layer before the last, with the final normalisation. The file does not say what the network
predicts; see `_prediction` for the hints, strongest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webui.families.base import Defaults, Family, Model, ModelFacts, TextEncoderPart
from webui.families.detection import (
    VARIANTS,
    betas,
    is_supported_unet,
    native_size,
    parts,
    said_prediction,
    spread,
    text_layouts,
    zero_terminal_snr,
)
from webui.families.previews import SD1_LATENTS, with_own_factors
from webui.weights.canonical import EMBEDDERS, OPEN_CLIP, UNET
from webui.weights.tensors import Header

if TYPE_CHECKING:
    from webui.diffusion.conditioning import Conditioning

# Telling velocity from noise prediction: in the published weights this bias spreads wider in the velocity nets.
BIAS = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
BIAS_SPREAD = 0.09
PUBLISHED_WIDTH = 320
TRAINED_STEPS = {"110000": "v", "220000": "epsilon"}  # `global_step` of the two original checkpoints


def detects(header: Header) -> bool:
    """A UNet with linear layers around its transformers and no pooled input; no other family's text encoder."""
    unet = is_supported_unet(header)
    return unet is not None and unet.linear and unet.pooled == 0 and text_layouts(header) <= {"sd2", "single-g"}


def _prediction(header: Header, in_channels: int) -> str:
    said = said_prediction(header) or TRAINED_STEPS.get(header.metadata.get("global_step", ""))
    if said is not None:
        return said
    info = header.tensors.get(BIAS)
    if in_channels != 4 or info is None or info.shape != (PUBLISHED_WIDTH,):
        return "epsilon"
    found = spread(header, BIAS)
    return "v" if found is not None and found > BIAS_SPREAD else "epsilon"


def read_facts(header: Header) -> ModelFacts:
    """Facts of an SD 2 checkpoint. Reads one small tensor when the file is at hand."""
    unet = is_supported_unet(header)
    assert unet is not None
    prediction = _prediction(header, unet.in_channels)
    return ModelFacts(
        family="sd2",
        label="Stable Diffusion 2",
        variant=VARIANTS[unet.in_channels],
        prediction=prediction,
        zero_terminal_snr=zero_terminal_snr(header),
        native_size=native_size(header, 768 if prediction == "v" else 512),
        latents=with_own_factors(SD1_LATENTS, header),
        in_channels=unet.in_channels,
        context_width=unet.context,
        pooled_width=0,
        parts=parts(header),
        betas=betas(header),
        defaults=Defaults(25, "DPM++ 2M", "Karras", guidance_rescale=0.7 if zero_terminal_snr(header) else 0.0),
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
    """Context [1, 77·n, D] of each text. Clip skip is part of the family: larger values than two go further back."""
    from webui.families.encoding import conditionings, encode_chunks

    skip = max(clip_skip, 2) - model.text_layers_cut
    found = encode_chunks(model, texts, skip, True, emphasis, comma_backtrack, embeddings)
    return conditionings([text.context for text in found])


FAMILY = Family(
    "sd2",
    "Stable Diffusion 2",
    detects,
    read_facts,
    (TextEncoderPart((OPEN_CLIP, EMBEDDERS + "0.model."), "openclip", padding=0, cut_in_folders=1),),
    encode,
)
