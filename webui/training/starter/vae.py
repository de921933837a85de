"""Train the starter's autoencoder on crops of composed pictures. Resumes, logs, and keeps an averaged copy.

It grows: the network without its finest level first learns pictures of half the size, at a quarter of the cost. That
fixes the latents, so the UNet can start on them. Then the finest level is put around it: the encoder learns to give the
same latents from full-size pictures, the decoder to draw full-size pictures from them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.training.starter.pictures import Drawings, compose
from webui.training.starter.recipe import BACKGROUNDS, Profile
from webui.training.starter.state import Average, load_state, memory_format, placed, save_state

CROP = 64
LEARNING_RATE = 2e-3
DIVERGENCE = 2e-4
SAVE_SECONDS = 120


def config_of(profile: Profile) -> AutoencoderConfig:
    """The autoencoder a profile trains: one residual block a level, factor 8."""
    return AutoencoderConfig(profile.vae_channels, profile.vae_multipliers, 1)


def random_picture(drawings: Drawings, index: int, size: int, choice: random.Random) -> Tensor:
    """One composed training picture [3, size, size] in [-1, 1], on a named or a random ground."""
    if choice.random() < 0.8:
        ground = choice.choice(list(BACKGROUNDS.values()))
    else:
        ground = (choice.randrange(256), choice.randrange(256), choice.randrange(256))
    shift = (choice.uniform(-0.1, 0.1), choice.uniform(-0.1, 0.1))
    return as_tensor(
        compose(drawings.rgba[index], ground, size, choice.uniform(0.7, 1.0), shift, choice.random() < 0.5)
    )


def as_tensor(picture: numpy.ndarray) -> Tensor:
    """uint8 [H, W, 3] → float [3, H, W] in [-1, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1


def crops(drawings: Drawings, indices: list[int], size: int, crop: int, count: int, choice: random.Random) -> Tensor:
    """A batch [count, 3, crop, crop] in [-1, 1]; two crops from each picture."""
    batch: list[Tensor] = []
    while len(batch) < count:
        picture = random_picture(drawings, choice.choice(indices), size, choice)
        for _ in range(2):
            top, left = choice.randint(0, size - crop), choice.randint(0, size - crop)
            batch.append(picture[:, top : top + crop, left : left + crop])
    return torch.stack(batch[:count])


def start_as_identity(vae: Autoencoder) -> None:
    """Zero the last layer of every residual branch: training starts from a plain chain of convolutions."""
    for module in vae.modules():
        last = getattr(module, "conv2", None) or getattr(module, "proj_out", None)
        if last is not None:
            torch.nn.init.zeros_(last.weight)


def inner_config(config: AutoencoderConfig) -> AutoencoderConfig:
    """The network without its finest level."""
    return dataclasses.replace(
        config,
        channels=config.channels * config.multipliers[1],
        multipliers=tuple(m // config.multipliers[1] for m in config.multipliers[1:]),
    )


def grow(inner: Autoencoder, config: AutoencoderConfig) -> Autoencoder:
    """Put a new finest level around a trained inner network."""
    outer = Autoencoder(config)
    start_as_identity(outer)
    grown = {}
    for name, tensor in inner.state_dict().items():
        parts = name.split(".")
        if parts[1] in ("down", "up"):
            parts[2] = str(int(parts[2]) + 1)
        grown[".".join(parts)] = tensor
    wanted = outer.state_dict()
    fits = {name: t for name, t in grown.items() if name in wanted and wanted[name].shape == t.shape}
    for renewed in ("encoder.conv_in", "decoder.norm_out", "decoder.conv_out"):  # these face the picture
        fits = {name: t for name, t in fits.items() if not name.startswith(renewed)}
    outer.load_state_dict(fits, strict=False)
    return outer


def edges(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and lower neighbours."""
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 on pixels, on edges, and on a half-size copy: flat areas, outlines, and shapes."""
    loss = F.l1_loss(made, wanted)
    for mine, theirs in zip(edges(made), edges(wanted), strict=True):
        loss = loss + 0.5 * F.l1_loss(mine, theirs)
    return loss + 0.5 * F.l1_loss(F.avg_pool2d(made, 4), F.avg_pool2d(wanted, 4))


@torch.no_grad()
def psnr(vae: Autoencoder, drawings: Drawings, indices: list[int], size: int, device: str) -> float:
    """Mean peak signal-to-noise ratio in dB over whole composed pictures (one fixed composition each)."""
    values = []
    for index in indices:
        picture = random_picture(drawings, index, size, random.Random(index)).to(device)
        made = vae.decode(vae.encode(picture[None])).clamp(-1, 1)[0]
        values.append(-10 * math.log10(max(F.mse_loss(made, picture).item() / 4, 1e-10)))
    return sum(values) / len(values)


def train_half(drawings: Drawings, profile: Profile, out: Path, minutes: float, device: str, batch: int = 16) -> None:
    """First stage, for `minutes` in all over every resumed run: half-size pictures, and with them the latents."""
    inner = Autoencoder(inner_config(config_of(profile)))
    start_as_identity(inner)
    _stage(inner, None, drawings, profile.size // 2, CROP // 2, _half_path(profile, out), minutes, device, batch)


def train_full(drawings: Drawings, profile: Profile, out: Path, minutes: float, device: str, batch: int = 8) -> None:
    """Second stage: the whole network, at the latents of the first."""
    inner = load_half(profile, out).to(device)
    outer = grow(inner, config_of(profile))
    _stage(outer, inner, drawings, profile.size, CROP, _full_path(profile, out), minutes, device, batch)


def _half_path(profile: Profile, out: Path) -> Path:
    return out / f"{profile.name}-vae-half.pt"


def _full_path(profile: Profile, out: Path) -> Path:
    return out / f"{profile.name}-vae.pt"


def load_half(profile: Profile, out: Path) -> Autoencoder:
    """The averaged half-size autoencoder of a training folder. Raises FileNotFoundError when there is none."""
    return _load(inner_config(config_of(profile)), _half_path(profile, out))


def load_full(profile: Profile, out: Path) -> Autoencoder:
    """The averaged whole autoencoder of a training folder. Raises FileNotFoundError when there is none."""
    return _load(config_of(profile), _full_path(profile, out))


def _load(config: AutoencoderConfig, path: Path) -> Autoencoder:
    vae = Autoencoder(config)
    average = Average(vae, 0)
    if not load_state(path, {"average": average}):
        raise FileNotFoundError(f"There is no trained autoencoder at {path}; train it first.")
    average.copy_to(vae)
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def half_latents(inner: Autoencoder, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents that the half-size network gives full-size pictures [B, 3, H, W]."""
    mean, log_variance = inner.moments(F.avg_pool2d(pictures, 2))
    return mean.float(), (0.5 * log_variance.float()).exp()


def _stage(
    vae: Autoencoder,
    inner: Autoencoder | None,
    drawings: Drawings,
    size: int,
    crop: int,
    path: Path,
    minutes: float,
    device: str,
    batch: int,
) -> None:
    placed(vae, device)
    average = Average(vae, 0.999)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    parts = {"model": vae, "average": average, "optimizer": optimizer}
    state = load_state(path, parts)
    step, spent = int(state.get("step", 0)), state.get("minutes", 0.0)
    torch.manual_seed(step)
    choice = random.Random(step)
    seen = drawings.indices("seen") + drawings.indices("lora")  # the autoencoder may know every style
    held_out = drawings.indices("held out")[:32]
    begun, saved = time.monotonic() - spent * 60, time.monotonic()
    running: list[float] = []
    while (spent := (time.monotonic() - begun) / 60) < minutes:
        rate = LEARNING_RATE * min(1, (step + 1) / 50) * max(0.03, 0.5 * (1 + math.cos(math.pi * spent / minutes)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures = crops(drawings, seen, size, crop, batch, choice).to(device, memory_format=memory_format(device))
        with torch.autocast(device, torch.bfloat16):
            loss = first_loss(vae, pictures) if inner is None else second_loss(vae, inner, pictures)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        running.append(loss.item())
        step += 1
        if time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            with average.applied_to(vae):
                quality = psnr(vae, drawings, held_out, size, device)
            save_state(path, parts, step=step, minutes=spent)
            record = {"step": step, "minutes": spent, "loss": sum(running) / len(running), "held_out_psnr": quality}
            running = []
            with path.with_suffix(".log").open("a") as log:
                log.write(json.dumps(record) + "\n")
    save_state(path, parts, step=step, minutes=spent)
    average.copy_to(vae)


def first_loss(vae: Autoencoder, pictures: Tensor) -> Tensor:
    """Reconstruction plus a light pull of the latents towards unit variance."""
    mean, log_variance = vae.moments(pictures)
    mean, log_variance = mean.float(), log_variance.float()
    made = vae.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return reconstruction_loss(made.float(), pictures) + DIVERGENCE * divergence


def second_loss(vae: Autoencoder, inner: Autoencoder, pictures: Tensor) -> Tensor:
    """The decoder draws from the first stage's latents; the encoder learns to give their moments."""
    mean, deviation = half_latents(inner, pictures)
    made = vae.decode(mean + deviation * torch.randn_like(mean))
    own_mean, own_log_variance = vae.moments(pictures)
    matching = (own_mean.float() - mean).square().mean() + 0.1 * (
        own_log_variance.float() - 2 * deviation.log()
    ).square().mean()
    return reconstruction_loss(made.float(), pictures) + matching
