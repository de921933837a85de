"""From the graph of a workflow to a request: the sampler of the output, those before it, and a pass for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from webui.diffusion.samplers import SAMPLERS
from webui.errors import DamagedFile
from webui.exchange.comfyui.conditions import Condition, joined, walk_conditions
from webui.exchange.comfyui.graph import PASS_THROUGH, Graph, Link, Node
from webui.exchange.comfyui.latents import Origin, walk_latents, walk_picture
from webui.exchange.comfyui.models import (
    ModelChain,
    TextChain,
    adapter_directives,
    vae_name,
    walk_model,
    walk_text_encoder,
)
from webui.exchange.comfyui.samplers import LAST, Sampling, is_sampling, read_sampling
from webui.exchange.comfyui.walk import Walk
from webui.exchange.documents import as_integer, as_number
from webui.exchange.programs import COMFY_WEIGHTS
from webui.exchange.reading import Draft, Reading, Untranslated
from webui.exchange.weights import is_weighted
from webui.request import Inpaint, Pass, Refiner

_OUTPUTS = ("SaveImage", "SaveImageWebsocket", "SaveAnimatedWEBP", "SaveAnimatedPNG", "Image Save", "PreviewImage")
_SILENT = ("Note", "MarkdownNote", "PreviewImage", "SaveImage", *PASS_THROUGH)
_LOOKED_AT = 100_000  # nodes before all outputs together, about
_STAGES = 20  # samplers in a row; those before are listed
_NOISE = "The first picture starts from the same noise here. Noise drawn later, and a batch's other pictures, differ."
_PIXELS = "The picture is not in the workflow; choose it."


def translate(graph: Graph, size: tuple[int, int] | None = None) -> Reading:
    """The request of a workflow. `size` is that of the finished picture, for workflows that do not tell it.

    Raises DamagedFile where nothing in it samples.
    """
    walk = Walk(graph)
    output, last, decoder, behind = _output(walk)
    stages = _stages(walk, last)
    models = [walk_model(walk, sampling.model) for sampling, _ in stages]
    draft = Draft(left_out=walk.left_out)
    texts = [_texts(walk, sampling, model, draft) for (sampling, _), model in zip(stages, models, strict=True)]
    draft.put("prompt", texts[0][0])
    draft.put("negative_prompt", texts[0][1])
    draft.put("checkpoint", next((model.checkpoint for model in models if model.checkpoint), None))
    draft.put("vae", vae_name(walk, walk.graph.source(decoder or last, "vae", "optional_vae")))
    if any(is_weighted(text) for pair in texts for text in pair):
        draft.put("emphasis", "No norm")
        draft.leave_out("emphasis", "No norm", COMFY_WEIGHTS)
    passes = _passes(walk, stages, models, texts, draft, None if behind else size)
    for node in behind:
        walk.note(node, "It works on the finished picture; see Extras.")
    for node in (*graph.before(output).values(), *(node for node in graph.nodes.values() if is_sampling(node))):
        if node.id not in walk.used and node.type not in _SILENT:
            walk.note(node, "It has no part in what was translated.")
    draft.left_out.append(Untranslated("noise", "CPU", _NOISE))
    reading = draft.finish()
    return dataclasses.replace(reading, request=dataclasses.replace(reading.request, passes=passes))


def _output(walk: Walk) -> tuple[Node, Node, Node | None, list[Node]]:
    """The output that is translated: the saved picture with the most nodes before it. Its node, its last sampler, the
    decoder, and the nodes between."""
    graph = walk.graph
    found: list[tuple[bool, int, str, tuple[Node, Node, Node | None, list[Node]]]] = []
    limit = 3 + _LOOKED_AT // len(graph.nodes) if graph.nodes else 0
    fed = {link.node for node in graph.nodes.values() for _, link in graph.links(node)}
    for node in graph.nodes.values():
        if (node.type not in _OUTPUTS and node.id in fed) or len(found) == limit:
            continue
        links = [link for name, link in graph.links(node) if name in ("images", "image")]
        sampler, decoder, behind = walk_picture(walk, links[0]) if links else (None, None, [])
        if sampler is not None:
            saves = node.type != "PreviewImage"
            found.append((saves, len(graph.before(node)), node.id, (node, sampler, decoder, behind)))
    if found:
        chosen = max(found, key=lambda entry: entry[:3])[3]
        walk.use(chosen[0])
        return chosen
    samplers = [node for node in graph.nodes.values() if is_sampling(node)]
    last = max(samplers[-limit:], key=lambda node: (len(graph.before(node)), node.id), default=None)
    if last is None:
        raise DamagedFile("Nothing in this workflow makes a picture.", "A workflow with a sampler was wanted.")
    decoder = next((node for node in graph.nodes.values() if _feeds(node, "samples", last)), None)
    return last, last, decoder, []


def _feeds(node: Node, name: str, source: Node) -> bool:
    value = node.inputs.get(name)
    return isinstance(value, Link) and value.node == source.id and "vae" in node.inputs


def _stages(walk: Walk, last: Node) -> list[tuple[Sampling, Origin]]:
    """All samplers from the first to the last with what they start from."""
    stages: list[tuple[Sampling, Origin]] = []
    node: Node | None = last
    for _ in range(_STAGES):
        sampling = read_sampling(walk, node) if node else None
        if sampling is None or any(sampling.node.id == other.node.id for other, _ in stages):
            if node is not None and sampling is None:
                walk.note(node, "This sampler is not known here.")
            break
        origin = walk_latents(walk, sampling.latent)
        stages.insert(0, (sampling, origin))
        node = origin.sampler
    if not stages:
        raise DamagedFile("The sampler of this workflow is not known here.", "KSampler or the like was wanted.")
    return stages


def _texts(walk: Walk, sampling: Sampling, model: ModelChain, draft: Draft) -> tuple[str, str]:
    """Prompt, with adapters, and negative prompt of one sampler. The text encoder is that of the positive one."""
    positive = walk_conditions(walk, sampling.positive)
    negative = walk_conditions(walk, sampling.negative, negative=True)
    encoder = next((part.encoder for part in positive if part.encoder is not None), None)
    chain = walk_text_encoder(walk, encoder)
    _walk_others(walk, [*positive, *negative], chain)
    if chain.clip_skip > 1:
        draft.put("clip_skip", chain.clip_skip)
    words = adapter_directives(model, chain)
    prompt = joined(walk, sampling.node, positive)
    return f"{prompt} {words}".strip() if words else prompt, joined(walk, sampling.node, negative, negative=True)


def _walk_others(walk: Walk, conditions: Sequence[Condition], chain: TextChain) -> None:
    for encoder in {part.encoder.id: part.encoder for part in conditions if part.encoder}.values():
        if walk_text_encoder(walk, encoder) != chain:
            walk.note(encoder, "Only one of the prompts is encoded with it; here both are encoded alike.", ())


def _passes(
    walk: Walk,
    stages: Sequence[tuple[Sampling, Origin]],
    models: Sequence[ModelChain],
    texts: Sequence[tuple[str, str]],
    draft: Draft,
    size: tuple[int, int] | None,
) -> tuple[Pass, ...]:
    """A pass for each stage; one that takes over the noise of the stage before it becomes that one's refiner."""
    passes: list[Pass] = []
    width: int | None = None
    height: int | None = None
    previous: Sampling | None = None
    draft.put("seed", stages[0][0].seed)
    draft.put("batch_size", stages[0][1].batch_size)
    for number, ((sampling, origin), model) in enumerate(zip(stages, models, strict=True)):
        width, height = origin.size(origin.width or sampling.width or width, origin.height or sampling.height or height)
        if previous is not None and _takes_over(previous, sampling, origin):
            passes[-1] = _refined(walk, passes[-1], previous, sampling, model.checkpoint, models[number - 1])
            previous = sampling
            continue
        if previous is not None and as_integer(sampling.seed) not in (None, as_integer(previous.seed)):
            walk.note(sampling.node, "All passes have one seed here.", ("seed", "noise_seed"))
        if not width or not height:
            # the finished picture's size is this pass's where nothing enlarges it any more
            trusted = size if not any(later.resizes for _, later in stages[number + 1 :]) else None
            width, height = trusted or (None, None)
            if trusted is None:
                draft.leave_out("size", "", "The workflow does not tell the size; 512×512 stands.")
        step = _pass(walk, sampling, origin, model, (width, height))
        if number and texts[number] != texts[0]:
            step = dataclasses.replace(step, prompt=texts[number][0], negative_prompt=texts[number][1])
        if number and model.checkpoint != models[0].checkpoint:
            step = dataclasses.replace(step, checkpoint=model.checkpoint)
        passes.append(step)
        previous = sampling
    if previous is not None and previous.end < (as_integer(previous.steps) or 0):
        walk.note(previous.node, "It stops before the end.", ("end_at_step",))
    return tuple(passes)


