"""Where each layer name of an adapter file belongs in a network: a table of spellings, never a parser.

Trainers spell one layer in many ways, several of them ambiguous on their own (`_` stands for `.` and for itself). So
every spelling of every layer of the loaded networks is written down once, and a file's names are looked up. A further
family adds a layout: a function from its parameter names to (its own, other) spellings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webui.registry import Registry
from webui.weights.names import text_to_openclip, unet_to_diffusers

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One network that adapters may change: 0 is the denoising one, 1 and up are the text encoders in order.

    `kohya` and `diffusers` are the names that trainers give the part ("te1", "text_encoder"), for text encoders.
    """

    number: int
    layout: str  # "unet", "hf" or "openclip"
    shapes: Mapping[str, Shape]
    kohya: tuple[str, ...] = ()
    diffusers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A layer of a part: `weight` and `bias` are parameters, `rows` those of them that belong to the layer.

    `shape` is that of the layer's weight as the adapter sees it; a `transposed` weight lies the other way round.
    """

    part: int
    weight: str
    bias: str | None
    shape: Shape
    rows: tuple[int, int] | None = None
    transposed: bool = False


Spelt = Iterator[tuple[str, Target]]
LAYOUTS: Registry[Callable[[Part], Spelt]] = Registry("network layout")


def name_table(parts: Sequence[Part]) -> dict[str, Target]:
    """Every spelling of every layer of the parts. Where two layers share one, the earlier part has it."""
    table: dict[str, Target] = {}
    for part in parts:
        for spelling, target in LAYOUTS[part.layout](part):
            table.setdefault(spelling, target)
    return table


def text_names(index: int, count: int, layout: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that trainers give text encoder `index` (from 0) of `count`: kohya's and diffusers'.

    XL's are te1 and te2; its refiner has the second alone.
    """
    if count > 1:
        numbers = ("clip_l", "clip_g")[index] if index < 2 else f"text_{index + 1}"
        return (f"te{index + 1}",), ("text_encoder" if index == 0 else f"text_encoder_{index + 1}", numbers)
    if layout == "openclip":
        return ("te", "te2"), ("text_encoder", "text_encoder_2", "clip_h", "clip_g")
    return ("te",), ("text_encoder", "clip_l")


def layer_targets(part: Part) -> dict[str, Target]:
    """Layers by name: everything that has a weight."""
    found = {}
    for name, shape in part.shapes.items():
        layer, _, leaf = name.rpartition(".")
        if leaf == "weight" and layer:
            bias = f"{layer}.bias"
            found[layer] = Target(part.number, name, bias if bias in part.shapes else None, shape)
    return found


@LAYOUTS.register("unet")
def unet_spellings(part: Part) -> Spelt:
    """SD 1, 2 and XL: the authors' names and diffusers', with the prefixes of kohya, OneTrainer, PEFT and others."""
    layers = layer_targets(part)
    theirs = unet_to_diffusers(list(part.shapes))
    for layer, target in layers.items():
        other = theirs.get(target.weight, "").removesuffix(".weight")
        for spelling in dict.fromkeys((other, layer)):
            if spelling:
                flat = spelling.replace(".", "_")
                yield from ((prefix + flat, target) for prefix in ("lora_unet_", "oft_unet_", "lycoris_"))
        for prefix in ("diffusion_model.", "model.diffusion_model.", "lora_unet."):
            yield prefix + layer, target
        if other:
            for prefix in ("unet.", "base_model.model.", "unet.base_model.model.", "diffusion_model.", ""):
                yield prefix + other, target
            processor = other.replace(".to_out.0", ".to_out").replace(".to_", ".processor.to_")
            if processor != other:
                yield from ((prefix + processor, target) for prefix in ("unet.", ""))


@LAYOUTS.register("hf")
def clip_spellings(part: Part) -> Spelt:
    """A CLIP text encoder under Hugging Face's names."""
    for layer, target in layer_targets(part).items():
        yield from _text_spellings(part, layer, target)


@LAYOUTS.register("openclip")
def openclip_spellings(part: Part) -> Spelt:
    """An OpenCLIP text encoder. Trainers know it under Hugging Face's names too, with query, key and value apart."""
    layers = layer_targets(part)
    for layer, target in layers.items():
        for prefix in part.diffusers:
            yield f"text_encoders.{prefix}.{layer}", target
    for theirs, target in _hugging_face_layers(part, layers):
        yield from _text_spellings(part, theirs, target)


def _hugging_face_layers(part: Part, layers: Mapping[str, Target]) -> Spelt:
    projection = part.shapes.get("text_projection")
    if projection:
        yield "text_projection", Target(part.number, "text_projection", None, projection[::-1], transposed=True)
    names = [f"encoder.layers.{n}.{leaf}" for n in range(_depth(part.shapes)) for leaf in _LAYER_PARAMETERS]
    for ours, sources in text_to_openclip([*names, *_END_PARAMETERS]).items():
        if not ours.endswith("weight") or ours not in part.shapes:
            continue
        if len(sources) == 1:
            layer = ours.removesuffix(".weight")
            yield sources[0].removesuffix(".weight"), layers[layer]
            continue
        rows = part.shapes[ours][0] // len(sources)
        for place, source in enumerate(sources):
            shape = (rows, *part.shapes[ours][1:])
            span = (place * rows, (place + 1) * rows)
            bias = ours.removesuffix("weight") + "bias"
            target = Target(part.number, ours, bias if bias in part.shapes else None, shape, span)
            yield source.removesuffix(".weight"), target


def _depth(layers: Iterable[str]) -> int:
    return len({name.split(".")[2] for name in layers if name.startswith("transformer.resblocks.")})


_LAYER_PARAMETERS = tuple(
    f"{layer}.{kind}"
    for layer in (*(f"self_attn.{x}_proj" for x in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
) + tuple(f"layer_norm{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias"))
_END_PARAMETERS = ("embeddings.token_embedding.weight", "final_layer_norm.weight", "final_layer_norm.bias")


def _text_spellings(part: Part, layer: str, target: Target) -> Spelt:
    full = layer if layer == "text_projection" else f"text_model.{layer}"
    flat = full.replace(".", "_")
    for name in part.kohya:
        yield f"lora_{name}_{flat}", target
        yield f"oft_{name}_{flat}", target
    for name in part.diffusers:
        for prefix in (f"{name}.", f"{name}.base_model.model.", f"text_encoders.{name}.transformer."):
            yield prefix + full, target
            yield prefix + layer, target
