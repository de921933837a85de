"""Samplers take the same way as the schedulers of diffusers, given the same network, levels and noise.

Levels are written into the schedulers by hand, as their own are float32. All arithmetic is float64 except inside
EulerDiscrete, EulerAncestralDiscrete, FlowMatchEulerDiscrete and DPMSolverMultistep, which compute in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import diffusers
import pytest
import torch
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from torch import Tensor

from webui.diffusion.laws import DiscreteLaw, FlowLaw, NoisingLaw
from webui.diffusion.samplers import SAMPLERS, Run
from webui.diffusion.schedules import sigmas_for
from webui.request import SamplerOptions

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy

STEPS = 17
EXACT = 1e-12  # relative: rounding of float64; 5e-15 was measured
SINGLE = 1e-6  # relative: schedulers that round to float32 in every step; 4e-7 was measured
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DISCRETE, FLOW = DiscreteLaw(), FlowLaw(shift=3.0)
UNIT = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def network(x: Tensor, timestep: float) -> Tensor:
    """A prediction that is nonlinear in x [B, 4, H, W], mixes channels and places, and depends on the time."""
    mixed = torch.einsum("bchw,dc->bdhw", x, torch.tensor([[0.9, 0.2, 0, 0], [0, 0.8, -0.3, 0]] * 2).double())
    return torch.tanh(mixed) + 0.2 * torch.sin(x.roll(1, -1) * (1 + timestep / 700)) + 0.1 * x


class Noises:
    """The same noises for both sides, in the order in which they are drawn."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self._all: Iterator[Tensor] = iter(
            [torch.randn(UNIT.shape, generator=generator, dtype=torch.float64) for _ in range(2 * STEPS)]
        )

    def step(self) -> Tensor:
        return next(self._all)

    def brownian(self, sigma: float, target: float) -> Tensor:
        return next(self._all)


def levels(end: str, law: NoisingLaw = DISCRETE) -> list[float]:
    """A Karras schedule down to 0, or its steps without the last one; flow starts below 1, where signal is none."""
    options = SamplerOptions(sigma_min=0.03, sigma_max=None if law is DISCRETE else 0.98)
    if end == "to nothing":
        return sigmas_for("Euler", "Karras", STEPS, law, options)
    return sigmas_for("Euler", "Karras", STEPS + 1, law, options)[:-1]


def ours(name: str, sigmas: list[float], law: NoisingLaw = DISCRETE, eta: float | None = None) -> Tensor:
    def denoise(x: Tensor, sigma: float) -> Tensor:
        return law.denoised(network(law.scale_input(x, sigma), law.timestep(sigma)), x, sigma)

    return SAMPLERS[name](denoise, start(sigmas), sigmas, Run(law, Noises(), SamplerOptions(eta=eta)))


def start(sigmas: list[float]) -> Tensor:
    return UNIT * sigmas[0]


def prepared(scheduler: Any, sigmas: list[float], stages: list[float] | None = None, law: NoisingLaw = DISCRETE) -> Any:
    """A scheduler that goes through `sigmas`; `stages` are the levels of the network's calls where they are others."""
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    called_at = sigmas[:-1] if stages is None else stages
    scheduler.timesteps = torch.tensor([law.timestep(sigma) for sigma in called_at], dtype=torch.float64)
    scheduler.set_begin_index(0)
    return scheduler


def theirs(scheduler: Any, x: Tensor, **options: Any) -> Tensor:
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
        prediction = network(scaled.double(), float(timestep))
        x = scheduler.step(prediction, timestep, x, return_dict=False, **options)[0]
    return x


def variance_preserving(scheduler: Any, sigmas: list[float], **options: Any) -> Tensor:
    """For schedulers whose latents have unit variance: theirs are ours / √(1 + sigma²)."""
    x = start(sigmas) / math.hypot(1, sigmas[0])
    return theirs(prepared(scheduler, sigmas), x, **options) * math.hypot(1, sigmas[-1])


