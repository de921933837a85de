"""Noising laws agree with diffusers and the papers, and every conversion has its inverse."""

from __future__ import annotations

import math
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from webui.diffusion.laws import (
    LARGEST_FLOW_SIGMA,
    SMALLEST_ALPHA,
    DiscreteLaw,
    EdmLaw,
    FlowLaw,
    NoisingLaw,
    alphas_cumulated,
    ancestral_down,
    flux_mu,
)
from webui.errors import InvalidRequest

LAWS: dict[str, NoisingLaw] = {
    "epsilon": DiscreteLaw(),
    "v": DiscreteLaw("v"),
    "sample": DiscreteLaw("sample"),
    "v with zero terminal SNR": DiscreteLaw("v", zero_terminal_snr=True),
    "linear betas": DiscreteLaw(betas=(0.00085, 0.012, 1000), spacing="linear"),
    "EDM": EdmLaw(),
    "EDM v": EdmLaw(sigma_data=1.0, prediction="v"),
    "flow": FlowLaw(),
    "shifted flow": FlowLaw(shift=3.0),
    "Flux": FlowLaw(mu=1.15, timestep_scale=1.0),
}
EVERY_LAW = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
LATENTS, NOISE = (
    torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (1, 2)
)
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012}
SINGLE = 2e-5  # relative: diffusers' tables are products of a thousand float32 numbers


def inner_sigmas(law: NoisingLaw) -> list[float]:
    """Sigmas at and between levels, without the last, at which some laws have no signal."""
    return [law.at(index) for index in (0, 0.3, 1, 7.9, 250, 500.5, 731.25, 998, 998.6)]


@EVERY_LAW
def test_training_sigmas_rise_between_the_bounds(law: NoisingLaw) -> None:
    assert list(law.sigmas) == sorted(set(law.sigmas))
    assert len(law.sigmas) == 1000
    assert (law.sigmas[0], law.sigmas[-1]) == pytest.approx((law.sigma_min, law.sigma_max), rel=1e-12)


@EVERY_LAW
def test_timestep_and_sigma_are_inverse(law: NoisingLaw) -> None:
    for sigma in inner_sigmas(law):
        assert law.sigma(law.timestep(sigma)) == pytest.approx(sigma, rel=1e-11)


@EVERY_LAW
def test_index_and_at_are_inverse_and_hit_the_levels(law: NoisingLaw) -> None:
    for index in (0.0, 0.3, 1.0, 7.9, 500.5, 998.6, 999.0):
        assert law.index(law.at(index)) == pytest.approx(index, rel=1e-9, abs=1e-9)
    for index in (0, 1, 500, 999):
        assert law.at(index) == pytest.approx(law.sigmas[index], rel=1e-12)


@EVERY_LAW
def test_an_index_never_leaves_the_levels(law: NoisingLaw) -> None:
    assert law.index(law.sigma_min / 10) == 0
    if law.sigma_max > 1:  # rectified flow has nothing above 1
        assert law.index(law.sigma_max * 10) == 999


@EVERY_LAW
def test_half_log_snr_is_that_of_signal_and_sigma_and_has_an_inverse(law: NoisingLaw) -> None:
    for sigma in inner_sigmas(law):
        value = law.half_log_snr(sigma)
        assert value == pytest.approx(math.log(law.signal(sigma) / sigma), abs=1e-9)
        assert law.from_half_log_snr(value) == pytest.approx(sigma, rel=1e-11)
    assert math.isfinite(law.half_log_snr(law.sigma_max))


@EVERY_LAW
def test_noised_latents_are_signal_and_noise(law: NoisingLaw) -> None:
    for sigma in inner_sigmas(law):
        wanted = law.signal(sigma) * LATENTS + sigma * NOISE
        torch.testing.assert_close(law.noised(LATENTS, NOISE, sigma), wanted, rtol=1e-12, atol=1e-12)


@EVERY_LAW
def test_a_perfect_prediction_gives_the_latents_back(law: NoisingLaw) -> None:
    for sigma in inner_sigmas(law):
        x = law.noised(LATENTS, NOISE, sigma)
        prediction = law.prediction(LATENTS, x, sigma)
        torch.testing.assert_close(law.denoised(prediction, x, sigma), LATENTS, rtol=1e-8, atol=1e-8)


@EVERY_LAW
def test_prediction_undoes_denoised(law: NoisingLaw) -> None:
    for sigma in inner_sigmas(law):
        x = law.noised(LATENTS, NOISE, sigma)
        output = torch.tanh(NOISE + LATENTS)
        again = law.prediction(law.denoised(output, x, sigma), x, sigma)
        torch.testing.assert_close(again, output, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if not isinstance(law, FlowLaw)])
