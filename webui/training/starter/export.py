"""Write a finished training folder as an ordinary Stable Diffusion 1 checkpoint, with its preview decoder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.nn.tiny import TinyDecoder
from webui.nn.vae import Autoencoder
from webui.training.starter.captions import Vocabulary, whole_embedding
from webui.training.starter.diffusion import Moments, Trained
from webui.training.starter.pictures import Drawings
from webui.training.starter.recipe import PICTURE_SETS, Profile
from webui.training.starter.vae import half_latents, random_picture
from webui.weights.save import save_safetensors

SD1_SCALE = 0.18215
PREVIEW_NAME = "starter_preview"


def latent_statistics(inner: Autoencoder, drawings: Drawings, profile: Profile) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [4] of the latents over training pictures."""
    choice = random.Random(3)
    indices = drawings.indices("seen")
    pictures = [random_picture(drawings, choice.choice(indices), profile.size, choice) for _ in range(256)]
    latents, _ = half_latents(inner, torch.stack(pictures))  # [256, 4, h, w]
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def scaled_moments(inner: Autoencoder, mean: Tensor, deviation: Tensor) -> Moments:
    """What the UNet trains on: the first stage's latents, shifted and scaled to mean 0 and variance 1."""

    def moments(pictures: Tensor) -> tuple[Tensor, Tensor]:
        centre, spread = half_latents(inner, pictures)
        shift, factor = (t.view(1, -1, 1, 1).to(centre) for t in (mean, 1 / deviation))
        return (centre - shift) * factor, spread * factor

    return moments


@torch.no_grad()
def fold_scale(vae: Autoencoder, mean: Tensor, deviation: Tensor) -> None:
    """Shift and scale the latents inside the file, so that times 0.18215 they have mean 0 and variance 1."""
    factor = 1 / (deviation * SD1_SCALE)  # [4]
    count = len(factor)
    bias, last_bias = vae.quant_conv.bias, vae.post_quant_conv.bias
    assert bias is not None and last_bias is not None
    vae.quant_conv.weight[:count] *= factor.view(-1, 1, 1, 1)
    bias[:count] = (bias[:count] - mean) * factor
    bias[count:] += 2 * factor.log()  # the log-variances of the same latents
    last_bias += (vae.post_quant_conv.weight.flatten(1) * mean).sum(1)
    vae.post_quant_conv.weight /= factor.view(1, -1, 1, 1)


@torch.no_grad()
def preview_factors(vae: Autoencoder, drawings: Drawings, profile: Profile) -> list[list[float]]:
    """Rows that turn a scaled latent cell into its mean colour in [-1, 1]: one a channel, then the bias."""
    choice = random.Random(4)
    indices = drawings.indices("seen")
    pictures = torch.stack([random_picture(drawings, choice.choice(indices), profile.size, choice) for _ in range(64)])
    latents = vae.encode(pictures) * SD1_SCALE
    cells = latents.permute(0, 2, 3, 1).flatten(0, 2)  # [cells, 4]
    colours = F.avg_pool2d(pictures, vae.config.factor).permute(0, 2, 3, 1).flatten(0, 2)  # [cells, 3]
    known = torch.cat([cells, torch.ones(len(cells), 1)], dim=1)
    return torch.linalg.lstsq(known, colours).solution.tolist()


def checkpoint_tensors(model: Trained, vae: Autoencoder, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Every tensor under its name in a Stable Diffusion 1 file, in float16."""
    tensors = {f"model.diffusion_model.{name}": t for name, t in model.unet.state_dict().items()}
    tensors |= {f"first_stage_model.{name}": t for name, t in vae.state_dict().items()}
    text = dict(model.text.state_dict())
    embedding = "embeddings.token_embedding.weight"
    text[embedding] = whole_embedding(text[embedding], vocabulary)
    tensors |= {f"cond_stage_model.transformer.text_model.{name}": t for name, t in text.items()}
    return {name: t.detach().to("cpu", torch.float16).contiguous() for name, t in tensors.items()}


def metadata(profile: Profile, factors: list[list[float]]) -> dict[str, str]:
    """What the file says of itself (all values are strings in this format)."""
    licences = sorted({s.licence for s in PICTURE_SETS})
    return {
        "modelspec.title": "Emulsion starter",
        "modelspec.description": "A small text-to-image model of emoji-like pictures, trained from scratch.",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.prediction_type": "epsilon",
        "modelspec.resolution": f"{profile.size}x{profile.size}",
        "modelspec.license": "MIT; trained on pictures under " + ", ".join(licences),
        "emulsion.native_size": str(profile.size),
        "emulsion.defaults": json.dumps({"sampler": "DPM++ 2M", "guidance_scale": 4.0}),
        "emulsion.concepts": json.dumps(profile.taught_concepts),
        "emulsion.styles": json.dumps(profile.taught_styles),
        "emulsion.tiny_decoder": PREVIEW_NAME,
        "emulsion.preview_factors": json.dumps([[round(v, 4) for v in row] for row in factors]),
    }


def export(
    model: Trained,
    vae: Autoencoder,
    tiny: TinyDecoder,
    vocabulary: Vocabulary,
    notes: dict[str, str],
    folder: Path,
) -> None:
    """Write the checkpoint and its preview decoder into `folder`; `notes` is the checkpoint's `metadata`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(folder / "starter.safetensors", checkpoint_tensors(model, vae, vocabulary), notes)
    preview = {name: t.detach().to("cpu", torch.float16).contiguous() for name, t in tiny.state_dict().items()}
    save_safetensors(folder / f"{PREVIEW_NAME}.safetensors", preview, {"emulsion.preview_of": "starter"})
