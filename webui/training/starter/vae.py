"""Train the starter's autoencoder on crops of composed pictures. Resumes, logs, and keeps an averaged copy."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.training.starter.pictures import Drawings, background_colour, compose
from webui.training.starter.recipe import BACKGROUNDS, Profile
from webui.training.starter.state import Average, load_state, save_state

CROP = 64


def config_of(profile: Profile) -> AutoencoderConfig:
    """The autoencoder a profile trains: one residual block a level, factor 8."""
    return AutoencoderConfig(profile.vae_channels, (1, 2, 4, 4), 1)


def random_picture(drawings: Drawings, index: int, size: int, choice: random.Random) -> Tensor:
    """One composed training picture [3, size, size] in [0, 1], on a named or a random ground."""
    if choice.random() < 0.8:
        ground = background_colour(choice.choice(list(BACKGROUNDS)))
    else:
        ground = torch.tensor([choice.random() for _ in range(3)])
    shift = (choice.uniform(-0.15, 0.15), choice.uniform(-0.15, 0.15))
    return compose(
        torch.from_numpy(drawings.rgba[index].copy()), ground, size, choice.uniform(0.6, 1.0), shift,
        choice.random() < 0.5,
    )


def crops(drawings: Drawings, indices: list[int], size: int, count: int, choice: random.Random) -> Tensor:
    """A batch [count, 3, CROP, CROP] in [-1, 1]; two crops from each picture."""
    batch = []
    while len(batch) < count:
        picture = random_picture(drawings, choice.choice(indices), size, choice)
        for _ in range(2):
            top, left = choice.randint(0, size - CROP), choice.randint(0, size - CROP)
            batch.append(picture[:, top : top + CROP, left : left + CROP])
    return torch.stack(batch[:count]) * 2 - 1


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
        made = vae.decode(vae.encode(picture[None] * 2 - 1)).clamp(-1, 1)[0] / 2 + 0.5
        values.append(-10 * math.log10(max(F.mse_loss(made, picture).item(), 1e-10)))
    return sum(values) / len(values)


def train(drawings: Drawings, profile: Profile, out: Path, minutes: float, device: str, batch: int = 32) -> None:
    """Train until `minutes` of training are reached in all (over every resumed run)."""
    torch.manual_seed(0)
    vae = Autoencoder(config_of(profile)).to(device, memory_format=torch.channels_last)
    average = Average(vae, 0.9995)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    state = load_state(out / "vae.pt", {"model": vae, "average": average, "optimizer": optimizer})
    step, spent = state.get("step", 0), state.get("minutes", 0.0)
    choice = random.Random(step)
    seen = drawings.indices("seen") + drawings.indices("lora")  # the autoencoder may know every style
    held_out = drawings.indices("held out")[:48]
    begun, saved = time.monotonic() - spent * 60, time.monotonic()
    running: list[float] = []
    while (spent := (time.monotonic() - begun) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, step / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / minutes)))
        pictures = crops(drawings, seen, profile.size, batch, choice).to(device, memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            mean, log_variance = vae.moments(pictures)
            mean, log_variance = mean.float(), log_variance.float()
            made = vae.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = reconstruction_loss(made.float(), pictures) + 2e-4 * divergence
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        running.append(loss.item())
        step += 1
        if step % 100 == 0 or time.monotonic() - saved > 120:
            record = {"step": step, "minutes": round(spent, 2), "loss": sum(running) / len(running)}
            running = []
            if time.monotonic() - saved > 120:
                saved = time.monotonic()
                with average.applied_to(vae):
                    record["held_out_psnr"] = psnr(vae, drawings, held_out, profile.size, device)
                parts = {"model": vae, "average": average, "optimizer": optimizer}
                save_state(out / "vae.pt", parts, step=step, minutes=spent)
            with (out / "vae.log").open("a") as log:
                log.write(json.dumps(record) + "\n")
    save_state(out / "vae.pt", {"model": vae, "average": average, "optimizer": optimizer}, step=step, minutes=spent)