def difference(made: Tensor, wanted: Tensor) -> float:
    assert bool(wanted.isfinite().all())
    return float((made - wanted).abs().max() / wanted.abs().max())


def multistep(make: Callable[..., Any], end: str, **config: Any) -> Any:
    """A solver whose last step lowers its order only where it goes to nothing."""
    last = "zero" if end == "to nothing" else "sigma_min"
    return make(**BETAS, final_sigmas_type=last, lower_order_final=end == "to nothing", **config)


ENDS = pytest.mark.parametrize("end", ["to nothing", "to a level"])


@ENDS
@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_euler_is_euler_discrete(end: str, prediction: str) -> None:
    sigmas = levels(end)
    kind = {"v": "v_prediction"}.get(prediction, prediction)
    scheduler = prepared(diffusers.EulerDiscreteScheduler(**BETAS, prediction_type=kind), sigmas)
    made = ours("Euler", sigmas, DiscreteLaw(prediction))
    assert difference(made, theirs(scheduler, start(sigmas))) < SINGLE


@ENDS
def test_euler_a_is_euler_ancestral_discrete_with_the_same_noise(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sigmas, noises = levels(end), Noises()
    monkeypatch.setattr(scheduling_euler_ancestral_discrete, "randn_tensor", lambda *_, **__: noises.step())
    scheduler = prepared(diffusers.EulerAncestralDiscreteScheduler(**BETAS), sigmas)
    assert difference(ours("Euler a", sigmas), theirs(scheduler, start(sigmas))) < SINGLE


@ENDS
def test_heun_is_heun_discrete(end: str) -> None:
    sigmas = levels(end)
    twice = [sigma for sigma in sigmas[1:-1] for _ in range(2)]
    last = [] if end == "to nothing" else [sigmas[-1]]  # to nothing its last step is Euler's
    stages = [sigmas[0], *twice, *last]
    scheduler = prepared(diffusers.HeunDiscreteScheduler(**BETAS), sigmas, stages)
    scheduler.sigmas = torch.tensor([*stages, sigmas[-1]], dtype=torch.float64)
    assert difference(ours("Heun", sigmas), theirs(scheduler, start(sigmas))) < EXACT


def test_dpm2_is_kdpm2_discrete() -> None:
    sigmas = levels("to a level")  # the scheduler's step to nothing divides by a middle level of 0
    middles = [math.sqrt(sigma * target) for sigma, target in pairwise(sigmas)]
    stages = [level for pair in zip(sigmas[:-1], middles, strict=True) for level in pair]
    scheduler = prepared(diffusers.KDPM2DiscreteScheduler(**BETAS), sigmas, stages)
    # step 2k goes from [2k] to the middle [2k + 1], and from [2k] to [2k + 1]
    scheduler.sigmas = torch.tensor([sigmas[(i + 1) // 2] for i in range(2 * STEPS + 1)], dtype=torch.float64)
    scheduler.sigmas_interpol = torch.tensor([*stages, sigmas[-1]], dtype=torch.float64)
    assert difference(ours("DPM2", sigmas), theirs(scheduler, start(sigmas))) < EXACT


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim_is_the_ddim_scheduler(eta: float) -> None:
    steps = 20
    sigmas = sigmas_for("DDIM", "DDIM", steps, DISCRETE)
    scheduler: Any = diffusers.DDIMScheduler(**BETAS, clip_sample=False, steps_offset=1)
    scheduler.set_timesteps(steps)
    assert sigmas[:-1] == pytest.approx([DISCRETE.sigmas[int(t)] for t in scheduler.timesteps], rel=1e-12)
    scheduler.alphas_cumprod = torch.tensor([1 / (1 + s**2) for s in DISCRETE.sigmas], dtype=torch.float64)
    x, noises = start(sigmas) / math.hypot(1, sigmas[0]), Noises()
    for timestep in scheduler.timesteps:
        noise = noises.step() if eta else None
        x = scheduler.step(network(x, float(timestep)), int(timestep), x, eta=eta, variance_noise=noise).prev_sample
    assert difference(ours("DDIM", sigmas, eta=eta), x) < EXACT


def test_lms_is_lms_discrete() -> None:
    sigmas = levels("to a level")  # to nothing ours returns what was denoised, the scheduler extrapolates slopes
    scheduler = prepared(diffusers.LMSDiscreteScheduler(**BETAS), sigmas)
    assert difference(ours("LMS", sigmas), theirs(scheduler, start(sigmas))) < EXACT


@ENDS
def test_dpmpp_2m_is_dpm_solver_multistep(end: str) -> None:
    sigmas = levels(end)
    scheduler = multistep(diffusers.DPMSolverMultistepScheduler, end, algorithm_type="dpmsolver++", solver_order=2)
    assert difference(ours("DPM++ 2M", sigmas), variance_preserving(scheduler, sigmas)) < SINGLE


@pytest.mark.parametrize(("name", "kind"), [("DPM++ 2M SDE", "midpoint"), ("DPM++ 2M SDE Heun", "heun")])
def test_dpmpp_2m_sde_is_the_stochastic_dpm_solver_multistep_with_the_same_noise(name: str, kind: str) -> None:
    sigmas, noises = levels("to a level"), Noises()
    scheduler = multistep(
        diffusers.DPMSolverMultistepScheduler, "to a level", algorithm_type="sde-dpmsolver++", solver_type=kind
    )
    scheduler = prepared(scheduler, sigmas)
    x = start(sigmas) / math.hypot(1, sigmas[0])
    for timestep in scheduler.timesteps:
        prediction = network(x, float(timestep))
        x = scheduler.step(prediction, timestep, x, variance_noise=noises.step(), return_dict=False)[0]
    assert difference(ours(name, sigmas), x * math.hypot(1, sigmas[-1])) < SINGLE


@pytest.mark.parametrize(
    ("name", "kind", "end"),
    # bh1 to nothing is NaN in diffusers, as its B(h) = -h is infinite there
    [("UniPC", "bh1", "to a level"), ("UniPC bh2", "bh2", "to a level"), ("UniPC bh2", "bh2", "to nothing")],
)
def test_unipc_is_unipc_multistep(name: str, kind: str, end: str) -> None:
    sigmas = levels(end)
    scheduler = multistep(diffusers.UniPCMultistepScheduler, end, solver_order=3, solver_type=kind)
    assert difference(ours(name, sigmas), variance_preserving(scheduler, sigmas)) < EXACT


def test_deis_is_deis_multistep() -> None:
    sigmas = levels("to a level")  # to nothing the scheduler takes the logarithm of 0
    scheduler = diffusers.DEISMultistepScheduler(**BETAS, solver_order=3, lower_order_final=False)
    assert difference(ours("DEIS", sigmas), variance_preserving(scheduler, sigmas)) < EXACT


@ENDS
def test_euler_on_rectified_flow_is_flow_match_euler(end: str) -> None:
    sigmas = levels(end, FLOW)
    scheduler = prepared(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), sigmas, law=FLOW)
    assert difference(ours("Euler", sigmas, FLOW), theirs(scheduler, start(sigmas))) < SINGLE


@pytest.mark.parametrize(
    ("name", "make", "config", "allowed"),
    [
        ("DPM++ 2M", diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}, SINGLE),
        ("UniPC", diffusers.UniPCMultistepScheduler, {"solver_type": "bh1", "solver_order": 3}, EXACT),
        ("UniPC bh2", diffusers.UniPCMultistepScheduler, {"solver_type": "bh2", "solver_order": 3}, EXACT),
    ],
)
def test_multistep_solvers_on_rectified_flow_are_those_of_diffusers(
    name: str, make: Callable[..., Any], config: dict[str, Any], allowed: float
) -> None:
    sigmas = levels("to a level", FLOW)
    scheduler = multistep(make, "to a level", prediction_type="flow_prediction", use_flow_sigmas=True, **config)
    wanted = theirs(prepared(scheduler, sigmas, law=FLOW), start(sigmas))
    assert difference(ours(name, sigmas, FLOW), wanted) < allowed
