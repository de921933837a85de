"""Full-size networks, built without memory, have exactly the names and shapes of the published files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.openclip import OpenClipText, OpenClipTextConfig
from webui.nn.tiny import TinyConfig, TinyDecoder, TinyEncoder
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig

KEYS = Path(__file__).parents[1] / "data" / "keys"
Shapes = dict[str, tuple[int, ...]]


def unet(shapes: Shapes) -> nn.Module:
    return UNet(UNetConfig.from_shapes(shapes))


def vae(shapes: Shapes) -> nn.Module:
    return Autoencoder(AutoencoderConfig.from_shapes(shapes))


def clip(shapes: Shapes) -> nn.Module:
    return ClipText(ClipTextConfig.from_shapes(shapes))


def openclip(shapes: Shapes) -> nn.Module:
    return OpenClipText(OpenClipTextConfig.from_shapes(shapes))


def tiny_decoder(shapes: Shapes) -> nn.Module:
    return TinyDecoder(TinyConfig.of_decoder(shapes))


def tiny_encoder(shapes: Shapes) -> nn.Module:
    return TinyEncoder(TinyConfig.of_encoder(shapes))


CHECKPOINTS = ("sd15", "sd15-inpaint", "sd15-pix2pix", "sd21-v", "sdxl-base", "sdxl-refiner")
PARTS: list[tuple[str, str, Callable[[Shapes], nn.Module]]] = [
    *((name, "model.diffusion_model.", unet) for name in CHECKPOINTS),
    *((name, "first_stage_model.", vae) for name in CHECKPOINTS),
    ("sd15", "cond_stage_model.transformer.text_model.", clip),
    ("sdxl-base", "conditioner.embedders.0.transformer.text_model.", clip),
    ("clip-l", "text_model.", clip),
    ("clip-l-with-projection", "text_model.|", clip),
    ("sd21-v", "cond_stage_model.model.", openclip),
    ("sdxl-base", "conditioner.embedders.1.model.", openclip),
    ("sdxl-refiner", "conditioner.embedders.0.model.", openclip),
    ("clip-g-openclip", "", openclip),
    ("clip-h-openclip", "", openclip),
    ("vae-kl-f8", "", vae),
    ("vae-flux-ae", "", vae),
    ("taesd-decoder", "", tiny_decoder),
    ("taesd-encoder", "", tiny_encoder),
    ("taef1-decoder", "", tiny_decoder),
    ("taef1-encoder", "", tiny_encoder),
]


def published(name: str, prefix: str) -> Shapes:
    """Shapes under a prefix, the prefix cut off; with a trailing "|" other names are kept as they are."""
    keep_others = prefix.endswith("|")
    prefix = prefix.rstrip("|")
    shapes: Shapes = {}
    for line in gzip.decompress((KEYS / f"{name}.tsv.gz").read_bytes()).decode().splitlines()[1:]:
        key, shape = line.split("\t")[:2]
        if key.endswith("position_ids"):  # a counter 0..76, which no network needs from a file
            continue
        if key.startswith(prefix) or keep_others:
            shapes[key.removeprefix(prefix)] = () if shape == "scalar" else tuple(map(int, shape.split("x")))
    return shapes


@pytest.mark.parametrize(("name", "prefix", "build"), PARTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_network_has_the_names_and_shapes_of_the_file(
    name: str, prefix: str, build: Callable[[Shapes], nn.Module]
) -> None:
    shapes = published(name, prefix)
    with torch.device("meta"):
        network = build(shapes)
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == shapes


def test_stable_diffusion_1_and_xl_are_what_the_plain_pattern_makes() -> None:
    assert UNetConfig.regular() == UNetConfig.from_shapes(published("sd15", "model.diffusion_model."))
    xl = UNetConfig.regular(
        320, (1, 2, 4), (0, 2, 10), middle_depth=10, context_width=2048, pooled_width=2816, linear_projections=True
    )
    assert xl == UNetConfig.from_shapes(published("sdxl-base", "model.diffusion_model."))