def test_a_networks_input_has_unit_variance_where_latents_and_noise_have(name: str) -> None:
    law, data = LAWS[name], 0.5 if name == "EDM" else 1.0
    for sigma in inner_sigmas(law):
        scale = float(law.scale_input(torch.ones(1, dtype=torch.float64), sigma))
        assert scale**2 * (data**2 + sigma**2) == pytest.approx(1, rel=1e-12)


@EVERY_LAW
def test_an_ancestral_step_goes_no_lower_than_nothing_and_stays_below_its_target(law: NoisingLaw) -> None:
    sigma, target = law.at(800), law.at(600)
    assert law.step_down(sigma, target, 0.0) == pytest.approx(target, rel=1e-12)
    assert 0 <= law.step_down(sigma, target, 1.0) < law.step_down(sigma, target, 0.5) < target


def test_what_epsilon_v_and_sample_networks_return() -> None:
    sigma = 2.5
    x = LATENTS + sigma * NOISE
    alpha = 1 / math.hypot(1, sigma)  # in unit variance: x·alpha = alpha·latents + beta·noise
    beta = sigma * alpha
    torch.testing.assert_close(DiscreteLaw("epsilon").prediction(LATENTS, x, sigma), NOISE)
    torch.testing.assert_close(DiscreteLaw("sample").prediction(LATENTS, x, sigma), LATENTS)
    # Salimans & Ho 2022, section 4: v = alpha·noise - sigma·latents
    torch.testing.assert_close(DiscreteLaw("v").prediction(LATENTS, x, sigma), alpha * NOISE - beta * LATENTS)


def test_v_networks_are_read_as_diffusers_reads_them() -> None:
    scheduler: Any = diffusers.DDIMScheduler(**BETAS, beta_schedule="scaled_linear")
    output = torch.tanh(LATENTS * 2)
    for level in (0, 400, 999):
        sigma = DiscreteLaw("v").sigmas[level]
        alpha, beta = 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)
        x = alpha * LATENTS + beta * NOISE
        wanted = scheduler.get_velocity(LATENTS, NOISE, torch.tensor([level, level]))
        made = DiscreteLaw("v").prediction(LATENTS, x / alpha, sigma)
        torch.testing.assert_close(made, wanted, rtol=1e-4, atol=SINGLE)
        denoised = DiscreteLaw("v").denoised(output, x / alpha, sigma)
        torch.testing.assert_close(denoised, alpha * x - beta * output)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy
@pytest.mark.parametrize("spacing", ["scaled_linear", "linear"])
def test_sigmas_are_those_of_diffusers(spacing: str) -> None:
    scheduler: Any = diffusers.EulerDiscreteScheduler(**BETAS, beta_schedule=spacing)
    alphas = scheduler.alphas_cumprod.double().tolist()
    wanted = [math.sqrt((1 - alpha) / alpha) for alpha in alphas]
    made = DiscreteLaw(spacing=spacing).sigmas
    assert made[10:] == pytest.approx(wanted[10:], rel=SINGLE)
    # 1 - alpha loses digits of float32 near 1: a step there is 6e-8
    assert [1 / (1 + sigma**2) for sigma in made] == pytest.approx(alphas, abs=1e-6)
    scheduler.set_timesteps(1000)
    assert made[::-1][:900] == pytest.approx(scheduler.sigmas[:900].tolist(), rel=SINGLE)


def test_the_known_ends_of_stable_diffusion() -> None:
    law = DiscreteLaw()
    assert law.sigma_min == pytest.approx(0.0291672, abs=1e-7)
    assert law.sigma_max == pytest.approx(14.6146, abs=1e-4)


def test_timesteps_between_levels_are_those_of_euler_discrete() -> None:
    law = DiscreteLaw()
    scheduler: Any = diffusers.EulerDiscreteScheduler(**BETAS, beta_schedule="scaled_linear")
    logs = np.log(np.array(law.sigmas))
    for sigma in inner_sigmas(law):
        assert law.timestep(sigma) == pytest.approx(float(scheduler._sigma_to_t(np.array([sigma]), logs)[0]), abs=1e-6)


def test_timesteps_stop_at_the_levels_of_training() -> None:
    law = DiscreteLaw()
    assert (law.timestep(1e-6), law.timestep(100.0)) == (0.0, 999.0)
    assert (law.sigma(-3), law.sigma(2000)) == pytest.approx((law.sigma_min, law.sigma_max), rel=1e-12)


