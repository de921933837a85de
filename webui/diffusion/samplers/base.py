"""What all samplers share: the registry, the run's surroundings, and the elementary moves between noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from webui.diffusion.laws import NoisingLaw, ancestral_down
from webui.registry import Registry
from webui.request import SamplerOptions

if TYPE_CHECKING:
    from torch import Tensor

Denoiser: TypeAlias = Callable[["Tensor", float], "Tensor"]


class Noise(Protocol):
    """Where a sampler's randomness comes from: `webui.diffusion.noise.NoiseSource`, or a script's own."""

    def step(self) -> Tensor:
        """Fresh unit noise [B, C, H, W]."""

    def brownian(self, sigma: float, target: float) -> Tensor:
        """Unit noise [B, C, H, W] of one Brownian path between two sigmas: overlapping intervals are correlated."""


@dataclass(frozen=True)
class StepInfo:
    """One finished step. `x` is after it, `denoised` what the step saw; both [B, C, H, W], not to be written into."""

    index: int
    total: int
    sigma: float
    x: Tensor
    denoised: Tensor


def _ignore(step: StepInfo) -> None:
    pass


@dataclass(frozen=True)
class Run:
    """What a sampler is given beside the denoiser, the latents and the sigmas.

    Args:
        law: how noise and latents go together.
        noise: the only source of randomness.
        options: eta, churn and the like.
        on_step: called after each step with a StepInfo; raises to cancel.
        negative: the negative prompt's prediction of the latest denoiser call, for CFG++ samplers
            (`GuidedDenoiser.last_negative`); None where there is no guidance.
    """

    law: NoisingLaw
    noise: Noise
    options: SamplerOptions = field(default_factory=SamplerOptions)
    on_step: Callable[[StepInfo], None] = _ignore
    negative: Callable[[], Tensor] | None = None

    def eta(self, default: float) -> float:
        """The share of ancestral noise that was asked for, or the sampler's own."""
        return default if self.options.eta is None else self.options.eta

    def step_noise(self) -> Tensor:
        """Fresh noise [B, C, H, W] times `s_noise`."""
        return self.noise.step() * self.options.s_noise

    def brownian_noise(self, sigma: float, target: float) -> Tensor:
        """Noise [B, C, H, W] of the Brownian path between two sigmas, times `s_noise`."""
        return self.noise.brownian(sigma, target) * self.options.s_noise

    def last_negative(self, denoised: Tensor) -> Tensor:
        """The negative prediction of the latest call, or that call's result where there is no guidance."""
        return denoised if self.negative is None else self.negative()


Sampler: TypeAlias = Callable[[Denoiser, "Tensor", Sequence[float], Run], "Tensor"]

SAMPLERS: Registry[Sampler] = Registry("sampler")
"""Samplers by the name that A1111 shows.

Each is `f(denoise, x, sigmas, run) -> x`: `x` [B, C, H, W] at noise level sigmas[0], left unchanged; `sigmas` N + 1
falling Python floats; returned are latents at sigmas[-1]. Facts, all optional:

- `default_schedule`: what "Automatic" means ("Uniform" when absent); `discard_penultimate`: leave out the sigma
  before the final 0.
- `evaluations_per_step`: denoiser calls in a step (1 when absent); prompt timelines count them.
- `order`: the order of convergence with eta 0 and no churn; absent for samplers that are not an ODE solver.
- `eta`: default share of ancestral noise, 0 for none; absent for samplers that do not read `options.eta`.
- `options`: names of the SamplerOptions it reads, for the page and for infotexts.
- `stochastic`: draws noise with default options; `brownian`: from a Brownian path; `uses_seed_delta`: A1111 writes
  ENSD into infotexts.
- `needs_negative`: a CFG++ sampler, which wants `run.negative`; `guidance_multiplier`: factor on the guidance scale.
- `one_at_a_time`: chooses its steps by the pictures it sees, so pictures must not share a batch.
"""


def slope(x: Tensor, sigma: float, denoised: Tensor) -> Tensor:
    """dx/dsigma of the probability-flow ODE, in every linear law whose noise factor is sigma."""
    return (x - denoised) / sigma


