"""Everything about a job that can be known before any tensor work, in milliseconds. A wrong name fails here."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from webui.engine.adapters import AdapterUse, adapter_uses, idle_adapters, misplaced_adapters
from webui.engine.aesthetic import aesthetic_use
from webui.engine.catalogue import Catalogue, CheckpointFile, conflicting_hash
from webui.engine.embeddings import EmbeddingUse, embedding_uses
from webui.engine.enlarge import check_upscaler
from webui.engine.extensions import DIRECTIVES, Extensions
from webui.engine.hooks import HookChain, begin_job
from webui.engine.memory import GIBIBYTE, MemoryEstimate, available_memory, estimate
from webui.engine.passes import Base, PassPlan, resolve_pass
from webui.engine.prompts import PromptSpan, carry_out_directives, negative_spans, positive_spans, texts_of
from webui.engine.vae import AUTOMATIC, check_vae, resolve_vae
from webui.extend import PromptText
from webui.request import SEED_MAXIMUM, GenerationRequest, Pass, check, replace
from webui.text.styles import apply_styles

if TYPE_CHECKING:
    from webui.families.base import ModelFacts


@dataclass(frozen=True)
class PicturePlan:
    """One picture: its own seeds, and for every pass what it is told when."""

    index: int
    seed: int
    variation_seed: int
    positive: tuple[tuple[PromptSpan, ...], ...]
    negative: tuple[tuple[PromptSpan, ...], ...]
    pass_adapters: tuple[tuple[AdapterUse, ...], ...] = ()
    pass_embeddings: tuple[tuple[EmbeddingUse, ...], ...] = ()
    refiner_embeddings: tuple[tuple[EmbeddingUse, ...], ...] = ()  # for the refiner of each pass

    @property
    def adapters(self) -> tuple[AdapterUse, ...]:
        """All adapters of all passes."""
        return tuple(dict.fromkeys(use for uses in self.pass_adapters for use in uses))

    @property
    def embeddings(self) -> tuple[EmbeddingUse, ...]:
        """All embeddings of all passes."""
        every = (*self.pass_embeddings, *self.refiner_embeddings)
        return tuple(dict.fromkeys(use for uses in every for use in uses))


@dataclass(frozen=True)
class Plan:
    """A job with nothing left open. It is run once: the hooks in it are fresh."""

    request: GenerationRequest  # resolved: seeds drawn, names in full, sizes rounded, styles worked into the prompts
    asked: GenerationRequest  # as it came
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
    asked, request = request, _with_styles(request, catalogue)
    extensions = extensions or Extensions()
    checkpoint = catalogue.find(request.checkpoint)
    options = extensions.check(request.extensions)
    vae = resolve_vae(request.vae, checkpoint, catalogue)
    facts = catalogue.facts(checkpoint)
    warnings = [*_name_warnings(request, checkpoint), *check_vae(vae, checkpoint, facts, catalogue)]
    base = Base(checkpoint, vae, facts)

    def find(name: str) -> Base:
        return _other_base(name, request.vae, base, catalogue)

    passes = tuple(resolve_pass(step, base, find, index, warnings) for index, step in enumerate(request.passes))
    for step in request.passes:
        if step.source != "noise":
            check_upscaler(step.upscaler, catalogue.library.paths)
    for used in (each for step in passes for each in step.bases):
        aesthetic_use(request.aesthetic, catalogue, used.checkpoint, used.facts)
    seed = draw_seed() if request.seed < 0 else request.seed
    request = replace(
        request,
        checkpoint=checkpoint.title,
        seed=seed,
        variation_seed=draw_seed() if request.variation_seed < 0 else request.variation_seed,
        passes=tuple(step.settings for step in passes),
    )
    hooks = HookChain(begin_job(list(extensions), options))
    words = _words(request)
    size = request.batch_size
    pictures = [
        _picture(request, words, passes, hooks, index, warnings, catalogue) for index in range(request.count * size)
    ]
    needs = _memory(checkpoint, passes, size)
    return Plan(
        request=request,
        asked=asked,
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


def _with_styles(request: GenerationRequest, catalogue: Catalogue) -> GenerationRequest:
    """The same without styles: their words stand in the prompts, so that a picture's infotext outlives its styles."""
    if not request.styles:
        return request
    known = catalogue.styles()

    def styled(owner: GenerationRequest | Pass) -> dict[str, Any]:
        pair = apply_styles(owner.prompt or "", owner.negative_prompt or "", request.styles, known)
        words = {"prompt": pair[0], "negative_prompt": pair[1]}
        return {field: text for field, text in words.items() if getattr(owner, field) is not None}

    passes = tuple(dataclasses.replace(step, **styled(step)) for step in request.passes)
    return replace(request, styles=(), passes=passes, **styled(request))


def _words(request: GenerationRequest) -> list[tuple[str, str]]:
    """Prompt and negative prompt of each pass."""
    return [
        (
            request.prompt if step.prompt is None else step.prompt,
            request.negative_prompt if step.negative_prompt is None else step.negative_prompt,
        )
        for step in request.passes
    ]


