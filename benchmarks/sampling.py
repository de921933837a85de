"""What a sampler costs outside the network: seconds a step with a network that takes no time, against diffusers'."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import interleaved, rows
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.diffusion.laws import DiscreteLaw
from webui.diffusion.samplers import SAMPLERS, Run

STEPS = 50
PEERS: dict[str, tuple[str, dict[str, Any]]] = {  # our name: diffusers' class and its arguments
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "DDIM": ("DDIMScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
}


class PlainNoise:
    """Noise straight from torch."""

    def __init__(self, shape: torch.Size):
        self.shape = shape

    def step(self) -> Tensor:
        """Fresh unit noise."""
        return torch.randn(self.shape)

    def brownian(self, sigma: float, target: float) -> Tensor:
        """Fresh unit noise: the path does not matter here."""
        return torch.randn(self.shape)


def our_run(name: str) -> Callable[[], Tensor]:
    """A whole run of a sampler over latents of a 512 × 512 picture."""
    sampler, law, x = SAMPLERS[name], DiscreteLaw(), torch.randn(1, 4, 64, 64)
    high, low = math.log(law.sigma_max), math.log(law.sigma_min)
    sigmas = [math.exp(high + (low - high) * i / (STEPS - 1)) for i in range(STEPS)] + [0.0]
    run = Run(law, PlainNoise(x.shape))
    return lambda: sampler(lambda latents, sigma: latents, x * law.sigma_max, sigmas, run)


def diffusers_run(name: str) -> Callable[[], Tensor]:
    """The same with diffusers' scheduler."""
    import diffusers

    kind, arguments = PEERS[name]
    scheduler: Any = getattr(diffusers, kind)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **arguments
    )
    start = torch.randn(1, 4, 64, 64)

    def run() -> Tensor:
        scheduler.set_timesteps(STEPS)
        x = start * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            x = scheduler.step(scheduler.scale_model_input(x, timestep), timestep, x).prev_sample
        return x

    return run


@BENCHMARKS.register("sampler")
def sampler_overhead(setting: Setting) -> Iterable[Row]:
    """Seconds a step outside the network."""
    repeats = max(9, setting.repeats)
    for name in PEERS:
        if name not in SAMPLERS:
            continue
        cases = {f"ours, {name}": our_run(name), f"diffusers, {name}": diffusers_run(name)}
        with torch.inference_mode():
            found = rows("sampler step", interleaved(cases, repeats), f"diffusers, {name}")
        yield from map(partial(_a_step, STEPS), found)


def _a_step(steps: int, row: Row) -> Row:
    return replace(
        row, seconds=row.seconds / steps, low=row.low / steps, high=row.high / steps, processor=row.processor / steps
    )
