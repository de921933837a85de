"""Stable Diffusion XL: the base and its many descendants, cut nets such as SSD-1B included, and the refiner.

Podell et al. 2023. Text: the layers before the last of CLIP-L and OpenCLIP-bigG side by side, not normalised; the
pooled vector of bigG's first chunk, followed by sinusoids of sizes, goes in beside the timestep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webui.families.base import Defaults, Family, LatentFormat, Model, ModelFacts, TextEncoderPart
from webui.families.detection import (
    VARIANTS,
    UNetFacts,
    betas,
    is_supported_unet,
    native_size,
    parts,
    read_small,
    said_prediction,
    scheduler,
    text_layouts,
    zero_terminal_snr,
)
from webui.families.previews import PLAYGROUND_LATENTS, SDXL_LATENTS, with_own_factors
from webui.weights.canonical import EMBEDDERS
from webui.weights.tensors import Header

if TYPE_CHECKING:
    from torch import Tensor

    from webui.diffusion.conditioning import Conditioning

SINUSOID_WIDTH = 256
BASE_SIZES, REFINER_SIZES = 6, 5  # numbers told to the network beside the pooled vector
AESTHETIC_SCORES = {False: 6.0, True: 2.5}  # what the refiner is told of wanted and of negative pictures
# Merges may carry more text encoders than they need, never fewer.
BASE_TEXTS, REFINER_TEXTS = frozenset({"xl-l", "xl-g"}), frozenset({"single-g"})


def detects_base(header: Header) -> bool:
    """A UNet with a pooled input, and both text encoders or none."""
    unet = _pooled_unet(header)
    if unet is None:
        return False
    texts = text_layouts(header)
    return texts >= BASE_TEXTS if texts else not _refiner_shaped(unet)


def detects_refiner(header: Header) -> bool:
    """A UNet with a pooled input, and bigG as its only text encoder, or none."""
    unet = _pooled_unet(header)
    if unet is None:
        return False
    texts = text_layouts(header)
    return texts == REFINER_TEXTS if texts else _refiner_shaped(unet)


def _pooled_unet(header: Header) -> UNetFacts | None:
    unet = is_supported_unet(header)
    return unet if unet is not None and unet.linear and unet.pooled else None


def _refiner_shaped(unet: UNetFacts) -> bool:
    """Without text encoders: the refiner's context and pooled vector come from one encoder and are equally wide."""
    return unet.context == unet.pooled - REFINER_SIZES * SINUSOID_WIDTH


def _facts(header: Header, family: str, label: str) -> ModelFacts:
    unet = is_supported_unet(header)
    assert unet is not None
    zero = zero_terminal_snr(header)
    prediction, continuous, latents = _noise(header)
    return ModelFacts(
        family=family,
        label=label,
        variant=VARIANTS[unet.in_channels],
        prediction=prediction,
        zero_terminal_snr=zero,
        native_size=native_size(header, 1024),
        latents=with_own_factors(latents, header),
        in_channels=unet.in_channels,
        context_width=unet.context,
        pooled_width=unet.pooled,
        parts=parts(header),
        betas=betas(header),
        continuous=continuous,
        tuned_for="sdxl",
        defaults=Defaults(30, guidance_scale=3.0 if continuous else 5.0, guidance_rescale=0.7 if zero else 0.0),
    )


def _noise(header: Header) -> tuple[str, tuple[float, float, float] | None, LatentFormat]:
    """Prediction, bounds and data deviation of a continuous noise law if it has one, and the latents' format.

    Playground 2.5 and CosXL are XL networks trained at any noise level, as Karras et al. 2022; marker tensors or the
    scheduler's name tell.
    """
    if "edm_vpred.sigma_max" in header.tensors or "edm_vpred.sigma_min" in header.tensors:
        low, high = (read_small(header, f"edm_vpred.sigma_{end}") for end in ("min", "max"))
        return "v", (low[0] if low else 0.002, high[0] if high else 120.0, 1.0), SDXL_LATENTS
    if "edm_mean" in header.tensors or str(scheduler(header).get("_class_name", "")).startswith("EDM"):
        return "epsilon", (0.002, 80.0, 0.5), PLAYGROUND_LATENTS
    return said_prediction(header) or "epsilon", None, SDXL_LATENTS


def read_base_facts(header: Header) -> ModelFacts:
    """Facts of an XL checkpoint."""
    return _facts(header, "sdxl", "Stable Diffusion XL")


def read_refiner_facts(header: Header) -> ModelFacts:
    """Facts of an XL refiner."""
    return _facts(header, "sdxl-refiner", "Stable Diffusion XL refiner")


def size_numbers(family: str, width: int, height: int, negative: bool) -> tuple[float, ...]:
    """What the network is told of a picture: heights first; original size, crop, then target size or a score."""
    if family == "sdxl":
        return (height, width, 0, 0, height, width)
    return (height, width, 0, 0, AESTHETIC_SCORES[negative])


def pooled_vector(pooled: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """Pooled text [1, P] followed by a sinusoid of each number: [1, P + 256·n]."""
    import torch

    from webui.nn.unet_blocks import timestep_embedding

    sinusoids = timestep_embedding(torch.tensor(numbers, device=pooled.device), SINUSOID_WIDTH)  # [n, 256]
    return torch.cat([pooled.float(), sinusoids.float().reshape(1, -1)], dim=1)


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
    """Context [1, 77·n, D] and pooled vector with sizes of each text; an empty negative prompt becomes zeros.

    `clip_skip` is ignored: the networks were trained on the layer before the last.
    """
    from webui.families.encoding import conditionings, encode_chunks

    width, height = size or (model.facts.native_size, model.facts.native_size)
    found = encode_chunks(model, texts, 2, False, emphasis, comma_backtrack, embeddings)
    contexts, vectors = [], []
    for text, encoded, is_negative in zip(texts, found, negative, strict=True):
        context, pooled = encoded.context, encoded.pooled
        if is_negative and text == "":
            context, pooled = context * 0, pooled * 0
        contexts.append(context)
        vectors.append(pooled_vector(pooled, size_numbers(model.facts.family, width, height, is_negative)))
    return conditionings(contexts, vectors)


BASE = Family(
    "sdxl",
    "Stable Diffusion XL",
    detects_base,
    read_base_facts,
    (
        TextEncoderPart((EMBEDDERS + "0.transformer.text_model.",), "hf"),
        TextEncoderPart((EMBEDDERS + "1.model.",), "openclip", padding=0),
    ),
    encode,
)
REFINER = Family(
    "sdxl-refiner",
    "Stable Diffusion XL refiner",
    detects_refiner,
    read_refiner_facts,
    (TextEncoderPart((EMBEDDERS + "0.model.",), "openclip", padding=0),),
    encode,
)