def _picture(
    request: GenerationRequest,
    words: Sequence[tuple[str, str]],
    passes: Sequence[PassPlan],
    hooks: HookChain,
    index: int,
    warnings: list[str],
    catalogue: Catalogue,
) -> PicturePlan:
    # A1111: with a variation all pictures share the seed and differ in the variation seed.
    seed = request.seed + (0 if request.variation_strength else index)
    told = {pair: _told(PromptText(*pair, seed, index), hooks, warnings, catalogue) for pair in dict.fromkeys(words)}
    positive, negative, embeddings, refiners = [], [], [], []
    first = passes[0].settings.steps * passes[0].evaluations_per_step
    for number, (step, pair) in enumerate(zip(passes, words, strict=True)):
        prompt, adapters = told[pair]
        warnings.extend(idle_adapters(adapters, step.steps))
        steps = step.settings.steps * step.evaluations_per_step
        counts = (first, steps) if number else (steps, None)
        positive.append(positive_spans(prompt.positive, *counts))
        negative.append(negative_spans(prompt.negative, *counts))
        texts = list(texts_of(positive[-1], negative[-1]))
        uses, notes = embedding_uses(texts, request.emphasis, catalogue, step.base.facts, adapters)
        embeddings.append(uses)
        warnings.extend(notes)
        if step.refiner is not None:
            uses, notes = embedding_uses(texts, request.emphasis, catalogue, step.refiner.base.facts)
            warnings.extend(notes)
        refiners.append(uses if step.refiner is not None else ())
    return PicturePlan(
        index,
        seed,
        request.variation_seed + index,
        tuple(positive),
        tuple(negative),
        tuple(told[pair][1] for pair in words),
        tuple(embeddings),
        tuple(refiners),
    )


def _told(
    prompt: PromptText, hooks: HookChain, warnings: list[str], catalogue: Catalogue
) -> tuple[PromptText, tuple[AdapterUse, ...]]:
    """The words as hooks and directives leave them, and the adapters that they name."""
    prompt = hooks.edit_prompt(prompt)
    warnings.extend(misplaced_adapters(prompt.negative))
    prompt, unknown = carry_out_directives(prompt, DIRECTIVES)
    adapters, unknown = adapter_uses(unknown, catalogue)
    warnings.extend(f"{found.source} was left out: nothing here knows what it means." for found in unknown)
    return prompt, adapters


def picture_request(
    plan: Plan, picture: PicturePlan, named: Callable[[CheckpointFile], str] = lambda file: file.stem
) -> GenerationRequest:
    """The request that makes this one picture again: what its infotext says.

    `named` is how further checkpoints are called: A1111 writes their hashes behind the names.
    """
    shared = all(base.vae == plan.vae for step in plan.passes for base in step.bases)  # else each has its Automatic one
    return replace(
        plan.request,
        checkpoint=plan.checkpoint.stem,
        vae=plan.vae.stem if plan.vae and shared else plan.request.vae,
        seed=picture.seed,
        variation_seed=picture.variation_seed,
        batch_size=1,
        count=1,
        save=True,
        passes=tuple(_named_pass(step, named) for step in plan.passes),
    )


def _named_pass(step: PassPlan, named: Callable[[CheckpointFile], str]) -> Pass:
    settings = step.settings
    if settings.checkpoint:
        settings = dataclasses.replace(settings, checkpoint=named(step.base.checkpoint))
    if settings.refiner and step.refiner:
        refiner = dataclasses.replace(settings.refiner, checkpoint=named(step.refiner.base.checkpoint))
        settings = dataclasses.replace(settings, refiner=refiner)
    return settings


def _other_base(name: str, vae: str, base: Base, catalogue: Catalogue) -> Base:
    """The checkpoint of a later pass or a refiner, with the request's VAE where that fits its latents."""
    checkpoint = catalogue.find(name)
    facts = catalogue.facts(checkpoint)
    fits = facts.latents.matches(base.facts.latents)
    file = resolve_vae(vae if fits else AUTOMATIC, checkpoint, catalogue)
    check_vae(file, checkpoint, facts, catalogue)
    return Base(checkpoint, file, facts)


def _name_warnings(request: GenerationRequest, checkpoint: CheckpointFile) -> list[str]:
    other = conflicting_hash(request.checkpoint, checkpoint)
    if not other:
        return []
    return [f"{checkpoint.name} is not the file with hash {other} that was asked for; the picture may differ."]


def _memory(checkpoint: CheckpointFile, passes: Sequence[PassPlan], batch_size: int) -> MemoryEstimate:
    tokens = max(math.prod(step.seen_size) // step.base.facts.factor**2 for step in passes)
    pixels = max(step.settings.width * step.settings.height for step in passes)
    return estimate(checkpoint.size, tokens, pixels, 2 * batch_size)


def _memory_warnings(needs: MemoryEstimate) -> list[str]:
    free = available_memory()
    if free is None or needs.peak <= free:
        return []
    return [
        f"This may need about {needs.peak / GIBIBYTE:.1f} GiB of memory and {free / GIBIBYTE:.1f} GiB are free. "
        "A smaller size or batch needs less."
    ]
