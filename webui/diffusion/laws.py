"""Noising laws: how latents, noise and time go together. Samplers and schedules ask a law and never a model.

Every law here is linear: x = signal(sigma)·latents + sigma·noise. The variance-exploding form of epsilon and v models
(Karras et al. 2022, arXiv:2206.00364) has signal 1, rectified flow (Liu et al. 2022, arXiv:2209.03003) 1 - sigma.
All scalars are Python floats, so nothing waits for a device.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from webui.errors import InvalidRequest

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_ALPHA = 4.8973451890853435e-08  # A1111's and ComfyUI's stand-in for a terminal signal of 0, whose sigma is ∞
LARGEST_FLOW_SIGMA = 1 - 1e-4  # log-SNRs are taken no further up, as that of pure noise is infinite


class NoisingLaw(Protocol):
    """The few operations that samplers and schedules need."""

    @property
    def sigma_min(self) -> float:
        """Smallest sigma the network was trained with."""

    @property
    def sigma_max(self) -> float:
        """Largest sigma the network was trained with."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The sigmas of training, rising."""

    @property
    def tuned_for(self) -> str:
        """Which measured table fits ("sd1", "sdxl", …), for schedules that are tables."""

    def index(self, sigma: float) -> float:
        """Fractional index of `sigma` among `sigmas`, from 0 to len(sigmas) - 1: what uniform schedules divide."""

    def at(self, index: float) -> float:
        """The sigma at a fractional index: the inverse of `index`."""

    def timestep(self, sigma: float) -> float:
        """What the network is told about `sigma`."""

    def sigma(self, timestep: float) -> float:
        """The inverse of `timestep`."""

    def signal(self, sigma: float) -> float:
        """Factor of the clean latents at `sigma`."""

    def half_log_snr(self, sigma: float) -> float:
        """log(signal / sigma), finite for every sigma above 0."""

    def from_half_log_snr(self, value: float) -> float:
        """The sigma with that log(signal / sigma)."""

    def step_down(self, sigma: float, target: float, eta: float) -> float:
        """Where an ancestral step goes before noise brings it back up to `target`. `eta` 0 adds none."""

    def noised(self, latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Clean latents with unit noise added at level `sigma`. Shapes are equal."""

    def scale_input(self, x: Tensor, sigma: float) -> Tensor:
        """What the network is given of `x`."""

    def denoised(self, prediction: Tensor, x: Tensor, sigma: float) -> Tensor:
        """The clean latents that a network output stands for."""

    def prediction(self, denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
        """The inverse of `denoised`: the network output that stands for these clean latents."""


def ancestral_down(sigma: float, target: float, eta: float) -> float:
    """The lower level of an ancestral step where the signal's factor is 1.

    With `eta` 1 the noise added from there to `target` has the variance of the DDPM posterior.
    Source: Song et al. 2021, arXiv:2010.02502, equation 16, in the coordinates of Karras et al.
    """
    up = eta * target * math.sqrt(max(0.0, 1 - (target / sigma) ** 2))
    return math.sqrt(max(0.0, target**2 - min(up, target) ** 2))


class VarianceExploding:
    """What laws of signal 1 share: x = latents + sigma·noise."""

    def signal(self, sigma: float) -> float:
        """Always 1."""
        return 1.0

    def half_log_snr(self, sigma: float) -> float:
        """-log(sigma)."""
        return -math.log(sigma)

    def from_half_log_snr(self, value: float) -> float:
        """exp(-value)."""
        return math.exp(-value)

    def step_down(self, sigma: float, target: float, eta: float) -> float:
        """See `ancestral_down`."""
        return ancestral_down(sigma, target, eta)

    def noised(self, latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """latents + sigma·noise."""
        return latents + noise * sigma


class DiscreteLaw(VarianceExploding):
    """A network trained on a list of noise levels, such as Stable Diffusion's thousand.

    Between the levels log(sigma) is interpolated linearly in the timestep, as k-diffusion does.

    Args:
        prediction: what the network returns: "epsilon" (the noise), "v" (Salimans & Ho 2022, arXiv:2202.00512) or
            "sample" (the clean latents).
        zero_terminal_snr: rescale the levels so that the last holds no signal (Lin et al. 2023, arXiv:2305.08891,
            algorithm 1), kept finite at SMALLEST_ALPHA.
        betas: first beta, last beta and number of levels.
        spacing: "scaled_linear" (linear in √beta: Stable Diffusion's) or "linear" (AnimateDiff's).
        tuned_for: see `NoisingLaw.tuned_for`.
    """

    def __init__(
        self,
        prediction: str = "epsilon",
        zero_terminal_snr: bool = False,
        betas: tuple[float, float, int] = (0.00085, 0.012, 1000),
        spacing: str = "scaled_linear",
        tuned_for: str = "sd1",
    ):
        if prediction not in ("epsilon", "v", "sample"):
            raise InvalidRequest(f"The prediction type is {prediction!r}.", "Known: epsilon, v, sample.")
        self._prediction, self.tuned_for = prediction, tuned_for
        alphas = alphas_cumulated(*betas, spacing)
        if zero_terminal_snr:
            alphas = rescaled_to_zero_snr(alphas)
        self.sigmas = tuple(math.sqrt((1 - alpha) / alpha) for alpha in alphas)
        self._logs = [math.log(sigma) for sigma in self.sigmas]

    @property
    def sigma_min(self) -> float:
        """Sigma of the first level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        """Sigma of the last level."""
        return self.sigmas[-1]

    def timestep(self, sigma: float) -> float:
        """Fractional index of the level, clamped to the levels of training."""
        if sigma <= self.sigmas[0]:
            return 0.0
        if sigma >= self.sigmas[-1]:
            return float(len(self.sigmas) - 1)
        log = math.log(sigma)
        low = min(bisect_right(self._logs, log) - 1, len(self._logs) - 2)
        return low + (log - self._logs[low]) / (self._logs[low + 1] - self._logs[low])

    def sigma(self, timestep: float) -> float:
        """Sigma at a fractional index, clamped to the levels of training."""
        timestep = min(max(timestep, 0.0), len(self.sigmas) - 1.0)
        low = min(int(timestep), len(self.sigmas) - 2)
        part = timestep - low
        return math.exp((1 - part) * self._logs[low] + part * self._logs[low + 1])

    index, at = timestep, sigma

    def scale_input(self, x: Tensor, sigma: float) -> Tensor:
        """x / √(1 + sigma²): unit variance for unit latents."""
        return x / math.sqrt(1 + sigma**2)

    def denoised(self, prediction: Tensor, x: Tensor, sigma: float) -> Tensor:
        """See `NoisingLaw.denoised`."""
        if self._prediction == "epsilon":
            return x - prediction * sigma
        if self._prediction == "sample":
            return prediction
        return x / (1 + sigma**2) - prediction * (sigma / math.sqrt(1 + sigma**2))

    def prediction(self, denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
        """See `NoisingLaw.prediction`."""
        if self._prediction == "epsilon":
            return (x - denoised) / sigma
        if self._prediction == "sample":
            return denoised
        return (x / (1 + sigma**2) - denoised) * (math.sqrt(1 + sigma**2) / sigma)


class EdmLaw(VarianceExploding):
    """A network preconditioned as in Karras et al. 2022, table 1, at any sigma between two bounds.

    `prediction` "epsilon" is the paper's own (Playground 2.5: `sigma_data` 0.5), "v" that of CosXL (`sigma_data` 1).
    """

    tuned_for = "sdxl"

    def __init__(
        self,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        prediction: str = "epsilon",
        levels: int = 1000,
    ):
        if prediction not in ("epsilon", "v"):
            raise InvalidRequest(f"The prediction type is {prediction!r}.", "Known: epsilon, v.")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self._data, self._levels, self._sign = sigma_data, levels, 1 if prediction == "epsilon" else -1

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        """Levels evenly spaced in log(sigma)."""
        return tuple(self.at(index) for index in range(self._levels))

    def index(self, sigma: float) -> float:
        """See `NoisingLaw.index`."""
        span = math.log(self.sigma_max / self.sigma_min)
        return min(max(math.log(sigma / self.sigma_min) / span, 0.0), 1.0) * (self._levels - 1)

    def at(self, index: float) -> float:
        """See `NoisingLaw.at`."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** (index / (self._levels - 1))

    def timestep(self, sigma: float) -> float:
        """log(sigma) / 4."""
        return math.log(sigma) / 4

    def sigma(self, timestep: float) -> float:
        """exp(4·timestep)."""
        return math.exp(4 * timestep)

    def scale_input(self, x: Tensor, sigma: float) -> Tensor:
        """x / √(sigma² + sigma_data²)."""
        return x / math.hypot(sigma, self._data)

    def denoised(self, prediction: Tensor, x: Tensor, sigma: float) -> Tensor:
        """See `NoisingLaw.denoised`."""
        total = sigma**2 + self._data**2
        return x * (self._data**2 / total) + prediction * (self._sign * sigma * self._data / math.sqrt(total))

    def prediction(self, denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
        """See `NoisingLaw.prediction`."""
        total = sigma**2 + self._data**2
        return (denoised - x * (self._data**2 / total)) * (self._sign * math.sqrt(total) / (sigma * self._data))


class FlowLaw:
    """Rectified flow: x = (1 - sigma)·latents + sigma·noise, and the network returns noise - latents.

    Training times t are uniform in 0 to 1; sigma = shift·t / (1 + (shift - 1)·t) moves them towards noise (Esser et
    al. 2024, arXiv:2403.03206, section 5.3.2). Flux's mu is a shift of e^mu.

    Args:
        shift: 1 none, 3 for Stable Diffusion 3.
        mu: the logarithm of the shift, given in its place.
        timestep_scale: the network is told sigma times this: 1000 for Stable Diffusion 3, 1 for Flux.
        levels: number of training sigmas, for schedules that count them.
    """

    tuned_for = "flow"

    def __init__(self, shift: float = 1.0, mu: float | None = None, timestep_scale: float = 1000.0, levels: int = 1000):
        self.shift = shift if mu is None else math.exp(mu)
        self._scale, self._levels = timestep_scale, levels
        self.sigmas = tuple(self.at(index) for index in range(levels))

    @property
    def sigma_min(self) -> float:
        """Sigma of the first level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        """1: pure noise."""
        return self.sigmas[-1]

    def index(self, sigma: float) -> float:
        """See `NoisingLaw.index`; level i stands for the time (i + 1) / levels."""
        time = sigma / (self.shift - (self.shift - 1) * sigma)
        return min(max(time * self._levels - 1, 0.0), self._levels - 1.0)

    def at(self, index: float) -> float:
        """See `NoisingLaw.at`."""
        time = (index + 1) / self._levels
        return self.shift * time / (1 + (self.shift - 1) * time)

    def timestep(self, sigma: float) -> float:
        """sigma·timestep_scale."""
        return sigma * self._scale

    def sigma(self, timestep: float) -> float:
        """timestep / timestep_scale."""
        return timestep / self._scale

    def signal(self, sigma: float) -> float:
        """1 - sigma."""
        return 1 - sigma

    def half_log_snr(self, sigma: float) -> float:
        """log((1 - sigma) / sigma), held at the value of LARGEST_FLOW_SIGMA above it."""
        sigma = min(sigma, LARGEST_FLOW_SIGMA)
        return math.log((1 - sigma) / sigma)

    def from_half_log_snr(self, value: float) -> float:
        """1 / (1 + e^value)."""
        return 1 / (1 + math.exp(value))

    def step_down(self, sigma: float, target: float, eta: float) -> float:
        """target·(1 + (target / sigma - 1)·eta), the rule of ComfyUI's ancestral samplers for rectified flow."""
        return target * (1 + (target / sigma - 1) * eta)

    def noised(self, latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """(1 - sigma)·latents + sigma·noise."""
        return latents * (1 - sigma) + noise * sigma

    def scale_input(self, x: Tensor, sigma: float) -> Tensor:
        """x itself."""
        return x

    def denoised(self, prediction: Tensor, x: Tensor, sigma: float) -> Tensor:
        """x - sigma·velocity."""
        return x - prediction * sigma

    def prediction(self, denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
        """(x - denoised) / sigma."""
        return (x - denoised) / sigma


def flux_mu(width: int, height: int) -> float:
    """Flux dev's mu for a picture's size in pixels: linear in its 16-pixel tokens, 0.5 at 256 and 1.15 at 4096."""
    tokens = (width // 16) * (height // 16)
    return 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)


def alphas_cumulated(first: float, last: float, levels: int, spacing: str = "scaled_linear") -> list[float]:
    """Products of 1 - beta, falling: the share of signal variance at each level. Source: Ho et al. 2020, eq. 4."""
    if spacing not in ("scaled_linear", "linear"):
        raise InvalidRequest(f"The spacing of betas is {spacing!r}.", "Known: scaled_linear, linear.")
    power = 2 if spacing == "scaled_linear" else 1
    low, high = first ** (1 / power), last ** (1 / power)
    product, alphas = 1.0, []
    for index in range(levels):
        product *= 1 - (low + (high - low) * index / (levels - 1)) ** power
        alphas.append(product)
    return alphas


def rescaled_to_zero_snr(alphas: list[float]) -> list[float]:
    """Move √alpha so that the last is 0 and the first stays; see `DiscreteLaw`."""
    first, last = math.sqrt(alphas[0]), math.sqrt(alphas[-1])
    moved = [((math.sqrt(alpha) - last) * first / (first - last)) ** 2 for alpha in alphas]
    return [*moved[:-1], SMALLEST_ALPHA]
