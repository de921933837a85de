"""What a model file is, told by its header alone: kind, family, rank, and what its maker wrote into it."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui import families
from webui.adapters.embedding import embedding_name
from webui.adapters.embedding_picture import picture_header
from webui.adapters.inspection import describe, trigger_words
from webui.adapters.origin import context_width, made_for
from webui.adapters.speed import speed_recipe
from webui.errors import EmulsionError, UnknownModel
from webui.families.unknown import Kind, kind_of
from webui.families.vae import said_family
from webui.library.files import is_picture, stem_of
from webui.library.plain import kept_text
from webui.weights.canonical import VAE, canonical
from webui.weights.header import read_header
from webui.weights.tensors import Header

READER = 1  # raise it when files should be read again; a new family has them read again by itself
EMBEDDED_PICTURE = "modelspec.thumbnail"  # a data address in the metadata
NO_MODEL = "picture"  # the kind of a picture without an embedding
ADAPTERS = {"LoRA": "loras", "hypernetwork": "hypernetworks", "embedding": "embeddings"}
SD1, SD2, SDXL, REFINER = (families.FAMILIES[name].label for name in ("sd1", "sd2", "sdxl", "sdxl-refiner"))
BY_WIDTH = {768: SD1, 1024: SD2, 1280: REFINER, 2048: SDXL}  # of the text that a network reads
VAE_FAMILIES = {"sd1": (SD1, SD2), "sdxl": (SDXL, REFINER)}
MOST_TAGS = 40  # of the training captions


@dataclass(frozen=True)
class Recognised:
    """What a header tells. `kind` is one of `paths.MODEL_FOLDERS`, or "" where nothing tells.

    `bases` are labels of the families that the file goes with, none where nothing tells; `width` that of the text that
    it reads (of a VAE, the channels of its latents), 0 where nothing tells. `problem` says why it cannot be used.
    """

    kind: str = ""
    bases: tuple[str, ...] = ()
    width: int = 0
    family: str = ""
    variant: str = ""
    rank: int | None = None
    title: str = ""
    author: str = ""
    licence: str = ""
    description: str = ""
    alias: str = ""  # the name that its trainer was told
    called: str = ""  # in prompts, where that is not the file's name
    phrase: str = ""  # what its maker says to write
    words: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = None  # `adapters.speed.SpeedRecipe` of a distilled model
    pictured: bool = False  # there is a picture inside
    stated_hash: str = ""  # of its data, as its metadata say
    problem: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def recognised_from(text: str) -> Recognised:
    """What was kept as JSON, perhaps by another version of the program."""
    said = json.loads(text)
    known: dict[str, Any] = {one.name: said[one.name] for one in dataclasses.fields(Recognised) if one.name in said}
    for name in ("bases", "words"):
        known[name] = tuple(known.get(name, ()))
    return Recognised(**known)


def reader_version() -> str:
    """Changes when files should be read again."""
    return f"{READER} {' '.join(families.FAMILIES.names())}"


def recognise(path: Path, place: str, name: str = "") -> Recognised:
    """Read a header and say what it is. Never raises for what is in the file; nothing in it is executed.

    `place` is the kind of the folder that it lies in, which decides where headers are alike; `name` its path below.
    """
    try:
        if is_picture(path.name):
            return _picture(path)
        header = read_header(path)
        # A captioner's weights look like an image or text encoder; its folder is a model by itself.
        found: dict[str, Any] = {"kind": place} if place == "captioners" else _kind(header)
        if place == "aesthetic_embeddings" and found.get("kind") == "embeddings" and len(header.tensors) == 1:
            found["kind"] = place
    except EmulsionError as error:
        return Recognised(problem=str(error))
    except (OSError, MemoryError, RecursionError, ValueError) as error:
        return Recognised(problem=f"{path.name} cannot be read: {error}.")
    details: dict[str, Any] = {**_details(header), **found.get("details", {})}
    recipe = _recipe(name or path.name, header, found.get("kind", ""))
    return Recognised(**{**_said(header), **found, "recipe": recipe, "details": details})


def _picture(path: Path) -> Recognised:
    try:
        header = picture_header(path)
    except UnknownModel:
        return Recognised(kind=NO_MODEL)
    return Recognised(
        **{**_adapter({"kind": "embedding", "vectors": ""}, header), "called": embedding_name(header), "pictured": True}
    )


def _kind(header: Header) -> dict[str, Any]:
    try:
        return _checkpoint(families.facts(header))
    except EmulsionError as error:
        problem = str(error)
    kind = kind_of(header)
    if kind is None or kind.folder in ADAPTERS.values():
        told = describe(header)
        if told is not None:
            return _adapter(told, header)
    if kind is None:
        return {"problem": problem}
    found: dict[str, Any] = {"kind": kind.folder, "variant": kind.name}
    if kind.folder in ("checkpoints", "diffusion_models"):
        return {**found, **_network(kind), "problem": problem}
    if kind.folder == "vae":
        return {**found, **_vae(header)}
    width = _reads_text(header)
    label = BY_WIDTH.get(width) or made_for(header).removeprefix("the ")
    return {**found, "family": label, "bases": (label,) if label else (), "width": width}


def _checkpoint(facts: families.ModelFacts) -> dict[str, Any]:
    alone = facts.parts == ("unet",)
    details = {"parts": list(facts.parts), "prediction": facts.prediction, "native_size": facts.native_size}
    return {
        "kind": "diffusion_models" if alone else "checkpoints",
        "family": facts.label,
        "bases": (facts.label,),
        "width": facts.context_width,
        "variant": "" if facts.variant == "text" else facts.variant,
        "details": details,
    }


def _network(kind: Kind) -> dict[str, Any]:
    """Of a family that cannot be run: its name without the article and the word for what it is."""
    words = kind.name.split()[1:]
    return {"family": " ".join(words[:-1]) if words[-1] == "network" else ""}


def _adapter(told: Mapping[str, Any], header: Header) -> dict[str, Any]:
    details = {name: value for name, value in told.items() if name not in ("kind", "trigger words")}
    if told["kind"] == "LoRA":
        label = made_for(header).removeprefix("the ")
        width = context_width(header)
        ranks = [int(rank) for rank in told["ranks"]]
        kinds = ", ".join(name for name in told["updates"] if name not in ("norm", "bias", "unknown"))
        found = {"variant": kinds, "rank": max(ranks, default=None), "words": tuple(trigger_words(header))}
    elif told["kind"] == "hypernetwork":
        widths = {int(width) for width in told["widths"]}
        width = next((wide for wide in (2048, 1024, 768) if wide in widths), 0)
        label, found = BY_WIDTH.get(width, ""), {"variant": str(told["activation"])}
    else:
        width = _embedding_width(header)
        label, found = BY_WIDTH.get(width, ""), {"variant": told["vectors"]}
    bases = (label,) if label else ()
    return {
        **found,
        "kind": ADAPTERS[told["kind"]],
        "family": label,
        "bases": bases,
        "width": width,
        "details": details,
    }


def _embedding_width(header: Header) -> int:
    """Width of the text that a prompt with this embedding is read into: of XL's pair, both together."""
    widths = {name.rpartition(".")[2]: info.shape[-1] for name, info in header.tensors.items() if info.shape}
    if {"clip_l", "clip_g"} <= set(widths):
        return widths["clip_l"] + widths["clip_g"]
    return max(widths.values(), default=0)


