"""Train one network: random patches, mean absolute error, Adam with a cosine to nothing, averaged weights."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.training.starter.state import Average, load_state, save_state
from webui.training.upscaler.network import Compact
from webui.training.upscaler.pictures import Pictures

REDUCTIONS = (Image.Resampling.BICUBIC, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
BATCH, LEARNING_RATE, DECAY = 16, 1e-3, 0.999
PATCH = {2: 48, 4: 32}  # pixels of the small picture a side
PHOTO_SHARE = 0.2  # of the patches
ROUGH = 0.8  # of the time is spent computing in bfloat16, which takes half as long


def reduced(picture: numpy.ndarray, scale: int, filter: Image.Resampling) -> numpy.ndarray:
    """The small picture to enlarge again: [H/scale, W/scale, 3] of [H, W, 3] whose sides are multiples of the scale."""
    height, width = picture.shape[:2]
    return numpy.asarray(Image.fromarray(picture).resize((width // scale, height // scale), filter))


def cropped(picture: numpy.ndarray, scale: int) -> numpy.ndarray:
    """The picture without the rows and columns that do not make whole pixels of the small one."""
    height, width = picture.shape[:2]
    return picture[: height - height % scale, : width - width % scale]


def batches(pictures: Pictures, scenes: int, scale: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (small, large) patches [B, 3, P, P] and [B, 3, P·scale, P·scale]. After `scenes`, photographs follow."""
    choice = random.Random(seed)
    large = [cropped(picture, scale) for picture in pictures.seen]
    small = [reduced(picture, scale, choice.choice(REDUCTIONS)) for picture in large]
    side = PATCH[scale]
    while True:
        pairs = []
        for _ in range(BATCH):
            photo = choice.random() < PHOTO_SHARE and scenes < len(large)
            index = choice.randrange(scenes, len(large)) if photo else choice.randrange(scenes)
            top, left = (choice.randint(0, length - side) for length in small[index].shape[:2])
            turns, mirrored = choice.randrange(4), choice.random() < 0.5
            pair = []
            for picture, times in ((small[index], 1), (large[index], scale)):
                part = picture[top * times : (top + side) * times, left * times : (left + side) * times]
                part = numpy.rot90(part[:, ::-1] if mirrored else part, turns)
                pair.append(torch.from_numpy(part.copy()))
            pairs.append(pair)
        low, high = (torch.stack(group).permute(0, 3, 1, 2).float().div(255) for group in zip(*pairs))
        yield low.contiguous(), high.contiguous()


def train(
    pictures: Pictures, scenes: int, scale: int, work: Path, minutes: float, start: Compact | None = None
) -> Compact:
    """Train for so many minutes in all, going on from what `work` holds. Returns the averaged network."""
    torch.manual_seed(scale)
    network = Compact(scale).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        network.take_body(start)
    average, optimiser = Average(network, DECAY), torch.optim.Adam(network.parameters(), LEARNING_RATE)
    path = work / f"{scale}x.pt"
    parts = {"network": network, "average": average, "optimiser": optimiser}
    state = load_state(path, parts)
    spent, step = state.get("seconds", 0.0), int(state.get("step", 0))
    source = batches(pictures, scenes, scale, seed=scale + step)
    last, saved, losses = time.monotonic(), spent, []
    while spent < minutes * 60:
        done = spent / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * done))
        low, high = next(source)
        with torch.autocast("cpu", torch.bfloat16, enabled=done < ROUGH):
            guess = network(low.contiguous(memory_format=torch.channels_last))
        loss = F.l1_loss(guess.float(), high)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update(network)
        step += 1
        losses.append(loss.detach())
        now = time.monotonic()
        spent, last = spent + now - last, now
        if spent - saved > 60 or spent >= minutes * 60:
            save_state(path, parts, seconds=spent, step=step)
            line = {"scale": scale, "step": step, "seconds": round(spent), "loss": float(torch.stack(losses).mean())}
            with (work / f"{scale}x.log").open("a") as log:
                log.write(json.dumps(line) + "\n")
            saved, losses = spent, []
    average.copy_to(network)
    return network.eval()