def _pass(
    walk: Walk, sampling: Sampling, origin: Origin, model: ModelChain, size: tuple[int | None, int | None]
) -> Pass:
    draft = Draft(left_out=walk.left_out)
    name = f"{sampling.node.type} #{sampling.node.id}"
    for attribute, value in zip(("width", "height"), size, strict=True):
        draft.put(attribute, value, f"{name} {attribute}")
    draft.put("sampler", sampling.sampler, f"{name} sampler")
    draft.put("schedule", sampling.schedule, f"{name} scheduler")
    if draft.get("schedule") is None:
        draft.put("schedule", "normal")
    draft.put("rescale", model.rescale or None)
    facts = SAMPLERS.find(draft.get("sampler", "Euler a")).facts
    scale = as_number(sampling.scale)
    if scale is not None:  # samplers of the CFG++ kind are given the mixing weight itself there
        draft.put("scale", round(scale / facts.get("guidance_multiplier", 1.0), 6), f"{name} cfg")
    if sampling.discards != facts.get("discard_penultimate", False):
        draft.values["options"]["discard_penultimate"] = sampling.discards
    draft.values["options"] |= {key: value for key, value in sampling.options.items() if value >= 0}
    steps, strength = _strength(sampling)
    draft.put("steps", steps, f"{name} steps")
    source = "previous" if origin.sampler else "image" if origin.loader else "noise"
    if source == "noise" and strength < 1:
        walk.note(sampling.node, "It starts in the middle of a run, from nothing.", ("denoise", "start_at_step"))
    if source != "noise":
        draft.put("denoising_strength", strength, f"{name} denoise")
    step = dataclasses.replace(draft.first_pass(), source=source)
    if source == "previous":
        step = dataclasses.replace(step, upscaler=origin.upscaler or "Latent")
    if source == "image":
        step = _from_picture(walk, step, origin)
    if not sampling.adds_noise:
        step = dataclasses.replace(step, noise_multiplier=0.0)
        walk.note(sampling.node, "It adds no noise.", ("add_noise",))
    return step


