"""Everything about a job that can be known before any tensor work, in milliseconds. A wrong name fails here."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from webui.engine.adapters import AdapterUse, adapter_uses, misplaced_adapters
from webui.engine.catalogue import Catalogue, CheckpointFile, conflicting_hash
from webui.engine.embeddings import EmbeddingUse, embedding_uses
from webui.engine.extensions import DIRECTIVES, Extensions
from webui.engine.hooks import HookChain, begin_job
from webui.engine.memory import GIBIBYTE, MemoryEstimate, available_memory, estimate
from webui.engine.prompts import PromptSpan, carry_out_directives, negative_spans, positive_spans, texts_of
from webui.engine.vae import check_vae, resolve_vae
from webui.errors import InvalidRequest
from webui.extend import PromptText
from webui.request import SEED_MAXIMUM, GenerationRequest, Pass, check, replace
from webui.text.styles import apply_styles

if TYPE_CHECKING:
    from webui.families.base import ModelFacts

BUILT_IN = ("None", "none", "built in")  # names that mean the VAE inside the checkpoint
LARGEST_STRENGTH = 0.999  # of img2img: one whole step must remain


@dataclass(frozen=True)
class PassPlan:
    """One denoising run, resolved. `sigmas` are those that are run, one more than the steps, ending in 0."""

    settings: Pass
    latent_shape: tuple[int, int, int]  # channels, height, width
    sigmas: tuple[float, ...]
    evaluations_per_step: int
    one_at_a_time: bool = False  # the sampler chooses its steps by what it sees: pictures must not share a batch

    @property
    def steps(self) -> int:
        """Steps that are really run."""
        return len(self.sigmas) - 1


@dataclass(frozen=True)
class PicturePlan:
    """One picture: its own seeds, and for every pass what it is told when."""

    index: int
    seed: int
    variation_seed: int
    positive: tuple[tuple[PromptSpan, ...], ...]
    negative: tuple[tuple[PromptSpan, ...], ...]
    adapters: tuple[AdapterUse, ...] = ()
    embeddings: tuple[EmbeddingUse, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A job with nothing left open. It is run once: the hooks in it are fresh."""

    request: GenerationRequest  # resolved: seeds drawn, names in full, sizes rounded
    checkpoint: CheckpointFile
    vae: CheckpointFile | None  # None: the one inside the checkpoint
    facts: ModelFacts
    passes: tuple[PassPlan, ...]
    batches: tuple[tuple[PicturePlan, ...], ...]
    warnings: tuple[str, ...]
    hooks: HookChain
    memory: MemoryEstimate
    made: datetime

    @property
    def pictures(self) -> tuple[PicturePlan, ...]:
        """All pictures of the job in order."""
        return tuple(picture for batch in self.batches for picture in batch)


def make_plan(
    request: GenerationRequest,
    catalogue: Catalogue,
    extensions: Extensions | None = None,
    draw_seed: Callable[[], int] = lambda: random.randrange(SEED_MAXIMUM),
) -> Plan:
    """Resolve a request. Reads the checkpoint's header at most, never a tensor.

    Raises InvalidRequest, NotFound (a checkpoint, VAE or adapter), UnknownModel or DamagedFile (no family loads it),
    ExtensionError (a hook failed on the prompt).
    """
    check(request)
    extensions = extensions or Extensions()
    checkpoint = catalogue.find(request.checkpoint)
    options = extensions.check(request.extensions)
    vae = resolve_vae(request.vae, checkpoint, catalogue)
    facts = catalogue.facts(checkpoint)
    warnings = [*_name_warnings(request, checkpoint), *check_vae(vae, checkpoint, facts, catalogue)]
    passes = tuple(_resolve_pass(step, facts, index, warnings) for index, step in enumerate(request.passes))
    seed = draw_seed() if request.seed < 0 else request.seed
    request = replace(
        request,
        checkpoint=checkpoint.title,
        seed=seed,
        variation_seed=draw_seed() if request.variation_seed < 0 else request.variation_seed,
        passes=tuple(step.settings for step in passes),
    )
    hooks = HookChain(begin_job(list(extensions), options))
    words = request.prompt, request.negative_prompt
    if request.styles:
        words = apply_styles(*words, request.styles, catalogue.styles())
    size = request.batch_size
    pictures = [
        _picture(request, words, passes, hooks, index, warnings, catalogue, facts)
        for index in range(request.count * size)
    ]
    needs = _memory(checkpoint, passes, size)
    return Plan(
        request=request,
        checkpoint=checkpoint,
        vae=vae,
        facts=facts,
        passes=passes,
        batches=tuple(tuple(pictures[i : i + size]) for i in range(0, len(pictures), size)),
        warnings=tuple(dict.fromkeys([*warnings, *_memory_warnings(needs)])),
        hooks=hooks,
        memory=needs,
        made=datetime.now().astimezone(),
    )


