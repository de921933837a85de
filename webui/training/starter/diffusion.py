"""Train the starter's UNet and text encoder together on cached latents of composed pictures."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.unet import UNet, UNetConfig, zero_last_layers
from webui.training.starter.captions import Vocabulary
from webui.training.starter.pictures import Drawings, compose
from webui.training.starter.recipe import BACKGROUNDS, MIRROR_SENSITIVE, Profile, caption
from webui.training.starter.state import Average, load_state, memory_format, placed, save_state
from webui.training.starter.vae import as_tensor

VARIANTS = 39  # compositions of each drawing in the cache
CAPTION_DROPOUT = 0.1
LEARNING_RATE = 8e-4
SNR_CAP = 5.0


Moments: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]  # pictures → mean and deviation of scaled latents


@dataclass(frozen=True)
class LatentCache:
    """Scaled latents of composed pictures: `mean` and `deviation` [N, 4, h, w]; what each shows, by index."""

    mean: Tensor
    deviation: Tensor
    drawing: list[int]
    background: list[str]


def unet_config(profile: Profile) -> UNetConfig:
    """The profile's UNet: attention on all levels but the finest."""
    depths = (0, *(1 for _ in profile.unet_multipliers[1:]))
    return UNetConfig.regular(
        profile.unet_channels,
        profile.unet_multipliers,
        depths,
        residual_blocks=profile.unet_blocks,
        context_width=profile.text_width,
    )


