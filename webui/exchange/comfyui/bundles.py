"""Nodes of widely used collections that do the work of several: each is replaced by the nodes that it stands for.

Sources: the nodes' own declarations in efficiency-nodes, Comfyroll and Easy-Use. Their pipes carry network, prompts,
latents and VAE in one link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from webui.exchange.comfyui.graph import Graph, Link, Node
from webui.exchange.documents import as_integer

_LOADERS = ("Efficient Loader", "easy fullLoader", "easy a1111Loader", "easy comfyLoader")
_PIPES = ("easy preSampling", "easy kSampler", "easy fullkSampler")
_APPLIES = ("CR Apply LoRA Stack",)
_STACKS = ("CR LoRA Stack", "LoRA Stacker")
_SAMPLING = ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")
_TEXTS = ("positive", "negative")
_RESOLUTION = re.compile(r"(?P<width>[0-9]{2,5}) x (?P<height>[0-9]{2,5})")
_MOST, _ROWS, _DEPTH = 1_000, 50, 50  # nodes that are replaced; LoRAs of a stack; stacks or pipes in a row

Pipe = Mapping[str, Any]  # model, positive, negative, latent, vae, clip: links; and what a sampler is told


@dataclass
class _Made:
    """What takes the place of nodes: further nodes, and for outputs of the former the links that stand for them."""

    graph: Graph
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: dict[tuple[str, int], Link] = field(default_factory=dict)
    pipes: dict[str, Pipe] = field(default_factory=dict)

    def node(self, owner: Node, name: str, kind: str, **inputs: Any) -> Node:
        """A node in the place of `owner`."""
        made = Node(f"{owner.id}.{name}", kind, inputs, owner.title)
        self.nodes[made.id] = made
        return made


def unbundled(graph: Graph) -> Graph:
    """The graph with such nodes replaced; the graph itself where there are none."""
    bundles = [
        node
        for node in graph.nodes.values()
        if node.type in (*_LOADERS, *_PIPES)
        or (node.type in _APPLIES and _is_stack(graph, node.inputs.get("lora_stack")))
    ][:_MOST]
    if not bundles:
        return graph
    made = _Made(graph)
    for node in bundles:
        if node.type in _APPLIES:
            model, clip = _with_loras(made, node, node.inputs.get("model"), node.inputs.get("clip"))
            _stand_for(made, node, {0: model, 1: clip})
        else:
            _pipe(made, node.id)
    gone = {node.id for node in bundles}
    kept = {id: node for id, node in graph.nodes.items() if id not in gone}
    return Graph({id: _relinked(made, node) for id, node in {**kept, **made.nodes}.items()})


def _stand_for(made: _Made, node: Node, outputs: Mapping[int, Any]) -> None:
    made.outputs |= {(node.id, slot): link for slot, link in outputs.items() if isinstance(link, Link)}


def _relinked(made: _Made, node: Node) -> Node:
    inputs = dict(node.inputs)
    for name, value in inputs.items():
        for _ in range(_DEPTH):  # what stands for an output may be the output of another such node
            if not isinstance(value, Link) or (value.node, value.slot) not in made.outputs:
                break
            value = made.outputs[value.node, value.slot]
        inputs[name] = value
    return replace(node, inputs=inputs)


def _pipe(made: _Made, id: str, depth: int = 0) -> Pipe:
    """What leaves a loader or sampler through its pipe; its other outputs are told as well."""
    node = made.graph.nodes.get(id)
    if node is None or depth > _DEPTH or node.type not in (*_LOADERS, *_PIPES):
        return {}
    if id in made.pipes:
        return made.pipes[id]
    made.pipes[id] = {}  # a circle ends here
    if node.type in _LOADERS:
        pipe = _loaded(made, node)
    else:
        source = made.graph.origin(node.inputs.get("pipe"))
        before = _pipe(made, source.id, depth + 1) if source else {}
        own = {name: node.inputs[name] for name in (*_SAMPLING, "latent", "model") if node.inputs.get(name) is not None}
        pipe = {**before, **own}
        if node.type != "easy preSampling":
            pipe = _sampled(made, node, pipe)
    made.pipes[id] = pipe
    return pipe


def _loaded(made: _Made, node: Node) -> Pipe:
    given = node.inputs
    stacks = {name: value for name, value in given.items() if name.endswith("stack")}
    unknown = {name: value for name, value in stacks.items() if not _is_stack(made.graph, value)}
    checkpoint = made.node(node, "checkpoint", "CheckpointLoaderSimple", **unknown, ckpt_name=given.get("ckpt_name"))
    model, clip = _with_loras(made, node, Link(checkpoint.id, 0), Link(checkpoint.id, 1))
    last = made.node(node, "skip", "CLIPSetLastLayer", clip=clip, stop_at_clip_layer=given.get("clip_skip", -1))
    clip, vae = Link(last.id, 0), Link(checkpoint.id, 2)
    if given.get("vae_name") not in (None, "", "None", "Baked VAE"):
        vae = Link(made.node(node, "vae", "VAELoader", vae_name=given["vae_name"]).id, 0)
    texts = [made.node(node, name, "CLIPTextEncode", text=given.get(name, ""), clip=clip) for name in _TEXTS]
    size = {name: given.get(f"empty_latent_{name}") for name in ("width", "height")}
    if chosen := _RESOLUTION.fullmatch(str(given.get("resolution"))):
        size = chosen.groupdict()
    latent = made.node(node, "latent", "EmptyLatentImage", **size, batch_size=given.get("batch_size", 1))
    pipe = {"model": model, "clip": clip, "vae": vae, "latent": Link(latent.id, 0)}
    pipe |= {name: Link(text.id, 0) for name, text in zip(_TEXTS, texts, strict=True)}
    order = ("model", "positive", "negative", "latent", "vae", "clip")
    _stand_for(made, node, dict(enumerate(pipe[name] for name in order)))
    if node.type != "Efficient Loader":
        _stand_for(made, node, {1: model, 2: vae, 3: clip})
    return pipe


def _sampled(made: _Made, node: Node, pipe: Pipe) -> Pipe:
    inputs = {name: pipe[name] for name in (*_SAMPLING, "model", "positive", "negative") if name in pipe}
    sampler = made.node(node, "sampler", "KSampler", **inputs, latent_image=pipe.get("latent"))
    latent = Link(sampler.id, 0)
    decoder = made.node(node, "decoder", "VAEDecode", samples=latent, vae=pipe.get("vae"))
    _stand_for(made, node, {1: Link(decoder.id, 0)})
    return {**pipe, "latent": latent}


def _with_loras(made: _Made, node: Node, model: Any, clip: Any) -> tuple[Any, Any]:
    """Network and text encoder behind the LoRAs of a loader: its own, then those of its stack."""
    given = node.inputs
    rows = [(given.get("lora_name"), given.get("lora_model_strength"), given.get("lora_clip_strength"))]
    stack = given.get("lora_stack", given.get("optional_lora_stack"))
    rows += _stacked(made.graph, stack)
    for number, (name, network, text) in enumerate(rows):
        if name not in (None, "", "None"):
            strengths = {"strength_model": network, "strength_clip": text}
            lora = made.node(node, f"lora{number}", "LoraLoader", model=model, clip=clip, lora_name=name, **strengths)
            model, clip = Link(lora.id, 0), Link(lora.id, 1)
    return model, clip


def _is_stack(graph: Graph, value: Any) -> bool:
    """Whether a stack is known here; those that are not stay where they are, to be listed."""
    source = graph.origin(value)
    return source is not None and source.type in _STACKS


def _stacked(graph: Graph, value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The LoRAs of a stack, and of the stacks before it: name, strength in the network, in the text encoder."""
    for _ in range(_DEPTH):
        node = graph.origin(value)
        if node is None or node.type not in _STACKS:
            return
        given = node.inputs
        count = as_integer(given.get("lora_count"))
        for row in range(1, min(_ROWS if count is None else count, _ROWS) + 1):
            if given.get(f"switch_{row}") == "Off":
                continue
            if given.get("input_mode") == "simple":
                network = text = given.get(f"lora_wt_{row}")
            else:
                network = given.get(f"model_weight_{row}", given.get(f"model_str_{row}"))
                text = given.get(f"clip_weight_{row}", given.get(f"clip_str_{row}"))
            yield given.get(f"lora_name_{row}"), network, text
        value = given.get("lora_stack")
