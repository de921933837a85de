"""Autoencoders from files of their own: whether they fit, and where to look for one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import DamagedFile, FileError, IncompatibleModel
from webui.weights.canonical import UNET, VAE, canonical
from webui.weights.tensors import Header

if TYPE_CHECKING:
    from webui.families.base import ModelFacts
    from webui.nn.vae import Autoencoder

ENDINGS = (".vae.safetensors", ".vae.pt", ".vae.ckpt")
SD1, SDXL = 0.18215, 0.13025  # scales of latents; every VAE says by them whose it is
LABELS = {SD1: "Stable Diffusion 1 and 2", SDXL: "Stable Diffusion XL", 0.5: "Playground 2.5"}
SD1_NAMES = ("840000", "560000", "kl-f8", "sd15", "sd1.5", "sd-v1", "anything", "orangemix")
FIRST_LAYER = "encoder.conv_in.weight"
PUBLISHED = {  # beginnings of the SHA-256 of files that most people have
    SD1: (
        "735e4c3a447a",  # vae-ft-mse-840000-ema-pruned.safetensors
        "c6a580b13a5b",  # vae-ft-mse-840000-ema-pruned.ckpt
        "95f26a5ab047",  # vae-ft-ema-560000-ema-pruned.safetensors
        "0b204ad0cae5",  # vae-ft-ema-560000-ema-pruned.ckpt
        "a1d993488569",  # sd-vae-ft-mse of diffusers
        "32db726da04f",  # sd-vae-ft-ema of diffusers
        "2f11c4a99ddc",  # kl-f8-anime
        "df3c506e51b7",  # kl-f8-anime2
        "f921fb3f2989",  # animevae, Anything, orangemix
    ),
    SDXL: (
        "63aeecb90ff7",  # sdxl_vae.safetensors
        "1598f3d24932",  # the same of diffusers
        "235745af8d86",  # sdxl-vae-fp16-fix
    ),
}


def check_fits(header: Header, facts: ModelFacts) -> None:
    """Raise IncompatibleModel unless the file (canonical names) has an autoencoder for the model's latents.

    Channels and reduction are compared. Autoencoders of SD 1 and XL have equal shapes; for them see `doubt`.
    """
    shapes = header.shapes(VAE)
    if "decoder.conv_in.weight" not in shapes or "encoder.conv_in.weight" not in shapes:
        raise IncompatibleModel(
            f"{header.path.name} holds no VAE.", "An encoder and a decoder were wanted.", "Choose a VAE file."
        )
    channels, factor = shapes["decoder.conv_in.weight"][1], reduction(header)
    if channels != facts.latent_channels:
        raise IncompatibleModel(
            f"The VAE of {header.path.name} has latents of {channels} channels.",
            f"{facts.label} has {facts.latent_channels} of them.",
            "It belongs to another kind of model; choose Automatic.",
        )
    if factor != facts.factor:
        raise IncompatibleModel(
            f"The VAE of {header.path.name} reduces pictures {factor} times.",
            f"{facts.label} wants one that reduces them {facts.factor} times.",
            "It belongs to another kind of model; choose Automatic.",
        )


def reduction(header: Header) -> int:
    """Pixels per latent cell along one side, 0 without an autoencoder."""
    levels = {name.split(".")[2] for name in header.shapes(VAE) if name.startswith("encoder.down.")}
    return 2 ** (len(levels) - 1) if levels else 0


@dataclass(frozen=True)
class Evidence:
    """What tells whose latents a VAE makes: by their scale (0.18215 …), from where that is known, and whether it is
    sure or a guess."""

    scale: float
    source: str  # goes on after "It is made for …: "
    sure: bool


def evidence(header: Header, sha256: str | None = None) -> Evidence | None:
    """Whose latents a VAE of SD 1's shapes makes, or None where nothing tells: the tensors of SD 1 and XL look alike.

    Sure are the scale in a diffusers folder's settings, the architecture in the metadata, a whole checkpoint around the
    VAE, and the hash of a published file; the file's name is a guess.
    """
    named = canonical(header)
    scale = _config(named).get("scaling_factor")
    if isinstance(scale, float) and scale > 0:
        return Evidence(scale, f"its settings say that the scale of its latents is {scale:g}", True)
    architecture = header.metadata.get("modelspec.architecture", "").lower()
    if "stable-diffusion" in architecture:
        said = SDXL if "xl" in architecture else SD1
        return Evidence(said, f"its metadata say {architecture:.60}", True)
    if UNET + "input_blocks.0.0.weight" in named.tensors:
        whole = _whole(header)
        if whole is not None:
            return Evidence(whole.scale, f"it is a whole {whole.label} checkpoint", True)
    for scale, hashes in PUBLISHED.items():
        if sha256 and sha256.startswith(hashes):
            return Evidence(scale, "it is one of the published files, told by its hash", True)
    name = header.path.stem.lower()
    guess = SDXL if "xl" in name else SD1 if any(part in name for part in SD1_NAMES) else None
    return Evidence(guess, "its name suggests that", False) if guess else None


def check_belongs(header: Header, facts: ModelFacts, sha256: str | None = None) -> None:
    """Raise IncompatibleModel for a VAE that surely belongs to another family, with what tells so; see `evidence`."""
    found = evidence(header, sha256)
    if found is None or not found.sure or _agrees(found, facts):
        return
    raise IncompatibleModel(
        f"The VAE {header.path.name} is made for {_made_for(found)}: {found.source}.",
        f"{facts.label} has latents of another scale (1 : {facts.scale:g}); colours would be wrong.",
        "Choose Automatic, or a VAE made for this kind of checkpoint.",
    )


def doubt(header: Header, facts: ModelFacts, sha256: str | None = None, own: Header | None = None) -> str | None:
    """Why a VAE of the right shapes may still be the wrong one, as a sentence for the user, or None.

    `own` is the checkpoint's header: a VAE that has the encoder of the checkpoint's own is beyond doubt, whatever it is
    called, for those in circulation are decoders tuned for one encoder.
    """
    found = evidence(header, sha256)
    if found is None or _agrees(found, facts) or (own is not None and _same_encoder(header, own)):
        return None
    return (
        f"The VAE {header.path.name} may be made for {_made_for(found)} ({found.source}); "
        f"with {facts.label} colours would be wrong."
    )


def said_family(header: Header, sha256: str | None = None) -> str | None:
    """Whose VAE it is as far as anything tells, see `evidence`: "sd1" (2.x takes the same), "sdxl", or None."""
    found = evidence(header, sha256)
    return {SD1: "sd1", SDXL: "sdxl"}.get(found.scale) if found else None


def _agrees(found: Evidence, facts: ModelFacts) -> bool:
    return abs(found.scale - facts.scale) < 1e-4


def _made_for(found: Evidence) -> str:
    return LABELS.get(found.scale, f"latents of the scale {found.scale:g}")


def _config(named: Header) -> dict[str, Any]:
    config = json.loads(named.metadata.get("vae/config", "{}"))
    return config if isinstance(config, dict) else {}


def _whole(header: Header) -> ModelFacts | None:
    from webui import families

    try:
        return families.facts(header)
    except FileError:
        return None  # of a family that is not known, which tells nothing


def _same_encoder(one: Header, other: Header) -> bool:
    from webui.families.detection import read_small

    first, second = (read_small(canonical(header), VAE + FIRST_LAYER) for header in (one, other))
    if first is None or second is None or len(first) != len(second):
        return False
    return all(abs(a - b) <= 0.01 * abs(b) + 1e-4 for a, b in zip(first, second, strict=True))  # half precision


def sidecar_vae(checkpoint: Path) -> Path | None:
    """The VAE that lies beside a checkpoint under its name, as in `model.vae.safetensors`."""
    return next((path for ending in ENDINGS if (path := checkpoint.with_suffix(ending)).is_file()), None)


def check_finite(vae: Autoencoder, name: str) -> None:
    """Raise DamagedFile for NaN or infinite weights, which some merges have: every picture would be black."""
    for key, tensor in vae.state_dict().items():
        if not bool(tensor.float().sum().isfinite()):
            raise DamagedFile(
                f"The VAE of {name} is damaged: {key} holds values that are no numbers.",
                "",
                "Choose a separate VAE file.",
            )
