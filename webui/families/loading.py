"""From an open file to a loaded model: networks on `meta`, tensors mapped in, a VAE that fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from webui.errors import IncompatibleModel
from webui.families.base import Family, Model, ModelFacts, TextEncoderPart
from webui.families.vae import check_finite, check_fits
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.openclip import OpenClipText, OpenClipTextConfig
from webui.nn.precision import best_dtype, placed
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.weights.assign import fill, without_memory
from webui.weights.canonical import CLIP, UNET, VAE, canonical
from webui.weights.reader import Weights, open_weights

Storage = torch.dtype | Literal["file"] | None
# Buffers and markers of training code that the networks here have no use for.
EXPECTED_REMAINS = re.compile(
    r"betas|(sqrt_|log_)?(one_minus_)?alphas_cumprod(_prev)?|sqrt_recip(m1)?_alphas_cumprod|posterior_\w+|logvar"
    r"|scale_factor|denoiser\.sigmas|v_pred|ztsnr|cond_stage_model\.(logit_scale|text_projection)"
)
BARE_PREFIXES = {"hf": "text_model.", "openclip": ""}
TEXT_MARKS = {"hf": "embeddings.token_embedding.weight", "openclip": "token_embedding.weight"}


def load(
    family: Family,
    weights: Weights | str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    vae_path: str | Path | None = None,
    *,
    text_paths: Sequence[str | Path] = (),
    storage: Storage = None,
    text_dtype: torch.dtype | None = None,
    vae_dtype: torch.dtype | None = None,
    ema: bool = False,
) -> Model:
    """Load a checkpoint.

    Args: `dtype` to compute in (None: the device's best); `vae_path` a VAE, or a checkpoint to take it from, instead of
    the file's own; `text_paths` files with the text encoders, for files that hold the network alone; `storage` keeps
    the matrices of network and text encoders in another type than they compute in: a type such as
    `torch.float8_e4m3fn`, or "file" to leave them (the VAE's too) as they are mapped; `text_dtype` and `vae_dtype`
    default to `dtype` (a VAE that overflows in float16 gets float32); `ema` takes the running averages of a training
    checkpoint.

    Raises IncompatibleModel when a part is missing or parts do not belong together, DamagedFile for missing tensors.
    """
    opened = weights if isinstance(weights, Weights) else open_weights(weights)
    named = Weights(canonical(opened.header, ema))
    if not family.detects(named.header):
        raise IncompatibleModel(f"{named.header.path.name} is no {family.label} checkpoint.")
    facts = family.read_facts(named.header)
    device = torch.device(device)
    dtype = dtype or best_dtype(device)
    place = _placer(device, dtype, storage)
    unet, unused = _network(UNet, UNetConfig, named, UNET, place, dtype)
    used = [UNET]
    encoders, cut = [], 0
    sources = [named, *(Weights(canonical(open_weights(path).header)) for path in text_paths)]
    for part in family.text_encoders:
        source, prefix = _find_text(part, sources)
        encoder, rest = _text_encoder(
            part, source, prefix, _placer(device, text_dtype or dtype, storage), text_dtype or dtype
        )
        encoders.append(encoder)
        if source is named:
            unused, used = [*unused, *rest], [*used, prefix]
        cut = part.cut_in_folders if source.header.container == "diffusers" else 0
    _check_context(facts, encoders, named)
    vae_type = vae_dtype or _vae_dtype(facts, dtype)
    vae_place = _placer(device, vae_type, "file" if storage == "file" else None)
    vae, vae_unused = _load_vae(facts, named, vae_path, vae_place, vae_type)
    used.append(VAE)
    unused += vae_unused + _outside(named, used)
    return Model(family, facts, unet, tuple(encoders), vae, device, dtype, tuple(unused), cut)


def _vae_dtype(facts: ModelFacts, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if facts.latents.overflows and dtype == torch.float16 else dtype


def _placer(device: torch.device, dtype: torch.dtype, storage: Storage) -> Callable[[Tensor], Tensor]:
    def place(tensor: Tensor) -> Tensor:
        if storage == "file" and tensor.ndim >= 2:
            return tensor.to(device)
        return placed(tensor, device, dtype, None if storage == "file" else storage)

    return place


def _network(
    kind: Any,
    config: Any,
    weights: Weights,
    prefix: str,
    place: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    defaults: Mapping[str, Tensor] | None = None,
) -> tuple[Any, list[str]]:
    """A network of `kind` with the tensors below `prefix`, and the names that it did not take."""
    header = weights.header
    try:
        with without_memory():
            network = kind(config.from_shapes(header.shapes(prefix)))
    except (KeyError, ValueError, IndexError) as error:
        raise IncompatibleModel(
            f"The tensors {prefix}… of {header.path.name} are not those of a whole {kind.__name__} ({error})."
        ) from None
    unused = fill(network, weights.tensors(prefix), convert=place, defaults=defaults, source=header.path.name)
    if hasattr(network, "compute_dtype"):
        network.compute_dtype = dtype
    return network.eval(), [prefix + name for name in unused.names]


def _find_text(part: TextEncoderPart, sources: Sequence[Weights]) -> tuple[Weights, str]:
    """The file that holds a text encoder, and its prefix there."""
    mark = TEXT_MARKS[part.layout]
    for source in sources:
        for prefix in part.prefixes:
            if prefix + mark in source:
                return source, prefix
    for source in sources[1:]:  # files of their own, such as clip_l.safetensors
        bare = BARE_PREFIXES[part.layout]
        if bare + mark in source:
            return source, bare
    raise IncompatibleModel(
        f"{sources[0].header.path.name} holds no text encoder, only: {_named_parts(sources[0])}.",
        "A checkpoint with its text encoders was wanted.",
        "Use a full checkpoint, or name a file with the text encoders.",
    )


def _named_parts(weights: Weights) -> str:
    found = [name for name, prefix in (("the network", UNET), ("a VAE", VAE)) if weights.header.with_prefix(prefix)]
    return " and ".join(found) or "other tensors"


def _text_encoder(
    part: TextEncoderPart, source: Weights, prefix: str, place: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> tuple[nn.Module, list[str]]:
    if part.layout == "hf":
        return _network(ClipText, ClipTextConfig, source, prefix, place, dtype)
    # Some conversions leave the training temperature out; nothing here reads it.
    return _network(OpenClipText, OpenClipTextConfig, source, prefix, place, dtype, {"logit_scale": torch.zeros(())})


def _check_context(facts: ModelFacts, encoders: Sequence[nn.Module], weights: Weights) -> None:
    width = sum(encoder.config.width for encoder in encoders)  # type: ignore[union-attr,misc]
    if width != facts.context_width:
        raise IncompatibleModel(
            f"The text encoders give vectors of width {width}.",
            f"The network of {weights.header.path.name} wants {facts.context_width}.",
            "They belong to different models.",
        )


def _load_vae(
    facts: ModelFacts, own: Weights, path: str | Path | None, place: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> tuple[Autoencoder, list[str]]:
    source = Weights(canonical(open_weights(path).header)) if path else own
    check_fits(source.header, facts)
    vae, unused = _network(Autoencoder, AutoencoderConfig, source, VAE, place, dtype)
    check_finite(vae, source.header.path.name)
    return vae, unused if source is own else []


def _outside(weights: Weights, used: Sequence[str]) -> list[str]:
    """Names below none of the used prefixes that are not known remains of training."""
    text_extras = (CLIP.removesuffix("text_model."), "model_ema.")
    return [
        name
        for name in weights.header.tensors
        if not name.startswith((*used, *text_extras)) and not EXPECTED_REMAINS.fullmatch(name)
    ]


__all__ = ["Storage", "load"]