def _vae(header: Header) -> dict[str, Any]:
    named = canonical(header)
    shape = named.shapes(VAE).get("decoder.conv_in.weight", (0, 0))
    bases = VAE_FAMILIES.get(said_family(header) or "", ()) if shape[1] == 4 else ()
    return {"width": shape[1], "bases": bases, "family": " / ".join(bases)}


def _reads_text(header: Header) -> int:
    """Width of the text that a network's cross-attentions read, 0 where there are none."""
    for name, info in header.tensors.items():
        if name.endswith(("attn2.to_k.weight", ".to_k_ip.weight")) and len(info.shape) == 2:
            return info.shape[1]
    return 0


def _said(header: Header) -> dict[str, Any]:
    """What the file's maker wrote into it."""

    def said(*names: str, longest: int = 200) -> str:
        return next((text for name in names if (text := kept_text(header.metadata.get(name), longest))), "")

    stated = said("sshs_model_hash", longest=64).lower()
    return {
        "title": said("modelspec.title"),
        "author": said("modelspec.author"),
        "licence": said("modelspec.license"),
        "description": said("modelspec.description", "ss_training_comment", longest=4000),
        "alias": said("ss_output_name"),
        "phrase": said("modelspec.trigger_phrase", longest=1000),
        "pictured": EMBEDDED_PICTURE in header.metadata,
        "stated_hash": stated if all(digit in "0123456789abcdef" for digit in stated) else "",
    }


def _recipe(name: str, header: Header, kind: str) -> dict[str, Any] | None:
    if kind != "loras" and kind not in ("checkpoints", "diffusion_models"):
        return None
    found = speed_recipe(stem_of(name), header, kind != "loras")
    return dataclasses.asdict(found) if found else None


def _details(header: Header) -> dict[str, Any]:
    types: collections.Counter[str] = collections.Counter()
    for info in header.tensors.values():
        types[info.dtype] += info.count
    found: dict[str, Any] = {"container": header.container, "tensors": len(header.tensors)}
    found |= {"parameters": sum(types.values()), "types": dict(types.most_common())}
    tags = _tags(header)
    return {**found, "tags": tags} if tags else found


def _tags(header: Header) -> list[list[Any]]:
    """The most frequent words of the captions that it was trained on, each with its number."""
    try:
        folders = json.loads(header.metadata.get("ss_tag_frequency", "{}"))
    except (ValueError, RecursionError):
        return []
    counts: collections.Counter[str] = collections.Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int):
                counts[kept_text(tag, 100)] += count
    return [[tag, count] for tag, count in counts.most_common(MOST_TAGS) if tag]
