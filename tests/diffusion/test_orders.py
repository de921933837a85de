"""Every sampler that calls itself an ODE solver converges as fast as it says, on a problem with a known solution."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from webui.diffusion.laws import DiscreteLaw, FlowLaw, NoisingLaw
from webui.diffusion.samplers import SAMPLERS, Run
from webui.request import SamplerOptions

LAWS: dict[str, NoisingLaw] = {"discrete": DiscreteLaw(), "flow": FlowLaw()}
HIGH, LOW = 5.0, 0.2  # noise over signal
START = torch.tensor([-4.0, -1.0, 0.5, 3.0], dtype=torch.float64).view(4, 1, 1, 1)


def estimate(x: Tensor, ratio: float) -> Tensor:
    """E[data | data + ratio·noise = x] for data that is ±1 with spread 0.5: a mixture, so not linear in x."""
    spread, total = 0.25, 0.25 + ratio**2
    side = torch.tanh(x / total)
    return (spread * x + ratio**2 * side) / total


def exact() -> Tensor:
    """The solution at LOW by 2,000 steps of the classical Runge-Kutta method in log(ratio)."""
    x, steps = START * HIGH, 2000
    h = math.log(LOW / HIGH) / steps

    def slope(x: Tensor, log: float) -> Tensor:
        return x - estimate(x, math.exp(log))

    for step in range(steps):
        log = math.log(HIGH) + step * h
        a = slope(x, log)
        b = slope(x + a * (h / 2), log + h / 2)
        c = slope(x + b * (h / 2), log + h / 2)
        d = slope(x + c * h, log + h)
        x = x + (a + 2 * b + 2 * c + d) * (h / 6)
    return x


EXACT = exact()


def problem(law: NoisingLaw, steps: int) -> tuple[Callable[[Tensor, float], Tensor], Tensor, list[float]]:
    """Denoiser, start and sigmas of the same problem in a law's own scaling."""
    ratios = [HIGH * (LOW / HIGH) ** (step / steps) for step in range(steps + 1)]
    sigmas = [law.from_half_log_snr(-math.log(ratio)) for ratio in ratios]

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return estimate(x / law.signal(sigma), sigma / law.signal(sigma))

    return denoise, START * HIGH * law.signal(sigmas[0]), sigmas


def error(name: str, law: NoisingLaw, steps: int) -> float:
    denoise, x, sigmas = problem(law, steps)
    # no noise may be asked for: there is none
    made = SAMPLERS[name](denoise, x, sigmas, Run(law, None, SamplerOptions(eta=0.0)))  # type: ignore[arg-type]
    return float((made / law.signal(sigmas[-1]) - EXACT).abs().max())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [entry.name for entry in SAMPLERS if "order" in entry.facts])
def test_the_error_falls_as_the_order_says(name: str, law: str) -> None:
    order = SAMPLERS.find(name).facts["order"]
    coarse, fine = error(name, LAWS[law], 60), error(name, LAWS[law], 240)
    assert fine < 0.02
    assert math.log(coarse / fine, 4) > order - 0.35


@pytest.mark.parametrize("law", LAWS)
def test_adaptive_steps_come_close_without_being_told_how_many(law: str) -> None:
    assert error("DPM adaptive", LAWS[law], 5) < 0.02


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["DPM fast", "DPM adaptive", "UniPC", "UniPC bh2", "SA-Solver", "DPM++ 2M CFG++"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_run_down_to_nothing_tells_every_step_and_stays_finite(name: str, law: str, steps: int) -> None:
    denoise, x, sigmas = problem(LAWS[law], steps)
    told: list[int] = []
    run = Run(LAWS[law], None, SamplerOptions(eta=0.0), lambda step: told.append(step.index))  # type: ignore[arg-type]
    made = SAMPLERS[name](denoise, x, [*sigmas[:-1], 0.0], run)
    assert told == list(range(steps))
    assert bool(made.isfinite().all())
