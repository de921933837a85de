"""Adapters in prompts (`<lora:…>`, `<lyco:…>`, `<hypernet:…>`): the files that they name, and what is attached now."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui.adapters.block_weights import block_weights
from webui.engine.attach import AttachedWeights, Attachment
from webui.engine.catalogue import Catalogue, CheckpointFile
from webui.engine.step_range import ALWAYS, StepRange, step_at, step_range
from webui.engine.step_range import NAMES as STEP_NAMES
from webui.errors import InvalidRequest, NotFound
from webui.text.directives import Directive, cut_directives

if TYPE_CHECKING:
    from torch import nn

    from webui.adapters.names import Part, Target
    from webui.adapters.weight_file import FittedWeights
    from webui.families import Model
    from webui.nn.hooks import BlockHooks

WEIGHT_KINDS = ("lora", "lyco")
HYPERNETWORK = "hypernet"
NAMED = ("te", "unet", "dyn", "lbw", *STEP_NAMES)
HOW = "<lora:name:strength>, <lora:name:text:unet>, or with te=, unet=, dyn=, lbw= (block weights), start= and stop="
KEPT_FILES = 32  # fitted files that stay open; they are mapped, not copied
MANY_STEPS = 1000  # of a pass that is not known yet
SHOWN = 5  # names of layers in a note
HASH_LENGTH = 12  # of the hashes in A1111's "Lora hashes"


@dataclass(frozen=True)
class AdapterUse:
    """One adapter that a prompt asks for: its file, and its strengths for the text encoders and the network.

    `rank` limits it to its first ranks ("dyn"), `blocks` multiplies the strengths block by block, and outside of its
    `steps` the network is without it. Texts are encoded once, so its text encoders' part holds for all steps.
    """

    kind: str  # "lora" or "hypernet"
    name: str  # as the prompt says
    file: CheckpointFile
    text: float
    network: float
    rank: int | None = None
    blocks: tuple[tuple[str, float], ...] = ()  # none: all alike
    steps: StepRange = ALWAYS

    @property
    def key(self) -> str:
        """Equal for equal effects while it is on; also the order in which updates are summed."""
        return f"{self.kind}|{self.file.key}|{self.text}|{self.network}|{self.rank}|{self.blocks}"


def adapter_uses(
    directives: Sequence[Directive], catalogue: Catalogue
) -> tuple[tuple[AdapterUse, ...], tuple[Directive, ...]]:
    """What the directives ask for, and those that ask for nothing of ours.

    Raises NotFound with the closest names for an adapter that is not there: a picture without it would be another.
    InvalidRequest for a strength that is no number.
    """
    uses, rest = [], []
    for directive in directives:
        if directive.name.lower() in WEIGHT_KINDS:
            uses.append(_weight_use(directive, catalogue))
        elif directive.name.lower() == HYPERNETWORK:
            uses.append(_hypernetwork_use(directive, catalogue))
        else:
            rest.append(directive)
    return tuple(uses), tuple(rest)


def misplaced_adapters(negative: str) -> list[str]:
    """A note for each adapter in a negative prompt, where it does nothing."""
    found = [d for d in cut_directives(negative)[1] if d.name.lower() in (*WEIGHT_KINDS, HYPERNETWORK)]
    return [f"{directive.source} works in the positive prompt only and was left out." for directive in found]


def idle_adapters(uses: Sequence[AdapterUse], steps: int) -> list[str]:
    """A note for each adapter that is on in no step of a pass, as it is when it starts behind the last one."""
    idle = [use for use in uses if steps and not any((step, steps) in use.steps for step in range(steps))]
    return [f"{use.name} is on in none of {steps} steps." for use in idle]


def _weight_use(directive: Directive, catalogue: Catalogue) -> AdapterUse:
    """A1111's rules: name, text encoders' strength, network's (else the same), rank; or by name."""
    unknown = [name for name in directive.named if name not in NAMED]
    if unknown or len(directive.positional) > 4:
        raise InvalidRequest(
            f"{directive.source} has the argument {(unknown or directive.positional)[-1]!r}.",
            f"A LoRA is written {HOW}.",
            "Weights of single elements (lbwe) are not known here: leave them out." if "lbwe" in unknown else "",
        )
    values = dict(zip(("name", "te", "unet", "dyn"), directive.positional)) | dict(directive.named)
    name = values.get("name", "")
    text = _number(directive, values.get("te", "1"))
    network = _number(directive, values["unet"]) if "unet" in values else text
    rank = int(_number(directive, values["dyn"])) if "dyn" in values else None
    if rank is not None and rank < 1:
        raise InvalidRequest(f"{directive.source} asks for {rank} ranks.", "At least 1 is possible.")
    try:
        blocks = block_weights(values["lbw"], catalogue.block_presets()) if "lbw" in values else {}
        steps = step_range(directive.named)
    except InvalidRequest as error:
        raise InvalidRequest(f"{directive.source}: {error.found}", error.wanted, error.remedy) from None
    file = catalogue.find_file("loras", name, "LoRA")
    return AdapterUse("lora", name, file, text, network, rank, tuple(blocks.items()), steps)


