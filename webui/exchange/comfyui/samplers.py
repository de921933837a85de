"""Nodes that sample, in the few words that all of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.exchange.comfyui.graph import HOPS, Link, Node
from webui.exchange.comfyui.walk import Walk
from webui.exchange.documents import as_integer, as_number

LAST = 10_000  # ComfyUI's "to the end"
_DISCARDING = ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")  # its KSampler leaves out their smallest sigma
_SAMPLER_NODES = {
    "SamplerEulerAncestral": "euler_ancestral",
    "SamplerEulerAncestralCFGPP": "euler_ancestral_cfg_pp",
    "SamplerDPMPP_2M_SDE": "dpmpp_2m_sde",
    "SamplerDPMPP_3M_SDE": "dpmpp_3m_sde",
    "SamplerDPMPP_SDE": "dpmpp_sde",
    "SamplerDPMPP_2S_Ancestral": "dpmpp_2s_ancestral",
    "SamplerLMS": "lms",
    "SamplerDPMAdaptative": "dpm_adaptive",
    "SamplerER_SDE": "er_sde",
}
_SCHEDULERS = {  # nodes that make sigmas of one kind -> the kind, and inputs that are sampler options
    "KarrasScheduler": ("karras", {"sigma_max": "sigma_max", "sigma_min": "sigma_min", "rho": "rho"}),
    "ExponentialScheduler": ("exponential", {"sigma_max": "sigma_max", "sigma_min": "sigma_min"}),
    "PolyexponentialScheduler": ("polyexponential", {"sigma_max": "sigma_max", "sigma_min": "sigma_min", "rho": "rho"}),
    "SDTurboScheduler": ("turbo", {}),
    "AlignYourStepsScheduler": ("align_your_steps", {}),
    "BetaSamplingScheduler": ("beta", {}),
    "GITSScheduler": ("align_your_steps_gits", {}),
}


@dataclass
class Sampling:
    """One sampling node. `start` and `end` count steps of the whole schedule, as KSamplerAdvanced does."""

    node: Node
    model: Node | None = None
    positive: Node | None = None
    negative: Node | None = None
    latent: Any = None
    seed: Any = None
    steps: Any = None
    scale: Any = 1.0
    sampler: Any = None
    schedule: Any = None
    denoise: float = 1.0
    start: int = 0
    end: int = LAST
    adds_noise: bool = True
    leaves_noise: bool = False
    discards: bool = False
    options: dict[str, float] = field(default_factory=dict)
    width: int | None = None  # of samplers that make their own latents
    height: int | None = None


def read_sampling(walk: Walk, node: Node) -> Sampling | None:
    """What a node samples with, or None where it does not sample."""
    reader = _READERS.get(node.type)
    if reader is None:
        wanted = {"seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image"}
        if not wanted <= set(node.inputs):  # nodes of others with all of KSampler's inputs
            return None
        reader = _ksampler
    walk.use(node)
    sampling = Sampling(node, latent=node.inputs.get("latent_image"))
    for name in ("model", "positive", "negative"):
        setattr(sampling, name, walk.graph.source(node, name))
    reader(walk, node, sampling)
    return sampling


def is_sampling(node: Node) -> bool:
    """Whether a node samples."""
    return node.type in _READERS or {"sampler_name", "steps", "latent_image"} <= set(node.inputs)


def _ksampler(walk: Walk, node: Node, to: Sampling) -> None:
    to.seed, to.steps, to.scale = (walk.value(node, name) for name in ("seed", "steps", "cfg"))
    to.sampler, to.schedule = walk.value(node, "sampler_name"), walk.value(node, "scheduler")
    to.denoise = _number(walk.value(node, "denoise"), 1.0)
    to.discards = to.sampler in _DISCARDING


def _ksampler_advanced(walk: Walk, node: Node, to: Sampling) -> None:
    _ksampler(walk, node, to)
    to.seed = walk.value(node, "noise_seed")
    to.start = as_integer(walk.value(node, "start_at_step")) or 0
    end = as_integer(walk.value(node, "end_at_step"))
    to.end = LAST if end is None else end
    to.adds_noise = walk.value(node, "add_noise") not in ("disable", False)
    to.leaves_noise = walk.value(node, "return_with_leftover_noise") in ("enable", True)


def _custom(walk: Walk, node: Node, to: Sampling) -> None:
    to.seed, to.scale = walk.value(node, "noise_seed"), walk.value(node, "cfg")
    to.adds_noise = walk.value(node, "add_noise") not in ("disable", False)
    _sampler(walk, walk.graph.source(node, "sampler"), to)
    _sigmas(walk, node.inputs.get("sigmas"), to)


def _custom_advanced(walk: Walk, node: Node, to: Sampling) -> None:
    noise, guider = walk.graph.source(node, "noise"), walk.graph.source(node, "guider")
    if noise is not None:
        to.adds_noise = noise.type != "DisableNoise"
        to.seed = walk.value(walk.use(noise), "noise_seed")
    if guider is not None:
        to.model = walk.graph.source(walk.use(guider), "model")
        to.positive = walk.graph.source(guider, "conditioning", "positive", "cond1")
        to.negative = walk.graph.source(guider, "negative")
        to.scale = walk.value(guider, "cfg", 1.0)
        if guider.type not in ("BasicGuider", "CFGGuider"):
            walk.note(guider, "This kind of guidance is not known here; the common one stands.")
    _sampler(walk, walk.graph.source(node, "sampler"), to)
    _sigmas(walk, node.inputs.get("sigmas"), to)


def _kolors(walk: Walk, node: Node, to: Sampling) -> None:
    to.seed, to.steps, to.scale = (walk.value(node, name) for name in ("seed", "steps", "cfg"))
    to.sampler = walk.value(node, "scheduler")
    to.denoise = _number(walk.value(node, "denoise_strength"), 1.0)
    to.latent = node.inputs.get("latent")
    to.width, to.height = (as_integer(walk.value(node, name)) for name in ("width", "height"))
    to.model = walk.graph.source(node, "kolors_model")
    to.positive = to.negative = walk.graph.source(node, "kolors_embeds")


_READERS: Mapping[str, Callable[[Walk, Node, Sampling], None]] = {
    "KSampler": _ksampler,
    "KSampler (Efficient)": _ksampler,
    "KSamplerAdvanced": _ksampler_advanced,
    "SamplerCustom": _custom,
    "SamplerCustomAdvanced": _custom_advanced,
    "KolorsSampler": _kolors,
}


def _sampler(walk: Walk, node: Node | None, to: Sampling) -> None:
    """The node that chooses the sampler of a SamplerCustom."""
    if node is None:
        return
    walk.use(node)
    to.sampler = walk.value(node, "sampler_name", _SAMPLER_NODES.get(node.type))
    if node.type == "SamplerDPMPP_2M_SDE" and walk.value(node, "solver_type") == "heun":
        to.sampler = "dpmpp_2m_sde_heun"
    for name in ("eta", "s_noise"):
        number = as_number(walk.value(node, name))
        if number is not None and node.type in _SAMPLER_NODES:
            to.options[name] = number
    if to.sampler is None:
        walk.note(node, "This sampler is not known here.")


def _sigmas(walk: Walk, value: Any, to: Sampling) -> None:
    """The nodes that make the noise levels of a SamplerCustom."""
    for _ in range(HOPS):
        node = walk.graph.origin(value)
        if node is None:
            return
        walk.use(node)
        if node.type in ("SplitSigmas", "SplitSigmasDenoise"):
            step = as_integer(walk.value(node, "step"))
            if step is None:
                walk.note(node, "Where it splits the run is not known here.")
            elif isinstance(value, Link) and value.slot == 0:
                to.end, to.leaves_noise = step, True
            else:
                to.start = step
            value = node.inputs.get("sigmas")
            continue
        to.steps = walk.value(node, "steps")
        to.denoise = _number(walk.value(node, "denoise"), 1.0)
        to.schedule = walk.value(node, "scheduler")
        if node.type in _SCHEDULERS:
            to.schedule, inputs = _SCHEDULERS[node.type]
            numbers = {option: as_number(walk.value(node, name)) for name, option in inputs.items()}
            to.options |= {option: number for option, number in numbers.items() if number is not None}
        elif to.schedule is None:
            walk.note(node, "These noise levels are not known here.")
        return


def _number(value: Any, default: float) -> float:
    number = as_number(value)
    return default if number is None else number
