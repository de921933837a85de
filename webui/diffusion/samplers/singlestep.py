"""DPM-Solver in single steps: a step of order 1, 2 or 3 from as many evaluations, and nothing remembered between steps.

The solver integrates the predicted noise over half log-SNR, in steps that are even there: of the given sigmas only the
ends are used. Source: Lu et al. 2022, "DPM-Solver", arXiv:2206.00927, algorithms 1, 2 and 3; "fast" is its appendix
D.3 and the adaptive step size its appendix C, with the controller of k-diffusion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.samplers.base import SAMPLERS, Denoiser, Run, StepInfo, move, renoised, split

if TYPE_CHECKING:
    from torch import Tensor

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.05, 0.0078
FIRST_STEP = 0.05  # in half log-SNR
ACCEPTED_FROM = 0.81  # a step whose size should shrink below this share is taken again


@SAMPLERS.register(
    "DPM fast",
    *("k_dpm_fast", "dpm_fast"),
    order=2,
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    options=("eta", "s_noise"),
)
def dpm_fast(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Third-order steps, and lower ones at the end, that need as many evaluations as there are sigmas to go.

    The low step at the end keeps the whole at second order.
    Where the run ends without noise, the last evaluation denoises from the last sigma.
    """
    total, law, eta = len(sigmas) - 1, run.law, run.eta(1.0)
    clean = sigmas[-1] == 0
    done = 0
    evaluations = total - 1 if clean else total
    if evaluations > 0:
        end = sigmas[-2] if clean else sigmas[-1]
        orders = fast_orders(evaluations)
        levels = _even_levels(law, sigmas[0], end, len(orders))
        for sigma, target, order in zip(levels[:-1], levels[1:], orders, strict=True):
            cut = split(law, sigma, target, eta, lowest=end)
            first = denoise(x, sigma)
            solver = Stages(denoise, law, x, sigma, cut.down, first)
            x = renoised(solver.solve(order), cut, run.step_noise)
            for _ in range(order):
                run.on_step(StepInfo(done, total, sigma, x, first))
                done += 1
    if clean:
        x = denoise(x, sigmas[-2])
        run.on_step(StepInfo(done, total, sigmas[-2], x, x))
    return x


def fast_orders(evaluations: int) -> list[int]:
    """Orders of the steps that `evaluations` are shared out to."""
    whole, rest = divmod(evaluations, 3)
    if rest == 0:
        return [3] * (whole - 1) + [2, 1]
    return [3] * whole + [rest]


def _even_levels(law: NoisingLaw, first: float, last: float, steps: int) -> list[float]:
    high, low = law.half_log_snr(first), law.half_log_snr(last)
    inner = [law.from_half_log_snr(high + (low - high) * step / steps) for step in range(1, steps)]
    return [first, *inner, last]


@SAMPLERS.register(
    "DPM adaptive",
    *("k_dpm_ad", "k_dpm_adaptive", "dpm_adaptive"),
    eta=1.0,
    stochastic=True,
    uses_seed_delta=True,
    one_at_a_time=True,
    options=("eta", "s_noise"),
)
def dpm_adaptive(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], run: Run) -> Tensor:
    """Third-order steps as long as a second-order one agrees with them; the number of sigmas only counts progress."""
    law, eta = run.law, run.eta(1.0)
    clean = sigmas[-1] == 0
    end = sigmas[-2] if clean else sigmas[-1]
    progress = _Progress(run, sigmas[0], end, len(sigmas) - 1)
    sigma, step, before = sigmas[0], FIRST_STEP, x
    denoised = denoise(x, sigma)
    while sigma > end:
        place = law.half_log_snr(sigma) + step
        target = end if place >= law.half_log_snr(end) - 1e-5 else law.from_half_log_snr(place)
        cut = split(law, sigma, target, eta, lowest=end)
        solver = Stages(denoise, law, x, sigma, cut.down, denoised)
        low, high = solver.second(1 / 3), solver.third()
        allowed = low.abs().maximum(before.abs()).mul(RELATIVE_TOLERANCE).clamp(min=ABSOLUTE_TOLERANCE)
        error = float(((low - high) / allowed).square().mean().sqrt())
        factor = 1 + math.atan((error + 1e-8) ** (-1 / 3) - 1)
        step *= 1.0 if math.isnan(factor) else factor
        if factor < ACCEPTED_FROM:
            continue
        before, x, sigma = low, renoised(high, cut, run.step_noise), target
        progress.reached(sigma, x, denoised)
        if sigma > end or clean:
            denoised = denoise(x, sigma)
    if clean:
        x = denoised
    progress.finish(x, denoised)
    return x