def _hypernetwork_use(directive: Directive, catalogue: Catalogue) -> AdapterUse:
    if directive.named or len(directive.positional) > 2:
        wanted = "A hypernetwork is written <hypernet:name:strength>."
        raise InvalidRequest(f"{directive.source} has arguments that mean nothing.", wanted)
    name, *strength = directive.positional
    file = catalogue.find_file("hypernetworks", name, "hypernetwork")
    return AdapterUse(HYPERNETWORK, name, file, 0.0, _number(directive, strength[0] if strength else "1"))


def _number(directive: Directive, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= 1000:
        raise InvalidRequest(
            f"{directive.source} has the strength {text!r}.", "A number was wanted.", f"A LoRA is written {HOW}."
        )
    return value


def infotext_hashes(uses: Sequence[AdapterUse], catalogue: Catalogue) -> dict[str, str]:
    """A1111's field that lets a reader find the files again whatever they are called."""
    loras = {use.name: catalogue.sha256(use.file, data=True)[:HASH_LENGTH] for use in uses if use.kind == "lora"}
    return {"Lora hashes": ", ".join(f"{name}: {digits}" for name, digits in loras.items())} if loras else {}


def with_present_names(prompt: str, fields: Mapping[str, str], catalogue: Catalogue) -> str:
    """A prompt from an infotext with the LoRAs that are called otherwise here under their present names.

    Those are known by their hashes: of files that were used here, or that carry the hash in their metadata.
    """
    for entry in fields.get("Lora hashes", "").split(","):
        name, _, digits = (part.strip() for part in entry.rpartition(":"))
        if not name or any(name.casefold() == file.stem.casefold() for file in catalogue.files("loras")):
            continue
        try:
            found = catalogue.find_file("loras", digits, "LoRA").stem
        except NotFound:
            continue  # the plan will say so, with close names
        for before in set(re.findall(rf"<(?:lora|lyco):{re.escape(name)}[:>]", prompt, re.IGNORECASE)):
            prompt = prompt.replace(before, before[: before.index(":") + 1] + found + before[-1])
    return prompt


class Adapters:
    """What is attached to the loaded checkpoint. Stays attached between jobs that want the same."""

    def __init__(self, model: Model):
        from webui.nn.hooks import NO_HOOKS

        self._none = NO_HOOKS
        self._model = model
        modules = (model.unet, *model.text_encoders)
        self._weights = tuple(AttachedWeights(module) for module in modules)
        self._uses: tuple[AdapterUse, ...] = ()
        self._hooks: BlockHooks = NO_HOOKS
        self._hooked: tuple[str, ...] = ()
        self._table: dict[str, Target] | None = None
        self._files: OrderedDict[str, FittedWeights] = OrderedDict()
        self._now: tuple[tuple[str, ...], ...] = ((),) * len(modules)

    @property
    def block_hooks(self) -> BlockHooks:
        """What hypernetworks do inside the network's attentions, the first of the prompt first."""
        return self._hooks

    @property
    def in_use(self) -> tuple[str, ...]:
        """Names of what is attached."""
        return tuple(dict.fromkeys(use.name for use in self._uses))

    @property
    def text_key(self) -> tuple[tuple[str, ...], ...]:
        """Changes whenever the text encoders encode otherwise."""
        return self._now[1:]

    def switch(self, uses: Sequence[AdapterUse], step: int = 0, steps: int = MANY_STEPS) -> list[str]:
        """Attach these and nothing else, the network as `step` (from 0) of a pass of `steps` wants it.

        What is right already stays. Returns notes on what fits nothing. Raises IncompatibleModel for a file made for
        another kind of base, UnknownModel for one that is no adapter.
        """
        self._uses = tuple(uses)
        loras = [use for use in uses if use.kind == "lora"]
        fitted = {use.file.key: self._fitted(use) for use in loras}
        for part, weights in enumerate(self._weights):
            active = [use for use in loras if (use.text if part else use.network and (step, steps) in use.steps)]
            wanted = tuple(sorted(use.key for use in active))
            if wanted == self._now[part]:
                continue
            self._now = (*self._now[:part], (), *self._now[part + 1 :])
            weights.switch([_attachment(use, fitted[use.file.key], part) for use in active])
            self._now = (*self._now[:part], wanted, *self._now[part + 1 :])
        self._switch_hooks([use for use in uses if use.kind == HYPERNETWORK and use.network])
        return [note for use in loras for note in _notes(use, fitted[use.file.key])]

    def follow(self, sigmas: Sequence[float]) -> Callable[[float], None]:
        """A function that switches what is attached on and off as the noise falls in a pass over `sigmas`."""
        uses, steps = self._uses, len(sigmas) - 1
        if all(use.steps == ALWAYS for use in uses):
            return lambda sigma: None

        def at(sigma: float) -> None:
            self.switch(uses, step_at(sigmas, sigma), steps)

        return at

    def detach(self) -> None:
        """Take everything off."""
        for weights in self._weights:
            weights.detach()
        self._now, self._uses = ((),) * len(self._weights), ()
        self._hooks, self._hooked = self._none, ()

    def _switch_hooks(self, uses: Sequence[AdapterUse]) -> None:
        from webui.adapters.hypernetwork import read_hypernetwork

        wanted = tuple(use.key for use in uses)
        if wanted == self._hooked:
            return
        self._hooks, self._hooked = self._none, ()
        model, hooks = self._model, self._none
        widths = {shape[1] for name, shape in _shapes(model.unet).items() if name.endswith("attn1.to_k.weight")}
        for use in uses:
            network = read_hypernetwork(use.file.path, use.name)
            network.check(widths, model.facts.context_width, model.facts.label)
            hooks = hooks + network.hooks(use.network, model.device, model.unet.compute_dtype or model.dtype)
        self._hooks, self._hooked = hooks, wanted

    def _fitted(self, use: AdapterUse) -> FittedWeights:
        from webui.adapters.names import name_table
        from webui.adapters.weight_file import fit, read_weight_file

        known = self._files.pop(use.file.key, None)
        if known is None:
            self._table = self._table or name_table(network_parts(self._model))
            known = fit(read_weight_file(use.file.path, use.name), self._table, self._model.facts.label)
        self._files[use.file.key] = known
        if len(self._files) > KEPT_FILES:
            self._files.popitem(last=False)
        return known


def network_parts(model: Model) -> list[Part]:
    """The networks of a model as the name table wants them."""
    from webui.adapters.names import Part, text_names

    layouts = [part.layout for part in model.family.text_encoders]
    parts = [Part(0, "unet", _shapes(model.unet))]
    for index, (encoder, layout) in enumerate(zip(model.text_encoders, layouts, strict=True)):
        parts.append(Part(index + 1, layout, _shapes(encoder), *text_names(index, len(layouts), layout)))
    return parts


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def _attachment(use: AdapterUse, fitted: FittedWeights, part: int) -> Attachment:
    strength = use.text if part else use.network
    return Attachment(use.key, fitted.changes(part, strength, use.rank, dict(use.blocks) or None))


def _notes(use: AdapterUse, fitted: FittedWeights) -> list[str]:
    names, notes = fitted.unfitting, []
    if names:
        shown = ", ".join(names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")
        notes.append(
            f"{use.name}: {len(names)} of its parts fit nothing in this checkpoint and were left out: {shown}."
        )
    left_out = [block for block in fitted.blocks() if use.blocks and block not in dict(use.blocks)]
    if left_out:
        blocks = ", ".join(left_out)
        notes.append(f"{use.name}: its {len(use.blocks)} block weights name no {blocks}; what it has there is off.")
    return notes
