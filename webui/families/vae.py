"""Autoencoders from files of their own: whether they fit, and where to look for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from webui.errors import DamagedFile, IncompatibleModel
from webui.weights.canonical import VAE, canonical
from webui.weights.tensors import Header

if TYPE_CHECKING:
    from webui.families.base import ModelFacts
    from webui.nn.vae import Autoencoder

ENDINGS = (".vae.safetensors", ".vae.pt", ".vae.ckpt")
SCALES = {0.18215: "sd1", 0.13025: "sdxl"}


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
            f"{facts.label} has {facts.latent_channels}.",
            "It belongs to another kind of model; choose Automatic.",
        )
    if factor != facts.factor:
        raise IncompatibleModel(
            f"The VAE of {header.path.name} reduces pictures {factor} times.",
            f"{facts.label} wants {facts.factor}.",
            "It belongs to another kind of model; choose Automatic.",
        )


def reduction(header: Header) -> int:
    """Pixels per latent cell along one side, 0 without an autoencoder."""
    levels = {name.split(".")[2] for name in header.shapes(VAE) if name.startswith("encoder.down.")}
    return 2 ** (len(levels) - 1) if levels else 0


def doubt(header: Header, facts: ModelFacts) -> str | None:
    """Why a VAE of the right shapes may still be the wrong one, as a sentence for the user, or None.

    What a folder's settings, the metadata and the file's name say; the tensors of SD 1 and XL look alike.
    """
    said = _said_family(header)
    if said is None or said == facts.family or (said == "sdxl") == facts.family.startswith("sdxl"):
        return None
    other = "Stable Diffusion XL" if said == "sdxl" else "Stable Diffusion 1 and 2"
    return f"The VAE {header.path.name} seems to be made for {other}; with {facts.label} colours will be wrong."


def _said_family(header: Header) -> str | None:
    scale = json.loads(canonical(header).metadata.get("vae/config", "{}")).get("scaling_factor")
    if scale in SCALES:
        return SCALES[scale]
    architecture = header.metadata.get("modelspec.architecture", "").lower()
    if "stable-diffusion" in architecture:
        return "sdxl" if "xl" in architecture else "sd1"
    name = header.path.stem.lower()
    if "xl" in name:
        return "sdxl"
    known = ("840000", "560000", "kl-f8", "sd15", "sd1.5", "sd-v1", "anything", "orangemix")
    return "sd1" if any(part in name for part in known) else None


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
