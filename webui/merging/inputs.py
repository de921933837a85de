"""The files of a merge: opened, brought to one set of names, and checked to belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from webui.adapters.names import Part, name_table, text_names
from webui.adapters.weight_file import Change, fit, read_weight_file
from webui.errors import IncompatibleModel
from webui.families import Family, ModelFacts, detect
from webui.families.loading import TEXT_MARKS
from webui.families.vae import check_fits, doubt
from webui.merging.recipe import LoraUse, Recipe
from webui.weights.canonical import UNET, VAE, canonical
from webui.weights.reader import Weights, open_weights
from webui.weights.tensors import FLOAT_DTYPES, Header

MERGED = (UNET, VAE, "cond_stage_model.", "conditioner.")  # other tensors, such as tables of noise levels, are A's
NEVER_MERGED = ("position_ids", "logit_scale")
CHANNELS = UNET + "input_blocks.0.0.weight"  # [C, channels in, 3, 3]: more of them for inpainting and for editing
SHOWN = 5  # names in a note


@dataclass(frozen=True)
class Files:
    """Where the ingredients lie; `loras` in the recipe's order."""

    models: tuple[Path, ...]
    vae: Path | None = None
    loras: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Opened ingredients under the authors' names. `changes` are what LoRAs do, by full tensor name; `vae` takes the
    place of the first model's."""

    models: tuple[Weights, ...]
    family: Family
    facts: ModelFacts
    vae: Weights | None = None
    changes: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def is_merged(self, name: str) -> bool:
        """Whether a tensor of the first model is merged with those of the others."""
        if self.vae is not None and name.startswith(VAE):
            return False
        if len(self.models) == 1 or not name.startswith(MERGED) or name.endswith(NEVER_MERGED):
            return False
        infos = [weights.header.tensors.get(name) for weights in self.models]
        return all(info is not None and info.dtype in FLOAT_DTYPES for info in infos)


def open_inputs(recipe: Recipe, files: Files) -> Inputs:
    """Open everything that a merge needs.

    Raises IncompatibleModel for models of different families or shapes, for a VAE or LoRA of another kind, and what
    reading the files raises.
    """
    raw = [open_weights(path).header for path in files.models]
    families = [detect(header) for header in raw]
    models = [Weights(_whole(canonical(header), family)) for header, family in zip(raw, families)]
    found = [family.read_facts(weights.header) for family, weights in zip(families, models)]
    for family, weights in zip(families[1:], models[1:]):
        if family.name != families[0].name:
            raise IncompatibleModel(
                f"{models[0].header.path.name} is {families[0].label}, {weights.header.path.name} is {family.label}.",
                "Only models of one family can be merged.",
                "Choose models of the same kind.",
            )
    notes = _prediction_notes(found)
    vae = None
    if files.vae is not None:
        header = open_weights(files.vae).header
        vae = Weights(canonical(header))
        check_fits(vae.header, found[0])
        hint = doubt(header, found[0])
        notes += [hint] if hint else []
    inputs = Inputs(tuple(models), families[0], found[0], vae)
    _check_shapes(inputs)
    notes += _missing_notes(inputs)
    if files.loras:
        changes, more = _lora_changes(inputs, recipe.loras, files.loras)
        inputs, notes = replace(inputs, changes=changes), notes + more
    return replace(inputs, notes=tuple(notes))


def _whole(header: Header, family: Family) -> Header:
    """With the last text layer that diffusers folders of SD 2 leave out. It is never used, but other programs count
    layers from the end; a copy of the one before stands in for it."""
    if header.container != "diffusers":
        return header
    for part in family.text_encoders:
        if not part.cut_in_folders:
            continue
        prefix = next((p for p in part.prefixes if p + TEXT_MARKS[part.layout] in header.tensors), None)
        numbers = [int(match[1]) for name in header.tensors if prefix and (match := _layer(prefix, name))]
        if not numbers:
            continue
        last = f"{prefix}transformer.resblocks.{max(numbers)}."
        copies = {
            f"{prefix}transformer.resblocks.{max(numbers) + 1}.{name[len(last) :]}": name
            for name in header.with_prefix(last)
        }
        tensors = {**header.tensors, **{name: header.tensors[source] for name, source in copies.items()}}
        places = {**header.places, **{name: header.places[source] for name, source in copies.items()}}
        header = replace(header, tensors=tensors, places=places)
    return header


