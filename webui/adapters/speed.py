"""Distilled LoRAs and checkpoints, which draw in a few steps, and what they want: told by name, metadata and layers.

Nothing in a file says it outright, so the names of the publishers' files are what counts; words that are also subjects
of pictures ("lightning", "turbo", "hyper") need more than themselves. What is found is offered, never applied silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from webui.request import Pass
from webui.weights.tensors import Header

SAID_IN = ("ss_output_name", "modelspec.title", "ss_sd_model_name")  # metadata that hold names
OTHER_FAMILIES = re.compile(r"flux|sd[-_ ]?3|stable-diffusion-3|qwen|wan[-_ ]?2|z[-_ ]?image|hunyuan|hidream|chroma")
WORD_ENDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
STEPS = re.compile(r"(?<!\d)(1[0-6]|[1-9])[-_ ]?steps?(?![a-z])")
OF_TEXT_ENCODERS = ("lora_te", "text_encoder", "oft_te")
WHAT_IT_LEARNT = ("ss_tag_frequency", "modelspec.trigger_phrase")  # of a LoRA that knows subjects, not speed


@dataclass(frozen=True)
class SpeedRecipe:
    """Settings that a distilled model was made for. `kind` names it for translations, `note` says what may vary."""

    kind: str
    label: str
    sampler: str
    schedule: str
    steps: int
    guidance_scale: float
    eta: float | None = None  # None: the sampler's own
    note: str = ""

    def applied(self, step: Pass) -> Pass:
        """The pass with these settings, and everything else as it was."""
        return replace(
            step,
            sampler=self.sampler,
            schedule=self.schedule,
            steps=self.steps,
            guidance=replace(step.guidance, scale=self.guidance_scale),
            options=replace(step.options, eta=self.eta),
        )


@dataclass(frozen=True)
class _Facts:
    text: str  # names, in small letters
    steps: int | None  # that the names say
    checkpoint: bool


Recipe = Callable[[_Facts], SpeedRecipe | None]


def speed_recipe(name: str, header: Header | None = None, checkpoint: bool = False) -> SpeedRecipe | None:
    """The recipe of a LoRA (or of a checkpoint) of this name, or None for one that is not known to be distilled.

    `name` may have folders in it. Models for Stable Diffusion 1, 2 and XL are known.
    """
    metadata = header.metadata if header else {}
    said = " ".join([name, *(metadata.get(key, "") for key in SAID_IN)])
    text = WORD_ENDS.sub(" ", said).lower()  # photonLCM: two words
    found = STEPS.search(text)
    facts = _Facts(text, int(found[1]) if found else None, checkpoint)
    architecture = metadata.get("modelspec.architecture", "") + metadata.get("ss_base_model_version", "")
    if OTHER_FAMILIES.search(f"{text} {architecture.lower()}"):
        return None
    for pattern, plain, recipe in _KINDS:
        if pattern.search(text) and (plain or facts.steps or _may_be_distilled(header, checkpoint)):
            return recipe(facts)
    return None


def _may_be_distilled(header: Header | None, checkpoint: bool) -> bool:
    """Whether a file with an ambiguous name may be a distilled one: those change no text encoder and know no words."""
    if checkpoint:
        return True
    if header is None or any(header.metadata.get(key, "{}").strip() not in ("", "{}") for key in WHAT_IT_LEARNT):
        return False
    return not any(name.startswith(OF_TEXT_ENCODERS) for name in header.tensors)


def _dmd2(facts: _Facts) -> SpeedRecipe | None:
    """Yin et al. 2024 (arXiv:2405.14867): renoised at the steps 999, 749, 499, 249. Of one step: begins at 399."""
    if facts.steps == 1:
        return None
    return SpeedRecipe("dmd2", "DMD2", "LCM", "SGM Uniform", 4, 1.0, note="Made for exactly 4 steps.")


def _pcm(facts: _Facts) -> SpeedRecipe:
    """Wang et al. 2024 (arXiv:2405.18407): as many steps as phases, small or usual guidance by the file's name."""
    if "lcmlike" in facts.text.replace("_", "").replace("-", ""):
        return SpeedRecipe("pcm", "PCM", "LCM", "SGM Uniform", facts.steps or 4, 1.0, note="2 to 16 steps.")
    usual = "normalcfg" in facts.text
    note = "Guidance up to 7.5 and negative prompts work." if usual else "Guidance up to 2 works."
    scale = 7.5 if usual else 1.0
    return SpeedRecipe("pcm", "PCM", "DDIM", "SGM Uniform", facts.steps or 4, scale, eta=0.0, note=note)


