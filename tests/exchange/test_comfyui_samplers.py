"""Samplers of ComfyUI: those that are here, and what stands for those that are not."""

from __future__ import annotations

import json

import pytest

from tests.exchange.graphs import DEFAULT, changed
from webui.exchange import read_workflow
from webui.exchange.reading import Untranslated
from webui.request import Pass, check


def read(**inputs: object) -> tuple[Pass, list[Untranslated]]:
    """The pass of the usual workflow with other inputs of its sampler, and what is said of the sampler."""
    reading = read_workflow(json.dumps(changed(DEFAULT, n3=inputs)))
    step = check(reading.request).passes[0]
    return step, [entry for entry in reading.left_out if "sampler" in entry.name]


SAMPLERS_OF_COMFYUI = """euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral
lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde
dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis
res_multistep res_multistep_ancestral gradient_estimation er_sde seeds_2 seeds_3 sa_solver ddim uni_pc
uni_pc_bh2""".split()  # noqa: SIM905 (a table of words)


@pytest.mark.parametrize("name", SAMPLERS_OF_COMFYUI)
def test_samplers_of_comfyui_that_are_here_are_found(name):
    assert read(sampler_name=name)[1] == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("dpmpp_2s_ancestral_cfg_pp", "Euler a CFG++"),
        ("res_multistep_cfg_pp", "DPM++ 2M CFG++"),
        ("res_multistep_ancestral_cfg_pp", "Euler a CFG++"),
        ("gradient_estimation_cfg_pp", "Euler CFG++"),
        ("sa_solver_pece", "SA-Solver"),
        ("exp_heun_2_x0", "Res Multistep"),
        ("exp_heun_2_x0_sde", "SEEDS 2"),
        ("tcd", "LCM"),  # of Fooocus
    ],
)
def test_a_sampler_that_is_not_here_is_named_and_the_nearest_stands(name, near):
    step, (told,) = read(sampler_name=name, cfg=1.0)
    assert step.sampler == near and step.guidance.scale == (12.5 if "CFG++" in near else 1.0)
    assert (told.value, told.reason) == (name, f"There is no sampler of that name here; {near} stands.")


def test_guidance_of_cfgpp_samplers_is_in_their_own_measure():
    step, _ = read(sampler_name="euler_cfg_pp", cfg=0.8)
    assert step.sampler == "Euler CFG++" and step.guidance.scale == pytest.approx(10)


def test_a_sampler_with_nothing_near_is_listed():
    step, (told,) = read(sampler_name="edm_playground_v2.5")
    assert told.name == "KSampler #3 sampler" and step.sampler == Pass().sampler
