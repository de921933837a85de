"""Train the small preview decoder: scaled latents → pictures, in the layout of TAESD's decoder files."""

from __future__ import annotations

import random
import time

import torch
import torch.nn.functional as F

from webui.nn.tiny import TinyConfig, TinyDecoder
from webui.nn.vae import Autoencoder
from webui.training.starter.pictures import Drawings
from webui.training.starter.recipe import Profile
from webui.training.starter.state import placed
from webui.training.starter.vae import edges, random_picture

CONFIG = TinyConfig(channels=32, stages=(1, 1, 1, 1))


def train(
    vae: Autoencoder, scale: float, drawings: Drawings, profile: Profile, minutes: float, device: str
) -> TinyDecoder:
    """Learn what the whole decoder would show, from the encoder's latents."""
    torch.manual_seed(0)
    decoder = placed(TinyDecoder(CONFIG), device)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3, betas=(0.9, 0.99))
    choice = random.Random(0)
    indices = drawings.indices("seen") + drawings.indices("lora")
    begun = time.monotonic()
    while (share := (time.monotonic() - begun) / 60 / minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - share) + 1e-5
        batch = [random_picture(drawings, choice.choice(indices), profile.size, choice) for _ in range(8)]
        pictures = torch.stack(batch).to(device)
        with torch.no_grad():
            latents = vae.encode(pictures) * scale
        with torch.autocast(device, torch.bfloat16):
            made = decoder(latents)
        made, wanted = made.float(), pictures / 2 + 0.5
        loss = F.l1_loss(made, wanted)
        for mine, theirs in zip(edges(made), edges(wanted), strict=True):
            loss = loss + 0.5 * F.l1_loss(mine, theirs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return decoder.eval()
