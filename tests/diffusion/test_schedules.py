"""Schedules fall to nothing, follow their published formulae, and are found by every name in use."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from webui.diffusion.laws import DiscreteLaw, EdmLaw, FlowLaw, NoisingLaw
from webui.diffusion.samplers import SAMPLERS, resolve_names
from webui.diffusion.schedules import SCHEDULES, sigmas_for
from webui.diffusion.schedules.tables import ALIGN_YOUR_STEPS
from webui.errors import InvalidRequest
from webui.request import SamplerOptions

DISCRETE = DiscreteLaw()
LAWS: dict[str, NoisingLaw] = {
    "discrete": DISCRETE,
    "zero terminal SNR": DiscreteLaw(zero_terminal_snr=True),
    "EDM": EdmLaw(),
    "flow": FlowLaw(shift=3.0),
}
LOW, HIGH = 0.05, 20.0
A1111_SAMPLERS = {  # what Automatic means for each
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential",
    "DPM++ 2S a": "Karras",
    "DPM++ 3M SDE": "Exponential",
    "Euler a": None,
    "Euler": None,
    "LMS": None,
    "Heun": None,
    "DPM2": "Karras",
    "DPM2 a": "Karras",
    "DPM fast": None,
    "DPM adaptive": None,
    "Restart": "Karras",
    "DDIM": "DDIM",  # A1111 runs it, its CFG++ form and PLMS on those levels, whatever the schedule
    "DDIM CFG++": "DDIM",
    "PLMS": "DDIM",
    "UniPC": None,
    "LCM": None,
}
A1111_SCHEDULES = {
    "automatic": "Automatic",
    "uniform": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "sgm_uniform": "SGM Uniform",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "simple": "Simple",
    "normal": "Normal",
    "ddim": "DDIM",
    "beta": "Beta",
}


def schedule(name: str, steps: int, law: NoisingLaw = DISCRETE, **options: float) -> list[float]:
    return SCHEDULES[name](steps, law, SamplerOptions(**options))  # type: ignore[arg-type]


def between(name: str, steps: int, **options: float) -> list[float]:
    return schedule(name, steps, DISCRETE, sigma_min=LOW, sigma_max=HIGH, **options)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", SCHEDULES.names())
@pytest.mark.parametrize("steps", [1, 2, 5, 7, 20, 50])
def test_every_schedule_falls_strictly_to_nothing_in_as_many_steps_as_asked(name: str, law: str, steps: int) -> None:
    sigmas = schedule(name, steps, LAWS[law])
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0.0
    assert all(high > low for high, low in pairwise(sigmas))
    assert all(type(sigma) is float for sigma in sigmas)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["Simple", "DDIM", "Turbo"])
@pytest.mark.parametrize("steps", [501, 999, 1000, 1001, 1500])
def test_schedules_that_count_levels_fall_even_when_there_are_too_few(name: str, law: str, steps: int) -> None:
    sigmas = schedule(name, steps, LAWS[law])
    assert len(sigmas) == steps + 1
    assert all(high > low for high, low in pairwise(sigmas))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [entry.name for entry in SCHEDULES if "Align" not in entry.name])
def test_a_schedule_starts_near_the_largest_sigma_of_the_law(name: str, law: str) -> None:
    steps = 20
    first = LAWS[law].index(schedule(name, steps, LAWS[law])[0])
    # DDIM's first level lies one stride below the end
    assert first >= (len(LAWS[law].sigmas) - 1) * (1 - 1.1 / steps)


def test_karras_follows_equation_five_of_the_paper() -> None:
    n, rho = 9, 7.0
    wanted = [(HIGH ** (1 / rho) + i / (n - 1) * (LOW ** (1 / rho) - HIGH ** (1 / rho))) ** rho for i in range(n)]
    assert between("Karras", n) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_karras_takes_another_rho() -> None:
    middle = between("Karras", 3, rho=3.0)[1]
    assert middle == pytest.approx(((HIGH ** (1 / 3) + LOW ** (1 / 3)) / 2) ** 3, rel=1e-12)


def test_exponential_is_geometric() -> None:
    wanted = np.geomspace(HIGH, LOW, 9).tolist()
    assert between("Exponential", 9) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_polyexponential_is_a_power_of_the_place_in_the_logarithm(rho: float) -> None:
    ramp = np.linspace(1, 0, 9) ** rho
    wanted = np.exp(ramp * (math.log(HIGH) - math.log(LOW)) + math.log(LOW)).tolist()
    assert between("Polyexponential", 9, rho=rho) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_polyexponential_is_exponential_by_default() -> None:
    assert between("Polyexponential", 9) == pytest.approx(between("Exponential", 9), rel=1e-12)


def test_kl_optimal_follows_the_theorem_of_the_paper() -> None:
    n = 9
    wanted = [math.tan(i / (n - 1) * math.atan(LOW) + (1 - i / (n - 1)) * math.atan(HIGH)) for i in range(n)]
    assert between("KL Optimal", n) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize("name", ["Uniform", "Normal"])
def test_uniform_and_normal_step_evenly_through_the_timesteps_with_both_ends(name: str) -> None:
    wanted = [DISCRETE.sigma(t) for t in np.linspace(999, 0, 8)]
    assert schedule(name, 8) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_sgm_uniform_leaves_out_the_smallest_level() -> None:
    wanted = [DISCRETE.sigma(t) for t in np.linspace(999, 0, 9)[:-1]]
    assert schedule("SGM Uniform", 8) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 7, 20, 30])
def test_simple_counts_training_levels_down_from_the_largest(steps: int) -> None:
    wanted = [DISCRETE.sigmas[-(1 + int(step * 1000 / steps))] for step in range(steps)]
    assert schedule("Simple", steps) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_simple_on_rectified_flow_is_the_published_shift_of_even_times() -> None:
    times = [1 - step / 10 for step in range(10)]
    wanted = [3 * time / (1 + 2 * time) for time in times]
    assert schedule("Simple", 10, FlowLaw(shift=3.0)) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize(("steps", "first", "stride"), [(20, 951, 50), (50, 981, 20), (10, 901, 100), (3, 667, 333)])
def test_ddim_counts_training_levels_up_from_the_second(steps: int, first: int, stride: int) -> None:
    wanted = [DISCRETE.sigmas[first - stride * step] for step in range(steps)]
    assert wanted[-1] == DISCRETE.sigmas[1]
    assert schedule("DDIM", steps) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_beta_takes_quantiles_of_scipys_distribution_over_the_timesteps() -> None:
    quantiles = stats.beta.ppf(1 - np.linspace(0, 1, 12, endpoint=False), 0.6, 0.6)
    wanted = [DISCRETE.sigma(t) for t in quantiles * 999]
    assert schedule("Beta", 12) == pytest.approx([*wanted, 0.0], rel=1e-9)


def test_beta_sigmas_takes_them_over_sigma() -> None:
    quantiles = stats.beta.ppf(np.linspace(1, 0, 12), 0.6, 0.6)
    wanted = (LOW + quantiles * (HIGH - LOW)).tolist()
    assert between("Beta sigmas", 12) == pytest.approx([*wanted, 0.0], rel=1e-9)


def test_turbo_ends_each_share_where_sdxl_turbo_was_trained() -> None:
    wanted = [DISCRETE.sigmas[t] for t in (999, 749, 499, 249)]
    assert schedule("Turbo", 4) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_align_your_steps_at_ten_steps_and_one_end_is_the_published_table(family: str) -> None:
    # the table has eleven levels, the last of which the paper's runs end at
    law = DiscreteLaw(tuned_for=family)
    assert schedule("Align Your Steps", 11, law)[:-1] == pytest.approx(ALIGN_YOUR_STEPS[family], rel=1e-12)


def test_align_your_steps_interpolates_logarithms_as_numpy_does() -> None:
    table = ALIGN_YOUR_STEPS["sd1"]
    wanted = np.exp(np.interp(np.linspace(0, 1, 20), np.linspace(0, 1, 11), np.log(table))).tolist()
    assert schedule("Align Your Steps", 20) == pytest.approx([*wanted, 0.0], rel=1e-12)


def test_linear_quadratic_is_mochis_schedule() -> None:
    steps, threshold = 10, 0.025
    half = steps // 2
    linear = [i * threshold / half for i in range(half)]
    difference = half - threshold * steps
    quadratic = difference / (half * (steps - half) ** 2)
    slope = threshold / half - 2 * difference / ((steps - half) ** 2)
    constant = quadratic * half**2
    curved = [quadratic * i**2 + slope * i + constant for i in range(half, steps)]
    wanted = [HIGH * (1 - done) for done in [*linear, *curved]]
    assert between("Linear Quadratic", steps) == pytest.approx([*wanted, 0.0], rel=1e-12)


@pytest.mark.parametrize(
    "name",
    [*("Karras", "Exponential", "Polyexponential", "KL Optimal", "Uniform", "Normal", "Beta sigmas")],
)
def test_sigma_min_and_sigma_max_set_the_ends(name: str) -> None:
    sigmas = schedule(name, 6, sigma_min=0.1, sigma_max=5.0)
    assert (sigmas[0], sigmas[-2]) == pytest.approx((5.0, 0.1), rel=1e-9)


def test_bounds_of_nothing_mean_those_of_the_law() -> None:
    assert schedule("Karras", 6, sigma_min=0.0, sigma_max=0.0, rho=0.0) == schedule("Karras", 6)


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="falling"):
        sigmas_for("Euler", "Karras", 6, DISCRETE, SamplerOptions(sigma_min=5.0, sigma_max=1.0))


def test_discarding_the_penultimate_sigma_keeps_the_number_of_steps() -> None:
    longer = schedule("Karras", 7)
    made = sigmas_for("Euler", "Karras", 6, DISCRETE, SamplerOptions(discard_penultimate=True))
    assert made == [*longer[:6], 0.0]


@pytest.mark.parametrize("sampler", ["DPM2", "DPM2 a", "DPM++ 3M SDE"])
def test_samplers_discard_the_penultimate_sigma_unless_told_not_to(sampler: str) -> None:
    assert sigmas_for(sampler, "Karras", 6, DISCRETE)[:-1] == schedule("Karras", 7)[:6]
    kept = sigmas_for(sampler, "Karras", 6, DISCRETE, SamplerOptions(discard_penultimate=False))
    assert kept == schedule("Karras", 6)


@pytest.mark.parametrize("sampler", A1111_SAMPLERS)
def test_automatic_is_the_samplers_own_schedule(sampler: str) -> None:
    own = A1111_SAMPLERS[sampler] or "Uniform"
    assert sigmas_for(sampler, "Automatic", 6, DISCRETE) == sigmas_for(sampler, own, 6, DISCRETE)


def test_all_sampler_names_of_a1111_are_registered_as_shown() -> None:
    assert set(A1111_SAMPLERS) <= set(SAMPLERS.names())


@pytest.mark.parametrize(
    ("alias", "shown"),
    [
        *[("k_euler_a", "Euler a"), ("k_euler_ancestral", "Euler a"), ("k_dpmpp_2m", "DPM++ 2M")],
        *[("k_dpmpp_sde", "DPM++ SDE"), ("k_dpmpp_2m_sde", "DPM++ 2M SDE"), ("k_dpmpp_2s_a", "DPM++ 2S a")],
        *[("k_dpmpp_3m_sde", "DPM++ 3M SDE"), ("k_lms", "LMS"), ("k_heun", "Heun"), ("k_dpm_2", "DPM2")],
        *[("k_dpm_2_a", "DPM2 a"), ("k_dpm_fast", "DPM fast"), ("k_dpm_ad", "DPM adaptive")],
        *[("restart", "Restart"), ("ddim", "DDIM"), ("plms", "PLMS"), ("unipc", "UniPC")],
        *[("heunpp2", "HeunPP2"), ("ipndm", "IPNDM"), ("ipndm_v", "IPNDM_V"), ("deis", "DEIS"), ("ddpm", "DDPM")],
    ],
)
def test_aliases_of_a1111_and_samplers_of_forge_are_found(alias: str, shown: str) -> None:
    assert resolve_names(alias) == (shown, "Automatic")


COMFY_SAMPLERS = [
    *("euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2"),
    *("dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_sde_gpu"),
    *("dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu"),
    *("dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "res_multistep"),
    *("res_multistep_ancestral", "gradient_estimation", "er_sde", "seeds_2", "seeds_3", "sa_solver", "ddim"),
    *("uni_pc", "uni_pc_bh2"),
]
COMFY_SCHEDULES = [
    *("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform"),
    *("beta", "normal", "linear_quadratic", "kl_optimal"),
]


@pytest.mark.parametrize("name", COMFY_SAMPLERS)
def test_samplers_of_comfyui_are_found(name: str) -> None:
    assert name in SAMPLERS


@pytest.mark.parametrize("name", COMFY_SCHEDULES)
def test_schedules_of_comfyui_are_found(name: str) -> None:
    assert name in SCHEDULES


def test_schedules_of_a1111_are_registered_by_label_and_by_name_with_automatic_first() -> None:
    assert SCHEDULES.names()[0] == "Automatic"
    assert set(A1111_SCHEDULES.values()) <= set(SCHEDULES.names())
    for name, label in A1111_SCHEDULES.items():
        assert SCHEDULES.find(name).name == label
        assert SCHEDULES.find(label).facts["name"] == name
    assert SCHEDULES.find("SGMUniform").name == "SGM Uniform"


@pytest.mark.parametrize(("label", "rho"), [("Karras", 7.0), ("Polyexponential", 1.0), ("Exponential", -1)])
def test_schedules_tell_their_rho(label: str, rho: float) -> None:
    assert SCHEDULES.find(label).facts["default_rho"] == rho


@pytest.mark.parametrize("name", ["Turbo", "Align Your Steps GITS", "Align Your Steps 11", "Align Your Steps 32"])
def test_schedules_of_forge_are_registered(name: str) -> None:
    assert name in SCHEDULES.names()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("DPM++ 2M Karras", None), ("DPM++ 2M", "Automatic")),  # its own schedule
        (("DPM++ 2M SDE Exponential", None), ("DPM++ 2M SDE", "Automatic")),
        (("DPM++ 2M SDE Karras", None), ("DPM++ 2M SDE", "Karras")),
        (("Euler a Karras", None), ("Euler a", "Karras")),
        (("euler a karras", None), ("Euler a", "Karras")),
        (("Euler Uniform", None), ("Euler", "Automatic")),
        (("Euler SGM Uniform", None), ("Euler", "SGM Uniform")),
        (("Euler sgm_uniform", None), ("Euler", "SGM Uniform")),
        (("k_dpmpp_2m SGMUniform", None), ("DPM++ 2M", "SGM Uniform")),
        (("Euler Automatic", None), ("Euler", "Automatic")),
        (("Euler", "karras"), ("Euler", "Karras")),
        (("Euler", "Automatic"), ("Euler", "Automatic")),
        (("Euler Karras", "Exponential"), ("Euler", "Exponential")),  # what was given apart wins
        (("Euler Karras", "Automatic"), ("Euler", "Karras")),
        (("DDIM CFG++", None), ("DDIM CFG++", "Automatic")),
    ],
)
def test_names_are_read_as_people_write_them(given: tuple[str, str | None], wanted: tuple[str, str]) -> None:
    assert resolve_names(*given) == wanted


@pytest.mark.parametrize("sampler", ["Euler b", "Karras", "Euler b Karras", "EulerKarras", "", " Karras"])
def test_an_unknown_sampler_is_refused(sampler: str) -> None:
    with pytest.raises(InvalidRequest):
        resolve_names(sampler)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        resolve_names("Euler", "Karas")