def _layer(prefix: str, name: str) -> re.Match[str] | None:
    return re.match(re.escape(prefix) + r"transformer\.resblocks\.(\d+)\.", name)


def _check_shapes(inputs: Inputs) -> None:
    first = inputs.models[0].header
    for name, info in first.tensors.items():
        if not inputs.is_merged(name):
            continue
        for weights in inputs.models[1:]:
            other = weights.header.tensors[name].shape
            if other == info.shape:
                continue
            fits = name == CHANNELS and (other[0], *other[2:]) == (info.shape[0], *info.shape[2:])
            if fits and other[1] < info.shape[1]:
                continue  # A is for inpainting: what all have in common is merged, the rest stays
            if fits:
                raise IncompatibleModel(
                    f"{weights.header.path.name} has {other[1]} input channels, {first.path.name} {info.shape[1]}.",
                    "The model with more of them (for inpainting or editing) must be the first.",
                    "Change their order.",
                )
            raise IncompatibleModel(
                f"{name} is {list(info.shape)} in {first.path.name} and {list(other)} in {weights.header.path.name}.",
                "Merged models have tensors of one shape.",
            )
    if len(inputs.models) == 3:
        b, c = (weights.header.tensors[CHANNELS] for weights in inputs.models[1:])
        if b.shape != c.shape:
            raise IncompatibleModel(
                f"The second model has {b.shape[1]} input channels and the third {c.shape[1]}.",
                "Their difference needs two of one kind.",
            )


def _prediction_notes(found: Sequence[ModelFacts]) -> list[str]:
    kinds = sorted({facts.prediction for facts in found})
    if len(kinds) < 2:
        return []
    return [f"These models predict different things ({' and '.join(kinds)}): the result may give noise."]


def _missing_notes(inputs: Inputs) -> list[str]:
    """Tensors that are not in all models: the first one's are kept, the others' are left out."""
    notes = []
    first = inputs.models[0].header
    for weights in inputs.models[1:]:
        theirs = [name for name in weights.header.tensors if name.startswith(MERGED) and name not in first.tensors]
        ours = [name for name in first.tensors if name.startswith(MERGED) and name not in weights.header.tensors]
        if theirs:
            notes.append(f"Left out, because only {weights.header.path.name} has them: {listed(theirs)}.")
        if ours:
            notes.append(f"Kept as they are, because {weights.header.path.name} lacks them: {listed(ours)}.")
    return notes


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _lora_changes(
    inputs: Inputs, uses: Sequence[LoraUse], paths: Sequence[Path]
) -> tuple[dict[str, list[Change]], list[str]]:
    """What the LoRAs do to each tensor, in the order of their names whatever order they were given in."""
    parts = _network_parts(inputs)
    table = name_table([part for part, _ in parts])
    changes: dict[str, list[Change]] = {}
    notes = []
    for use, path in sorted(zip(uses, paths), key=lambda pair: (pair[0].name, str(pair[1]))):
        fitted = fit(read_weight_file(path, use.name), table, inputs.facts.label)
        for part, prefix in parts:
            strength = use.strength if part.number == 0 or use.text is None else use.text
            for name, some in fitted.changes(part.number, strength).items():
                changes.setdefault(prefix + name, []).extend(some)
        if fitted.unfitting:
            notes.append(f"{use.name}: these parts fit nothing and were left out: {listed(fitted.unfitting)}.")
    return changes, notes


def _network_parts(inputs: Inputs) -> list[tuple[Part, str]]:
    """The networks in the first file, each with its prefix there."""
    header, encoders = inputs.models[0].header, inputs.family.text_encoders
    parts = [(Part(0, "unet", header.shapes(UNET)), UNET)]
    for index, part in enumerate(encoders):
        prefix = next((p for p in part.prefixes if p + TEXT_MARKS[part.layout] in header.tensors), None)
        if prefix is not None:
            names = text_names(index, len(encoders), part.layout)
            parts.append((Part(index + 1, part.layout, header.shapes(prefix), *names), prefix))
    return parts