def _resolve_pass(step: Pass, facts: ModelFacts, index: int, warnings: list[str]) -> PassPlan:
    from webui.diffusion.samplers import SAMPLERS, resolve_names

    if step.source == "previous" and index == 0:
        raise InvalidRequest("The first pass starts from the previous one.", "It must start from noise or an image.")
    if step.source == "image" and not step.image:
        raise InvalidRequest(f"Pass {index + 1} starts from an image, but there is none.", "Give one in `image`.")
    if step.mask:
        raise InvalidRequest("The request has a mask.", "Inpainting is not in this version.", "Leave the mask out.")
    sampler, schedule = resolve_names(step.sampler, step.schedule)
    width, height = (_rounded(side, facts.factor) for side in (step.width, step.height))
    if (width, height) != (step.width, step.height):
        warnings.append(f"The size was rounded to {width}×{height}: multiples of {facts.factor} are possible.")
    if index == 0:
        warnings.extend(_size_warnings(width, height, facts))
    settings = dataclasses.replace(step, sampler=sampler, schedule=schedule, width=width, height=height)
    sigmas = _sigmas(settings, facts)
    shape = (facts.latent_channels, height // facts.factor, width // facts.factor)
    known = SAMPLERS.find(sampler).facts
    evaluations = int(known.get("evaluations_per_step", 1))
    return PassPlan(settings, shape, tuple(sigmas), evaluations, bool(known.get("one_at_a_time")))


def _rounded(side: int, factor: int) -> int:
    return max(factor, int(side / factor + 0.5) * factor)


def _sigmas(step: Pass, facts: ModelFacts) -> Sequence[float]:
    """The sigmas that are run: for an image `steps · strength` of them, in a later pass all of its `steps` (A1111)."""
    from webui.diffusion.schedules import sigmas_for

    law = facts.law(step.width, step.height)
    strength = min(step.denoising_strength, LARGEST_STRENGTH)
    if step.source == "noise":
        return sigmas_for(step.sampler, step.schedule, step.steps, law, step.options)
    if strength <= 0:
        return (0.0,)
    if step.source == "image":
        total, run = step.steps, int(strength * step.steps) + 1
    else:
        total, run = int(step.steps / strength), step.steps
    sigmas = sigmas_for(step.sampler, step.schedule, max(total, run), law, step.options)
    return sigmas[max(0, len(sigmas) - 1 - run) :]


def _picture(
    request: GenerationRequest,
    words: tuple[str, str],
    passes: Sequence[PassPlan],
    hooks: HookChain,
    index: int,
    warnings: list[str],
    catalogue: Catalogue,
    facts: ModelFacts,
) -> PicturePlan:
    # A1111: with a variation all pictures share the seed and differ in the variation seed.
    seed = request.seed + (0 if request.variation_strength else index)
    prompt = hooks.edit_prompt(PromptText(*words, seed, index))
    warnings.extend(misplaced_adapters(prompt.negative))
    prompt, unknown = carry_out_directives(prompt, DIRECTIVES)
    adapters, unknown = adapter_uses(unknown, catalogue)
    warnings.extend(f"{found.source} was left out: nothing here knows what it means." for found in unknown)
    positive, negative = [], []
    first = passes[0].settings.steps * passes[0].evaluations_per_step
    for number, step in enumerate(passes):
        steps = step.settings.steps * step.evaluations_per_step
        counts = (first, steps) if number else (steps, None)
        positive.append(positive_spans(prompt.positive, *counts))
        negative.append(negative_spans(prompt.negative, *counts))
    texts = list(texts_of(*positive, *negative))
    embeddings, notes = embedding_uses(texts, request.emphasis, catalogue, facts, adapters)
    warnings.extend(notes)
    seeds = seed, request.variation_seed + index
    return PicturePlan(index, *seeds, tuple(positive), tuple(negative), adapters, embeddings)


def picture_request(plan: Plan, picture: PicturePlan) -> GenerationRequest:
    """The request that makes this one picture again: what its infotext says."""
    return replace(
        plan.request,
        checkpoint=plan.checkpoint.stem,
        vae=plan.vae.stem if plan.vae else plan.request.vae,
        seed=picture.seed,
        variation_seed=picture.variation_seed,
        batch_size=1,
        count=1,
        save=True,
    )


def _name_warnings(request: GenerationRequest, checkpoint: CheckpointFile) -> list[str]:
    other = conflicting_hash(request.checkpoint, checkpoint)
    if not other:
        return []
    return [f"{checkpoint.name} is not the file with hash {other} that was asked for; the picture may differ."]


def _size_warnings(width: int, height: int, facts: Any) -> list[str]:
    native = facts.native_size
    ratio = math.sqrt(width * height) / native
    if ratio < 0.7:
        return [f"{width}×{height} is small for {facts.label}, which draws best near {native}×{native}."]
    if ratio > 1.5:
        return [
            f"{width}×{height} is large for {facts.label}, which draws best near {native}×{native}: things may double. "
            "Make a smaller picture and enlarge it afterwards."
        ]
    return []


def _memory(checkpoint: CheckpointFile, passes: Sequence[PassPlan], batch_size: int) -> MemoryEstimate:
    largest = max(passes, key=lambda step: step.latent_shape[1] * step.latent_shape[2])
    tokens = largest.latent_shape[1] * largest.latent_shape[2]
    rows = 2 * batch_size
    return estimate(checkpoint.size, tokens, largest.settings.width * largest.settings.height, rows)


def _memory_warnings(needs: MemoryEstimate) -> list[str]:
    free = available_memory()
    if free is None or needs.peak <= free:
        return []
    return [
        f"This may need about {needs.peak / GIBIBYTE:.1f} GiB of memory and {free / GIBIBYTE:.1f} GiB are free. "
        "A smaller size or batch needs less."
    ]