def test_zero_terminal_snr_is_that_of_diffusers_but_for_the_last_level_which_stays_finite() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    wanted = torch.cumprod(1 - rescale_zero_terminal_snr(betas), 0).tolist()
    made = [1 / (1 + sigma**2) for sigma in DiscreteLaw(zero_terminal_snr=True).sigmas]
    assert wanted[-1] == 0
    assert made[:-1] == pytest.approx(wanted[:-1], rel=1e-9)
    assert made[-1] == pytest.approx(SMALLEST_ALPHA, rel=1e-9)
    assert DiscreteLaw(zero_terminal_snr=True).sigma_max == pytest.approx(4518.7, abs=0.5)


def test_cumulated_alphas_are_products() -> None:
    wanted = np.cumprod(1 - np.linspace(0.1, 0.4, 4)).tolist()
    assert alphas_cumulated(0.1, 0.4, 4, "linear") == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_edm_networks_are_read_as_diffusers_reads_them(prediction: str) -> None:
    data, kind = (0.5, "epsilon") if prediction == "epsilon" else (1.0, "v_prediction")
    law = EdmLaw(sigma_data=data, prediction=prediction)
    scheduler: Any = diffusers.EDMEulerScheduler(sigma_data=data, prediction_type=kind)
    output = torch.tanh(LATENTS * 2)
    for sigma in (0.01, 0.7, 30.0):
        x = LATENTS * data + sigma * NOISE
        wanted = scheduler.precondition_outputs(x, output, sigma)
        torch.testing.assert_close(law.denoised(output, x, sigma), wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(law.scale_input(x, sigma), scheduler.precondition_inputs(x, sigma))
        assert law.timestep(sigma) == pytest.approx(float(scheduler.precondition_noise(sigma)))


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 6.0])
def test_shifted_sigmas_are_those_of_flow_match_euler(shift: float) -> None:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    assert FlowLaw(shift).sigmas[::-1] == pytest.approx(scheduler.sigmas.tolist(), rel=1e-6)
    assert [FlowLaw(shift).timestep(s) for s in FlowLaw(shift).sigmas[::-1]] == pytest.approx(
        scheduler.timesteps.tolist(), rel=1e-6
    )


def test_mu_shifts_as_flow_match_euler_does() -> None:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    law = FlowLaw(mu=0.8)
    for time in (0.1, 0.5, 0.9):
        assert law.at(time * 1000 - 1) == pytest.approx(float(scheduler.time_shift(0.8, 1.0, torch.tensor(time))))


def test_flux_mu_is_linear_in_tokens_between_the_published_ends() -> None:
    assert flux_mu(256, 256) == pytest.approx(0.5)
    assert flux_mu(1024, 1024) == pytest.approx(1.15)
    assert flux_mu(1360, 768) == pytest.approx(0.5 + (85 * 48 - 256) * 0.65 / 3840)


def test_rectified_flow_gives_the_network_x_as_it_is() -> None:
    assert FlowLaw().scale_input(LATENTS, 0.3) is LATENTS


def test_flow_networks_return_noise_minus_latents() -> None:
    law = FlowLaw()
    x = law.noised(LATENTS, NOISE, 0.3)
    torch.testing.assert_close(law.prediction(LATENTS, x, 0.3), NOISE - LATENTS)


def test_pure_noise_has_a_finite_log_snr_on_rectified_flow() -> None:
    law = FlowLaw(3.0)
    assert law.sigma_max == 1
    assert law.half_log_snr(1.0) == law.half_log_snr(LARGEST_FLOW_SIGMA) == pytest.approx(-math.log(9999), rel=1e-6)


def test_full_ancestral_noise_has_the_variance_of_the_ddpm_posterior() -> None:
    sigma, target = 5.0, 3.0
    before, after = 1 / (1 + sigma**2), 1 / (1 + target**2)  # cumulated alphas
    posterior = (1 - after) / (1 - before) * (1 - before / after)  # Ho et al. 2020, equation 7, in unit variance
    down = ancestral_down(sigma, target, 1.0)
    assert (target**2 - down**2) * after == pytest.approx(posterior, rel=1e-12)


@pytest.mark.parametrize("wrong", [{"prediction": "noise"}, {"spacing": "cosine"}])
def test_unknown_kinds_of_discrete_laws_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="Known"):
        DiscreteLaw(**wrong)  # type: ignore[arg-type]


def test_an_unknown_prediction_of_an_edm_network_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Known"):
        EdmLaw(prediction="sample")
