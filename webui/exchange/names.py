"""Names of samplers, schedules and files in other programs, as they are called here."""

from __future__ import annotations

import re

from webui.diffusion.samplers import SAMPLERS, resolve_names
from webui.diffusion.schedules import SCHEDULES
from webui.errors import InvalidRequest

# What the registries' own aliases do not hold, because only files of those programs spell it so.
_SAMPLERS = {
    "k_dpmpp_sde_gpu": "DPM++ SDE",
    "ddim_v3": "DDIM",  # NovelAI
    "k_dpmpp_2": "DPM++ 2M",  # InvokeAI 2
    "k_dpmpp_2_a": "DPM++ 2S a",
    "dpmsolver++": "DPM++ 2M",  # Easy Diffusion
    "dpm_solver_stability": "DPM++ 2M",
    "dpmpp_2s": "DPM++ 2S a",
    "euler a (ancestral)": "Euler a",
    "eulerdiscretescheduler": "Euler",  # diffusers
    "eulerancestraldiscretescheduler": "Euler a",
    "dpmsolvermultistepscheduler": "DPM++ 2M",
    "dpmsolvermultistepscheduler_sde_karras": "DPM++ 2M SDE",
    "unipcmultistepscheduler": "UniPC",
    "deismultistepscheduler": "DEIS",
    "ddimscheduler": "DDIM",
    "lcmscheduler": "LCM",
    "pndmscheduler": "PLMS",
}
# Samplers of ComfyUI and Fooocus that are not here, and what comes nearest: of the same kind, and with CFG++ where they
# have it, because the guidance scale is another one there.
_NEAREST = {
    "dpmpp_2s_ancestral_cfg_pp": "Euler a CFG++",
    "res_multistep_cfg_pp": "DPM++ 2M CFG++",
    "res_multistep_ancestral_cfg_pp": "Euler a CFG++",
    "gradient_estimation_cfg_pp": "Euler CFG++",
    "sa_solver_pece": "SA-Solver",
    "exp_heun_2_x0": "Res Multistep",
    "exp_heun_2_x0_sde": "SEEDS 2",
    "tcd": "LCM",
}
_SCHEDULES = {
    "native": "Normal",  # NovelAI
    "default": "Automatic",
    "ays": "Align Your Steps",
    "discrete": "Normal",
    "trailing": "SGM Uniform",
}
_ENDINGS = (("_karras", "Karras"), ("_k", "Karras"), (" trailing", "SGM Uniform"), (" ays", "Align Your Steps"))
_SUFFIXES = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|gguf|sft)$", re.IGNORECASE)


def sampler_and_schedule(name: str) -> tuple[str, str | None] | None:
    """A sampler and the schedule that its name tells, if it tells one: "DPM++ 2M Karras", "dpmpp_2m_k", "euler".

    None where nothing here has that name.
    """
    folded = name.strip().casefold()
    if not folded:
        return None
    if folded in _SAMPLERS:
        return _SAMPLERS[folded], "Karras" if folded.endswith("_karras") else None
    for spelling in (folded, folded.removeprefix("sample_"), folded.removeprefix("k_")):
        if spelling in SAMPLERS:
            return SAMPLERS.find(spelling).name, None
        try:
            sampler, schedule = resolve_names(spelling)
        except InvalidRequest:
            continue
        return sampler, schedule if schedule != "Automatic" else str(SAMPLERS.find(sampler).facts["default_schedule"])
    for ending, schedule in _ENDINGS:
        stem = folded.removesuffix(ending)
        if stem != folded and (found := sampler_and_schedule(stem)):
            return found[0], schedule
    return None


def nearest_sampler(name: str) -> str | None:
    """What comes nearest to a sampler that is not here; None where nothing does."""
    near = _NEAREST.get(name.strip().casefold())
    return SAMPLERS.find(near).name if near else None


def schedule_name(name: str) -> str | None:
    """The schedule of a name, or None."""
    folded = name.strip().casefold()
    folded = _SCHEDULES.get(folded, folded)
    return SCHEDULES.find(folded).name if folded in SCHEDULES else None


def file_stem(name: str) -> str:
    """A model file's name without folders and suffix, whatever system wrote the path."""
    return _SUFFIXES.sub("", re.split(r"[\\/]", name.strip())[-1])


def lora_directive(name: str, network: float, text: float | None = None) -> str:
    """`<lora:name:strength>`, with the text encoder's strength first where it is another."""
    stem = re.sub(r"[<>:]", "_", file_stem(name))
    strengths = [network] if text is None or text == network else [text, network]
    return f"<lora:{stem}:{':'.join(short(strength) for strength in strengths)}>"


def short(number: float) -> str:
    """A number without an exponent and without idle zeros."""
    return f"{number:.5f}".rstrip("0").rstrip(".") if number else "0"