def _hyper(facts: _Facts) -> SpeedRecipe:
    """Ren et al. 2024 (arXiv:2404.13686): trailing DDIM in the file's number of steps; "CFG" files keep guidance."""
    label, guided = "Hyper-SD", "cfg" in facts.text
    steps = facts.steps or 8
    if guided:
        note = "Guidance from 5 to 8, with negative prompts."
        return SpeedRecipe("hyper", label, "DDIM", "SGM Uniform", steps, 6.0, eta=0.0, note=note)
    note = f"Made for exactly {steps} steps." if facts.steps else "1 to 8 steps, as its name or page says."
    return SpeedRecipe("hyper", label, "DDIM", "SGM Uniform", steps, 1.0, eta=0.0, note=note)


def _lightning(facts: _Facts) -> SpeedRecipe:
    """Lin et al. 2024 (arXiv:2402.13929): trailing Euler in the file's number of steps. Merges are less strict."""
    label = "SDXL-Lightning"
    if facts.checkpoint and facts.steps is None:
        note = "A merge: 4 to 8 steps and guidance from 1 to 2, as its page says."
        return SpeedRecipe("lightning", label, "DPM++ SDE", "Karras", 6, 2.0, note=note)
    steps = facts.steps or 8
    note = f"Made for exactly {steps} steps." if facts.steps else "2, 4 or 8 steps, as its page says."
    return SpeedRecipe("lightning", label, "Euler", "SGM Uniform", steps, 1.0, note=note)


def _tcd(facts: _Facts) -> SpeedRecipe:
    """Zheng et al. 2024 (arXiv:2402.19159). Without its noise (gamma 0) the sampler is DDIM on trailing steps."""
    note = "Any number of steps from 2 to 50; more steps, more detail."
    return SpeedRecipe("tcd", "TCD", "DDIM", "SGM Uniform", facts.steps or 4, 1.0, eta=0.0, note=note)


def _lcm(facts: _Facts) -> SpeedRecipe:
    """Luo et al. 2023 (arXiv:2311.05556)."""
    note = "4 to 8 steps, guidance from 1 to 2."
    return SpeedRecipe("lcm", "LCM", "LCM", "SGM Uniform", facts.steps or 6, 1.5, note=note)


def _turbo(facts: _Facts) -> SpeedRecipe:
    """Sauer et al. 2023 (arXiv:2311.17042) itself, and merges with it."""
    if OWN_TURBO.search(facts.text) or not facts.checkpoint:
        note = "1 to 4 steps; 512×512 is its size."
        return SpeedRecipe("turbo", "Turbo", "Euler a", "SGM Uniform", facts.steps or 4, 1.0, note=note)
    note = "A merge: 4 to 8 steps and guidance from 1 to 3, as its page says."
    return SpeedRecipe("turbo", "Turbo", "DPM++ SDE", "Karras", facts.steps or 7, 2.0, note=note)


OWN_TURBO = re.compile(r"(?<![a-z])(sd|sdxl|sd[-_ ]xl)[-_ ]turbo")
_KINDS: tuple[tuple[re.Pattern[str], bool, Recipe], ...] = tuple(  # how it is named; whether the name is enough
    (re.compile(pattern), plain, recipe)
    for pattern, plain, recipe in (
        (r"(?<![a-z])dmd[-_ ]?2(?!\d)", True, _dmd2),
        (r"(?<![a-z])pcm(?![a-z])|phased[-_ ]?consistency", True, _pcm),
        (r"(?<![a-z])hyper[-_ ]?sd(xl)?(?![a-z])", True, _hyper),
        (r"(?<![a-z])tcd(?![a-z])", True, _tcd),
        (r"sd[-_ ]?xl[-_ ]lightning|lightning[-_ ]sdxl", True, _lightning),
        (r"(?<![a-z])lcm(?![a-z])|latent[-_ ]?consistency", True, _lcm),
        (r"(?<![a-z])(sd|sdxl|sd[-_ ]xl)[-_ ]turbo", True, _turbo),
        (r"lightning", False, _lightning),
        (r"turbo", False, _turbo),
        (r"hyper(?![a-z])", False, _hyper),
    )
)