class Stages:
    """One step of the solver from `sigma` to `target`. Evaluations are made when an order first needs them."""

    def __init__(self, denoise: Denoiser, law: NoisingLaw, x: Tensor, sigma: float, target: float, denoised: Tensor):
        self._denoise, self._law = denoise, law
        self._x, self._sigma, self._target, self._denoised = x, sigma, target, denoised
        self._start = law.half_log_snr(sigma)
        self._h = law.half_log_snr(target) - self._start
        self._noise = self._noise_in(x, sigma, denoised)
        self._changes: dict[float, Tensor] = {}  # of the predicted noise, by share of the step

    def solve(self, order: int) -> Tensor:
        """The latents at the target by the solver of an order from 1 to 3."""
        return (self.first, self.second, self.third)[order - 1]()

    def first(self) -> Tensor:
        """First order: Euler's step in half log-SNR, which is DDIM's."""
        return self._moved(self._target)

    def second(self, share: float = 0.5) -> Tensor:
        """Second order, from a look at a share of the step."""
        return self._moved(self._target) - self._early(share) * (self._target * math.expm1(self._h) / (2 * share))

    def third(self) -> Tensor:
        """Third order, from looks at one and two thirds of the step."""
        first, second, h = 1 / 3, 2 / 3, self._h
        if second not in self._changes:
            level = self._level(second)
            reach = second * h
            place = self._moved(level) - self._early(first) * (
                level * (second / first) * (math.expm1(reach) / reach - 1)
            )
            self._changes[second] = self._seen(place, level)
        return self._moved(self._target) - self._changes[second] * (self._target / second * (math.expm1(h) / h - 1))

    def _early(self, share: float) -> Tensor:
        if share not in self._changes:
            level = self._level(share)
            self._changes[share] = self._seen(self._moved(level), level)
        return self._changes[share]

    def _level(self, share: float) -> float:
        return self._law.from_half_log_snr(self._start + share * self._h)

    def _moved(self, level: float) -> Tensor:
        return move(self._law, self._x, self._sigma, level, self._denoised)

    def _seen(self, x: Tensor, level: float) -> Tensor:
        return self._noise_in(x, level, self._denoise(x, level)) - self._noise

    def _noise_in(self, x: Tensor, sigma: float, denoised: Tensor) -> Tensor:
        return (x - denoised * self._law.signal(sigma)) / sigma


class _Progress:
    """Tells one finished step whenever another share of the way is done, however many steps the solver takes."""

    def __init__(self, run: Run, first: float, last: float, total: int):
        self._run, self._total, self._done = run, total, 0
        self._first = run.law.half_log_snr(first)
        self._way = run.law.half_log_snr(last) - self._first

    def reached(self, sigma: float, x: Tensor, denoised: Tensor) -> None:
        """Tell all steps but the last that are done at `sigma`."""
        share = (self._run.law.half_log_snr(sigma) - self._first) / self._way
        while self._done < min(self._total - 1, int(share * self._total)):
            self._tell(sigma, x, denoised)

    def finish(self, x: Tensor, denoised: Tensor) -> None:
        """Tell the rest."""
        while self._done < self._total:
            self._tell(0.0, x, denoised)

    def _tell(self, sigma: float, x: Tensor, denoised: Tensor) -> None:
        self._run.on_step(StepInfo(self._done, self._total, sigma, x, denoised))
        self._done += 1
