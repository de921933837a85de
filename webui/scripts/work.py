"""In which order cells are made, what they cost, and which names they use. Plain data, no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.extend import Cell
from webui.request import GenerationRequest, Pass

LARGEST_STRENGTH = 0.999  # as the engine takes it: one whole step remains
_ADAPTERS = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>")


@dataclass(frozen=True)
class Cost:
    """What a script's cells take. `work` is millions of pixels times steps: seconds rise with it."""

    cells: int = 0
    pictures: int = 0
    steps: int = 0
    work: float = 0.0
    loads: int = 0  # how often a checkpoint or a VAE is loaded


def cost(cells: Sequence[Cell]) -> Cost:
    """The cost of cells, made in the order of `work_order`."""
    keys = [_files(cells[index]) for index in work_order(cells)]
    return Cost(
        cells=len(cells),
        pictures=sum(pictures(cell.request) for cell in cells),
        steps=sum(steps(cell.request) for cell in cells),
        work=sum(work(cell.request) for cell in cells),
        loads=sum(1 for before, key in zip([None, *keys], keys, strict=False) if key != before),
    )


def pictures(request: GenerationRequest) -> int:
    """How many pictures a request makes."""
    return request.batch_size * request.count


def steps(request: GenerationRequest) -> int:
    """How many steps are run for all its pictures, roughly: some samplers choose for themselves."""
    return pictures(request) * sum(_steps(step) for step in request.passes)


def work(request: GenerationRequest) -> float:
    """Millions of pixels times steps."""
    return pictures(request) * sum(_steps(step) * step.width * step.height for step in request.passes) / 1e6


def _steps(step: Pass) -> int:
    if step.source == "image" and not step.exact_steps:
        strength = min(step.denoising_strength, LARGEST_STRENGTH)
        return int(strength * step.steps) + 1 if strength > 0 else 0
    return step.steps


def work_order(cells: Sequence[Cell]) -> list[int]:
    """The numbers of the cells in the order in which to make them.

    Cells with the same settings, checkpoint and VAE come together, whatever their places: these are dear to change.
    Among them those with the same LoRAs come together. Where a cell starts from another one's picture, all stay in
    their order.
    """
    if any(isinstance(cell.start, int) for cell in cells):
        return list(range(len(cells)))
    ranks = [_ranks(key) for key in zip(*(_dear(cell) for cell in cells), strict=True)]
    return sorted(range(len(cells)), key=lambda index: [rank[index] for rank in ranks])


def _ranks(keys: Sequence[Hashable]) -> list[int]:
    """For each key the place at which it was seen first."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, len(first)) for key in keys]


def _dear(cell: Cell) -> tuple[Hashable, ...]:
    """What is dear to change from one cell to the next, the dearest first."""
    texts = [cell.request.prompt, *(step.prompt or "" for step in cell.request.passes)]
    return (*_files(cell), tuple(_ADAPTERS.findall("\n".join(texts))))


def _files(cell: Cell) -> tuple[Hashable, ...]:
    request = cell.request
    others = tuple((step.checkpoint, step.refiner and step.refiner.checkpoint) for step in request.passes)
    return json.dumps(dict(cell.settings), sort_keys=True, default=str), request.checkpoint, request.vae, others


def names(cells: Sequence[Cell]) -> set[tuple[str, str]]:
    """The names that cells use, with their kinds: "checkpoint", "vae", "sampler", "schedule", "upscaler", "style",
    "captioner"."""
    found = {("captioner", cell.caption) for cell in cells if cell.caption}
    for request in {id(cell.request): cell.request for cell in cells}.values():
        found |= {("checkpoint", request.checkpoint or ""), ("vae", request.vae)}
        found |= {("style", style) for style in request.styles}
        for step in request.passes:
            found |= {("sampler", step.sampler), ("schedule", step.schedule)}
            found |= {("checkpoint", step.checkpoint)} if step.checkpoint else set()
            found |= {("checkpoint", step.refiner.checkpoint)} if step.refiner else set()
            found |= {("upscaler", step.upscaler)} if step.source != "noise" else set()
    return found


def plain_cost(found: Cost, seconds_per_work: float | None, limit: int) -> dict[str, Any]:
    """The cost as the page shows it; `seconds` is None where nothing is known of the speed."""
    seconds = None if seconds_per_work is None else found.work * seconds_per_work
    shown: Mapping[str, Any] = vars(found)
    return {**shown, "seconds": seconds, "limit": limit}
