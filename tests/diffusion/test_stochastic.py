"""Samplers that draw noise end with the right distribution, where the distribution is known: data of one normal law."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from webui.diffusion.laws import DiscreteLaw, FlowLaw, NoisingLaw
from webui.diffusion.noise import NoiseSource
from webui.diffusion.samplers import SAMPLERS, Run
from webui.request import SamplerOptions

LAWS: dict[str, NoisingLaw] = {"discrete": DiscreteLaw(), "flow": FlowLaw()}
MEAN, SPREAD = 0.8, 0.5
SHAPE = (1, 64, 64)  # 4,096 independent numbers
PLAIN = SamplerOptions()
HIGH, LOW = 12.0, 0.02  # noise over signal


class Refusing:
    """A noise source that may not be asked."""

    def step(self) -> Tensor:
        raise AssertionError("noise was drawn")

    def brownian(self, sigma: float, target: float) -> Tensor:
        raise AssertionError(f"noise was drawn from {sigma} to {target}")


def problem(law: NoisingLaw, steps: int) -> tuple[Callable[[Tensor, float], Tensor], Tensor, list[float]]:
    """The exact denoiser, exact noisy data at the first sigma, and the sigmas."""
    ratios = [HIGH * (LOW / HIGH) ** (step / (steps - 1)) for step in range(steps)]
    sigmas = [law.from_half_log_snr(-math.log(ratio)) for ratio in ratios]

    def denoise(x: Tensor, sigma: float) -> Tensor:
        signal = law.signal(sigma)
        gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + sigma**2)
        return MEAN + gain * (x - signal * MEAN)

    noise = torch.randn(2, 1, *SHAPE, generator=torch.Generator().manual_seed(99))
    data = MEAN + SPREAD * noise[0]
    return denoise, data * law.signal(sigmas[0]) + noise[1] * sigmas[0], [*sigmas, 0.0]


def sampled(name: str, law: NoisingLaw, steps: int, seed: int = 1, options: SamplerOptions = PLAIN) -> Tensor:
    denoise, x, sigmas = problem(law, steps)
    return SAMPLERS[name](denoise, x, sigmas, Run(law, NoiseSource([seed], SHAPE), options))


STOCHASTIC = [entry.name for entry in SAMPLERS if entry.facts.get("stochastic") and entry.name != "LCM"]
# the spread is off by at most this: what 4,096 numbers leave open (0.0055), times 4, and the method's own error
OWN_ERROR = {"Euler a": 0.02, "DDPM": 0.02, "Euler a CFG++": 0.02, "DPM adaptive": 0.035}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_stochastic_sampler_ends_with_the_mean_and_the_spread_of_the_data(name: str, law: str) -> None:
    made = sampled(name, LAWS[law], 60)
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.035)
    assert float(made.std()) == pytest.approx(SPREAD, abs=0.022 + OWN_ERROR.get(name, 0.0))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_stochastic_sampler_gives_another_sample_with_another_seed(name: str, law: str) -> None:
    first, second = (sampled(name, LAWS[law], 20, seed) for seed in (1, 2))
    pair = torch.stack([first.flatten(), second.flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) < 0.999
    assert torch.equal(first, sampled(name, LAWS[law], 20, 1))


@pytest.mark.parametrize("law", LAWS)
def test_lcm_has_the_spread_that_denoising_and_noising_in_turn_leaves(law: str) -> None:
    """Each step shrinks the spread by a factor that is known, as the network is no consistency model here."""
    _, _, sigmas = problem(LAWS[law], 8)
    variance = SPREAD**2
    for sigma in sigmas[:-1]:
        ratio = sigma / LAWS[law].signal(sigma)
        variance = (SPREAD**2 / (SPREAD**2 + ratio**2)) ** 2 * (variance + ratio**2)
    made = sampled("LCM", LAWS[law], 8)
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.035)
    assert float(made.std()) == pytest.approx(math.sqrt(variance), rel=0.045)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [entry.name for entry in SAMPLERS if "eta" in entry.facts])
def test_eta_0_draws_no_noise(name: str, law: str) -> None:
    denoise, x, sigmas = problem(LAWS[law], 12)
    run = Run(LAWS[law], Refusing(), SamplerOptions(eta=0.0))
    assert bool(SAMPLERS[name](denoise, x, sigmas, run).isfinite().all())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [*STOCHASTIC, "LCM"])
def test_without_its_noise_a_sampler_does_not_depend_on_the_seed(name: str, law: str) -> None:
    first, second = (sampled(name, LAWS[law], 20, seed, options=SamplerOptions(s_noise=0.0)) for seed in (1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, sampled(name, LAWS[law], 20, 1))


def test_euler_a_without_its_noise_goes_to_the_lower_level_only() -> None:
    """s_noise 0 leaves out the noise, not the way down: a plain loop says the same."""
    law = LAWS["discrete"]
    denoise, x, sigmas = problem(law, 12)
    for sigma, target in pairwise(sigmas):
        up = target * math.sqrt(max(0.0, sigma**2 - target**2)) / sigma
        down = math.sqrt(target**2 - up**2)
        x = x + (x - denoise(x, sigma)) / sigma * (down - sigma)
    torch.testing.assert_close(
        sampled("Euler a", law, 12, options=SamplerOptions(s_noise=0.0)), x, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["Euler", "Heun", "DPM2"])
def test_churn_keeps_the_mean_and_the_spread(name: str) -> None:
    made = sampled(name, LAWS["discrete"], 60, options=SamplerOptions(s_churn=20.0))
    assert not torch.equal(made, sampled(name, LAWS["discrete"], 60))
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.035)
    assert float(made.std()) == pytest.approx(SPREAD, abs=0.042)
