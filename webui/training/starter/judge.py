"""A small classifier of concept and style, trained on the real drawings, that judges generated pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from webui.training.starter.pictures import Drawings, compose
from webui.training.starter.recipe import BACKGROUNDS
from webui.training.starter.vae import as_tensor

SIDE = 64  # pictures are judged at this size


@dataclass(frozen=True)
class Verdicts:
    """Shares of pictures, 0 to 1, in which the classifier finds the asked concept and the asked style."""

    pictures: int
    concept: float
    style: float


class Judge(nn.Module):
    """Picture [B, 3, 64, 64] in [-1, 1] → logits of concept [B, C] and style [B, S]."""

    def __init__(self, concepts: int, styles: int, width: int = 48):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index in range(4):
            following = width * min(2**index, 4)
            layers += [nn.Conv2d(channels, following, 3, padding=1, bias=False), nn.BatchNorm2d(following), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
            channels = following
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.concept, self.style = nn.Linear(channels * 2, concepts), nn.Linear(channels * 2, styles)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.concept(pooled), self.style(pooled)


def real_batch(
    drawings: Drawings, indices: list[int], size: int, count: int, choice: random.Random
) -> tuple[Tensor, list[int]]:
    """Composed pictures [count, 3, 64, 64] in [-1, 1] and the drawing of each, lightly degraded as a decoder would."""
    pictures, picks = [], []
    for _ in range(count):
        index = choice.choice(indices)
        ground = choice.choice(list(BACKGROUNDS.values()))
        shift = (choice.uniform(-0.08, 0.08), choice.uniform(-0.08, 0.08))
        picture = as_tensor(
            compose(drawings.rgba[index], ground, size, choice.uniform(0.75, 1.0), shift, choice.random() < 0.5)
        )
        pictures.append(picture)
        picks.append(index)
    batch = shrink(torch.stack(pictures))
    if choice.random() < 0.5:
        soft = F.interpolate(F.avg_pool2d(batch, 2), scale_factor=2.0, mode="bilinear")
        batch = torch.lerp(batch, soft, choice.random())
    return batch + 0.05 * choice.random() * torch.randn_like(batch), picks


def shrink(pictures: Tensor) -> Tensor:
    """Any size → [B, 3, 64, 64]."""
    return F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)


class Bench:
    """The judge with the words it knows."""

    def __init__(self, drawings: Drawings, size: int, device: str = "cpu", width: int = 48):
        self.drawings, self.size, self.device = drawings, size, device
        self.concepts = sorted(set(drawings.concepts))
        self.styles = sorted(set(drawings.styles))
        self.judge = Judge(len(self.concepts), len(self.styles), width).to(device)

    def targets(self, concepts: list[str], styles: list[str]) -> tuple[Tensor, Tensor]:
        """Class numbers of words, two tensors [B]."""
        return (
            torch.tensor([self.concepts.index(c) for c in concepts], device=self.device),
            torch.tensor([self.styles.index(s) for s in styles], device=self.device),
        )

    def train(self, steps: int, batch: int = 64) -> None:
        """Learn from composed real drawings, held-out pairs included: the judge has to know what they look like."""
        torch.manual_seed(0)
        choice = random.Random(0)
        indices = list(range(len(self.drawings.concepts)))
        optimizer = torch.optim.AdamW(self.judge.parameters(), lr=2e-3, weight_decay=0.02)
        self.judge.train()
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps) + 1e-5
            pictures, picks = real_batch(self.drawings, indices, self.size, batch, choice)
            concept, style = self.judge(pictures.to(self.device))
            wanted = self.targets([self.drawings.concepts[i] for i in picks], [self.drawings.styles[i] for i in picks])
            loss = F.cross_entropy(concept, wanted[0]) + F.cross_entropy(style, wanted[1])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        self.judge.eval()

    @torch.no_grad()
    def verdicts(self, pictures: Tensor, concepts: list[str], styles: list[str]) -> Verdicts:
        """Judge pictures [B, 3, H, W] in [-1, 1] against what was asked of each."""
        self.judge.eval()
        concept, style = self.judge(shrink(pictures).to(self.device))
        wanted = self.targets(concepts, styles)
        return Verdicts(
            len(pictures),
            (concept.argmax(1) == wanted[0]).float().mean().item(),
            (style.argmax(1) == wanted[1]).float().mean().item(),
        )

    def own_accuracy(self, count: int = 512) -> Verdicts:
        """How often the judge is right about fresh compositions of real drawings."""
        pictures, picks = real_batch(
            self.drawings, list(range(len(self.drawings.concepts))), self.size, count, random.Random(99)
        )
        return self.verdicts(
            pictures, [self.drawings.concepts[i] for i in picks], [self.drawings.styles[i] for i in picks]
        )