def _from_picture(walk: Walk, step: Pass, origin: Origin) -> Pass:
    assert origin.loader is not None
    walk.note(origin.loader, _PIXELS, ("image",))
    # ComfyUI runs all steps whatever the strength; its mask is where the loaded picture is transparent, with hard edges
    inpaint = Inpaint(mask_blur=(0, 0), masked_content=origin.masked_content, from_alpha=True)
    return dataclasses.replace(
        step,
        exact_steps=True,
        resize_mode="crop" if origin.crop else "stretch",
        upscaler=origin.upscaler or step.upscaler,
        inpaint=inpaint if origin.masked else step.inpaint,
    )


def _strength(sampling: Sampling) -> tuple[int | None, float]:
    """Steps that are run, and the strength at which a pass of that many steps starts at the same noise level."""
    steps = as_integer(sampling.steps)
    if steps is None or not 1 <= steps <= LAST:
        return steps, min(max(sampling.denoise, 0.0), 1.0)
    run = min(sampling.end, steps) - sampling.start
    if sampling.end < steps and sampling.leaves_noise:  # the one that takes over runs the rest
        run = steps - sampling.start
    if sampling.start <= 0 or run < 1:
        return steps, min(max(sampling.denoise, 0.0), 1.0)
    strength = run / steps
    return run, strength if int(run / strength) == steps else run / (steps + 0.5)


def _takes_over(previous: Sampling, here: Sampling, origin: Origin) -> bool:
    """Whether a sampler goes on exactly where the one before it stopped."""
    same_run = as_integer(previous.steps) == as_integer(here.steps) and previous.end == here.start
    return previous.leaves_noise and not here.adds_noise and same_run and not origin.resizes


def _refined(
    walk: Walk, step: Pass, previous: Sampling, here: Sampling, checkpoint: str | None, before: ModelChain
) -> Pass:
    """The pass with what takes over as its refiner. One checkpoint in two samplers is simply one run."""
    steps = as_integer(here.steps) or 1
    differing = [
        name
        for name, one, other in (
            ("cfg", as_number(previous.scale), as_number(here.scale)),
            ("sampler_name", previous.sampler, here.sampler),
            ("scheduler", previous.schedule, here.schedule),
        )
        if one != other
    ]
    if differing:
        walk.note(here.node, "What takes over within a pass has the same settings here.", differing)
    if checkpoint is None or checkpoint == before.checkpoint:
        return step
    return dataclasses.replace(step, refiner=Refiner(checkpoint, min(max(here.start / steps, 0.0), 1.0), by_steps=True))