def move(law: NoisingLaw, x: Tensor, sigma: float, target: float, denoised: Tensor) -> Tensor:
    """The exact step from `sigma` to `target` if the denoised latents stayed the same: Euler's step, and DDIM's."""
    return x * (target / sigma) + denoised * data_weight(law, sigma, target)


def data_weight(law: NoisingLaw, sigma: float, target: float) -> float:
    """Factor of the denoised latents in `move`: signal(target)·(1 - e^-h), h the step in half log-SNR."""
    return law.signal(target) - law.signal(sigma) * target / sigma


def raised(law: NoisingLaw, x: Tensor, sigma: float, target: float, noise: Tensor) -> Tensor:
    """From `sigma` up to the higher noise level `target` by adding noise."""
    keep = law.signal(target) / law.signal(sigma)
    return x * keep + noise * math.sqrt(max(0.0, target**2 - (keep * sigma) ** 2))


def churned(x: Tensor, sigma: float, steps: int, run: Run) -> tuple[Tensor, float]:
    """Add noise before a step where `s_churn` says so; returns the new x and its noise level.

    Source: Karras et al. 2022, algorithm 2.
    """
    options, law = run.options, run.law
    highest = math.inf if options.s_tmax is None else options.s_tmax
    inside = options.s_tmin <= sigma <= highest
    if options.s_churn <= 0 or not inside or law.signal(sigma) <= 0:
        return x, sigma
    growth = 1 + min(options.s_churn / steps, math.sqrt(2) - 1)
    ratio = sigma / law.signal(sigma) * growth
    higher = ratio * law.signal(sigma) if law.signal(sigma) == 1 else law.from_half_log_snr(-math.log(ratio))
    return raised(law, x, sigma, higher, run.step_noise()), higher


@dataclass(frozen=True)
class Split:
    """An ancestral step: go down to `down`, then x·keep + noise·add is at the target."""

    down: float
    keep: float
    add: float


def split(law: NoisingLaw, sigma: float, target: float, eta: float, lowest: float = 0.0) -> Split:
    """Cut a step in two by the law's own ancestral rule; it goes no lower than `lowest`."""
    if eta == 0 or target == 0:
        return Split(target, 1.0, 0.0)
    return _split(law, max(lowest, law.step_down(sigma, target, eta)), target)


def split_by_ratio(law: NoisingLaw, sigma: float, target: float, eta: float) -> Split:
    """Cut a step in two by DDIM's rule in sigma / signal, which holds for every law (see `ancestral_down`)."""
    if eta == 0 or target == 0:
        return Split(target, 1.0, 0.0)
    here, there = (math.exp(-law.half_log_snr(level)) for level in (sigma, target))
    down = ancestral_down(here, there, eta)
    return _split(law, law.from_half_log_snr(-math.log(down)) if down > 0 else 0.0, target)


def _split(law: NoisingLaw, down: float, target: float) -> Split:
    keep = law.signal(target) / law.signal(down)
    return Split(down, keep, math.sqrt(max(0.0, target**2 - (keep * down) ** 2)))


def renoised(x: Tensor, cut: Split, noise: Callable[[], Tensor]) -> Tensor:
    """The second half of an ancestral step; draws only when there is noise to add."""
    return x * cut.keep + noise() * cut.add if cut.add > 0 else x


def lagrange_weights(nodes: Sequence[float], integrals: Sequence[float]) -> list[float]:
    """Weights of values at `nodes` whose sum integrates their polynomial, given `integrals` of u⁰, u¹, …

    Expand each Lagrange basis polynomial in powers of u; nodes near 0 keep it accurate.
    """
    weights = []
    for j, node in enumerate(nodes):
        coefficients = [1.0]
        for k, other in enumerate(nodes):
            if k != j:
                scale = node - other
                shifted = [0.0, *coefficients]
                low = [*(-other * c for c in coefficients), 0.0]
                coefficients = [(a + b) / scale for a, b in zip(shifted, low, strict=True)]
        weights.append(sum(c * i for c, i in zip(coefficients, integrals, strict=False)))
    return weights


def weighted(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of tensors of one shape."""
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total = total + value * weight
    return total