def text_config(profile: Profile, words: int) -> ClipTextConfig:
    """The profile's text encoder over a compact vocabulary of `words` rows."""
    width = profile.text_width
    return ClipTextConfig(width, profile.text_layers, max(1, width // 64), 4 * width, words)


class Trained(nn.Module):
    """UNet and text encoder as one set of weights."""

    def __init__(self, profile: Profile, vocabulary: Vocabulary):
        super().__init__()
        self.unet = UNet(unet_config(profile))
        self.text = ClipText(text_config(profile, vocabulary.unknown + 1))
        zero_last_layers(self.unet)
        for name, weight in self.text.named_parameters():
            if name.endswith("embedding.weight"):
                nn.init.normal_(weight, std=0.02)

    def forward(self, x: Tensor, timestep: Tensor, tokens: Tensor) -> Tensor:
        """Predicted noise [B, 4, h, w] for noisy latents, timesteps [B] and compact token ids [B, 77]."""
        return self.unet(x, timestep, self.text(tokens).hidden)


@torch.no_grad()
def build_cache(moments: Moments, drawings: Drawings, indices: list[int], profile: Profile, device: str) -> LatentCache:
    """Compose VARIANTS pictures of each drawing and encode them."""
    choice = random.Random(1)
    means, deviations, owners, grounds = [], [], [], []
    jobs = [(i, name) for i in indices for name in _spread(list(BACKGROUNDS), VARIANTS, choice)]
    for start in range(0, len(jobs), 64):
        batch = []
        for index, ground in jobs[start : start + 64]:
            sensitive = MIRROR_SENSITIVE & set(drawings.concepts[index].split())
            mirror = profile.mirror and not sensitive and choice.random() < 0.5
            shift = (choice.uniform(-1, 1) * profile.shift, choice.uniform(-1, 1) * profile.shift)
            size = choice.uniform(*profile.scales)
            picture = compose(drawings.rgba[index], BACKGROUNDS[ground], profile.size, size, shift, mirror)
            batch.append(as_tensor(picture))
            owners.append(index)
            grounds.append(ground)
        mean, deviation = moments(torch.stack(batch).to(device))
        means.append(mean.half().cpu())
        deviations.append(deviation.half().cpu())
    return LatentCache(torch.cat(means), torch.cat(deviations), owners, grounds)


def _spread(names: list[str], count: int, choice: random.Random) -> list[str]:
    """`count` names, each equally often, plain white twice as often as any other."""
    cycle = ["white", *names]
    return [cycle[i % len(cycle)] for i in choice.sample(range(count), count)]


def alphas_cumulative(steps: int = 1000) -> Tensor:
    """Stable Diffusion's ᾱ of each training step: betas linear in their square roots (Rombach et al. 2022)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


def denoising_loss(model: Trained, latents: Tensor, tokens: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Noise-prediction loss with the min-SNR weight (Hang et al. 2023), one value a sample [B]."""
    alpha = alphas_cumulative().to(latents.device)[timestep].view(-1, 1, 1, 1)
    predicted = model(latents * alpha.sqrt() + noise * (1 - alpha).sqrt(), timestep.float(), tokens).float()
    ratio = (alpha / (1 - alpha)).flatten()
    weight = ratio.clamp(max=SNR_CAP) / ratio
    return (predicted - noise).square().mean((1, 2, 3)) * weight


def batch_of(
    cache: LatentCache, picks: list[int], drawings: Drawings, vocabulary: Vocabulary, choice: random.Random | None
) -> tuple[Tensor, Tensor]:
    """Latents [B, 4, h, w] and compact token ids [B, 77] of cache entries; `choice` None gives plain full captions."""
    rows = []
    for pick in picks:
        index = cache.drawing[pick]
        if choice is None:
            text = f"{drawings.concepts[index]}, {drawings.styles[index]} style, {cache.background[pick]} background"
        elif choice.random() < CAPTION_DROPOUT:
            text = ""
        else:
            text = caption(
                drawings.concepts[index],
                drawings.styles[index],
                cache.background[pick],
                drawings.keywords[index],
                choice,
            )
        rows.append(vocabulary.encode(text, choice))
    chosen = torch.tensor(picks)
    latents = cache.mean[chosen].float()
    if choice is not None:
        latents = latents + cache.deviation[chosen].float() * torch.randn_like(latents)
    return latents, torch.tensor(rows)


@torch.no_grad()
def held_out_loss(model: Trained, cache: LatentCache, drawings: Drawings, vocabulary: Vocabulary, device: str) -> float:
    """Mean unweighted denoising loss on held-out pictures at fixed noises and timesteps."""
    generator = torch.Generator().manual_seed(7)
    picks = list(range(0, len(cache.drawing), max(1, len(cache.drawing) // 128)))[:128]
    latents, tokens = batch_of(cache, picks, drawings, vocabulary, None)
    noise = torch.randn(latents.shape, generator=generator)
    timestep = torch.linspace(20, 980, len(picks)).long()
    alpha = alphas_cumulative()[timestep].view(-1, 1, 1, 1)
    noisy = latents * alpha.sqrt() + noise * (1 - alpha).sqrt()
    predicted = model(noisy.to(device), timestep.float().to(device), tokens.to(device)).float().cpu()
    return (predicted - noise).square().mean().item()


def train(
    drawings: Drawings,
    profile: Profile,
    moments: Moments,
    vocabulary: Vocabulary,
    out: Path,
    minutes: float,
    device: str,
    batch: int = 24,
) -> None:
    """Train until `minutes` of training are reached in all; the learning rate falls to its end with them."""
    torch.manual_seed(0)
    model = placed(Trained(profile, vocabulary), device)
    average = Average(model, 0.999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    parts = {"model": model, "average": average, "optimizer": optimizer}
    state = load_state(out / f"{profile.name}-diffusion.pt", parts)
    step, spent = int(state.get("step", 0)), state.get("minutes", 0.0)
    torch.manual_seed(step)
    choice = random.Random(step)
    cache = build_cache(moments, drawings, drawings.indices("seen"), profile, device)
    test = build_cache(moments, drawings, drawings.indices("held out"), profile, device)
    begun, saved = time.monotonic() - spent * 60, time.monotonic()
    running: list[float] = []
    while (spent := (time.monotonic() - begun) / 60) < minutes:
        rate = LEARNING_RATE * min(1, (step + 1) / 200) * max(0.02, 0.5 * (1 + math.cos(math.pi * spent / minutes)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        picks = [choice.randrange(len(cache.drawing)) for _ in range(batch)]
        latents, tokens = batch_of(cache, picks, drawings, vocabulary, choice)
        latents = latents.to(device, memory_format=memory_format(device))
        timestep = torch.randint(0, 1000, (batch,), device=device)
        with torch.autocast(device, torch.bfloat16):
            loss = denoising_loss(model, latents, tokens.to(device), torch.randn_like(latents), timestep).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        running.append(loss.item())
        step += 1
        if time.monotonic() - saved > 180:
            saved = time.monotonic()
            with average.applied_to(model):
                held_out = held_out_loss(model, test, drawings, vocabulary, device)
            save_state(out / f"{profile.name}-diffusion.pt", parts, step=step, minutes=spent)
            record = {"step": step, "minutes": spent, "loss": sum(running) / len(running), "held_out": held_out}
            running = []
            with (out / f"{profile.name}-diffusion.log").open("a") as log:
                log.write(json.dumps(record) + "\n")
    save_state(out / f"{profile.name}-diffusion.pt", parts, step=step, minutes=spent)


def whole_text_config(config: ClipTextConfig) -> ClipTextConfig:
    """The shipped encoder's shape: CLIP's whole vocabulary."""
    return dataclasses.replace(config, vocabulary=49408)
