"""Prompts of a workflow: from a sampler's positive or negative input up to the texts, and back into one text.

Combined conditionings are averaged predictions, which is AND with equal weights here; concatenated ones are BREAK; two
that share the run by a point in time are `[first:second:when]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from webui.exchange.comfyui.graph import Node
from webui.exchange.comfyui.walk import Walk
from webui.exchange.documents import as_number, as_text
from webui.exchange.names import short
from webui.exchange.weights import from_comfyui

_DEPTH, _PARTS, _VISITS = 200, 50, 5_000
_CONTROL = "ControlNets of workflows are not translated; choose the unit by hand."
_REASONS = {
    "ControlNetApply": _CONTROL,
    "ControlNetApplyAdvanced": _CONTROL,
    "ControlNetApplySD3": _CONTROL,
    "ConditioningSetArea": "Prompts for places of a picture are not translated.",
    "ConditioningSetAreaPercentage": "Prompts for places of a picture are not translated.",
    "ConditioningSetMask": "Prompts for places of a picture are not translated.",
    "StyleModelApply": "Pictures as prompts are not translated.",
    "unCLIPConditioning": "Pictures as prompts are not translated.",
    "FluxGuidance": "Distilled guidance is the checkpoint's default here.",
}
_SILENT = ("InpaintModelConditioning",)  # what it does to the latents is read there


@dataclass(frozen=True)
class Condition:
    """One text, the node that feeds its text encoder, and the share of the run in which it holds."""

    text: str
    encoder: Node | None = field(default=None, compare=False)
    start: float = 0.0
    end: float = 1.0


def walk_conditions(walk: Walk, node: Node | None, negative: bool = False, depth: int = 0) -> list[Condition]:
    """The texts behind a conditioning, in this program's grammar of weights."""
    walk.visits = walk.visits + 1 if depth else 0
    if node is None or depth > _DEPTH or walk.visits > _VISITS:
        return []

    def follow(*names: str) -> list[Condition]:
        return walk_conditions(walk, walk.graph.source(node, *names), negative, depth + 1)

    texts = _texts(walk, node, negative)
    if texts is not None:
        return [Condition(texts, walk.graph.source(walk.use(node), "clip", "chatglm3_model"))]
    walk.use(node)
    if node.type == "ConditioningZeroOut":
        if not negative:
            walk.note(node, "An empty prompt stands for it.")
        return [Condition("", None)]
    if node.type == "ConditioningCombine":
        return (follow("conditioning_1") + follow("conditioning_2"))[:_PARTS]
    if node.type == "ConditioningConcat":
        return _concatenated(follow("conditioning_to"), follow("conditioning_from"))
    if node.type == "ConditioningAverage":
        walk.note(node, "Mixtures of texts are not translated; the first one stands.")
        return follow("conditioning_to")
    if node.type == "ConditioningSetTimestepRange":
        start, end = (as_number(walk.value(node, name)) for name in ("start", "end"))
        inner = follow("conditioning")
        return [replace(part, start=start or 0.0, end=1.0 if end is None else end) for part in inner]
    if node.type not in _SILENT:
        walk.note(node, _REASONS.get(node.type, "It changes the prompt in a way that is not known here."))
    names = ("negative", "positive") if negative else ("positive", "negative")
    return follow("conditioning", names[0], "conditioning_to", "conditioning_1", "cond")


def joined(walk: Walk, node: Node, conditions: list[Condition], negative: bool = False) -> str:
    """One text of all conditions of a sampler."""
    parts = list(dict.fromkeys(conditions))
    if not parts:
        return ""
    if len(parts) > 1 and len({part.text for part in parts}) == 1:  # such as two empty ones that share the run
        return parts[0].text
    if len(parts) == 1:
        if (parts[0].start, parts[0].end) != (0.0, 1.0):
            walk.note(node, "Its prompt holds for a part of the run only.", ())
        return parts[0].text
    ranges = sorted(parts, key=lambda part: part.start)
    first, last = ranges[0], ranges[-1]
    halves = len(parts) == 2 and first.start == 0 and last.end == 1 and first.end == last.start
    if halves and not any(_has_colon(part.text) for part in parts):
        walk.note(node, "Its prompts change at a noise level; here they change at that share of the steps.", ())
        return f"[{first.text}:{last.text}:{_point(first.end)}]"
    if any((part.start, part.end) != (0.0, 1.0) for part in parts):
        walk.note(node, "Its prompts hold for parts of the run that cannot be said here.", ())
    if negative:
        walk.note(node, "Several negative prompts are one text here.", ())
        return ", ".join(part.text for part in parts if part.text)
    weight = short(1 / len(parts))
    return " AND ".join(f"{part.text} :{weight}" for part in parts)


def _texts(walk: Walk, node: Node, negative: bool) -> str | None:
    """The text of a node that encodes one; None for other nodes."""

    def text(name: str) -> str:
        return from_comfyui(as_text(walk.value(node, name)) or "")

    if node.type == "KolorsTextEncode":
        return text("negative_prompt" if negative else "prompt")
    names = next((names for names in _TEXTS if names[0] in node.inputs and "conditioning" not in node.inputs), None)
    if names is None:
        return None
    found = list(dict.fromkeys(text(name) for name in names))
    if len(found) > 1 and all(found):
        walk.note(node, "Here all text encoders read one text; these are joined.", names)
    if any(walk.value(node, name) for name in ("crop_w", "crop_h")):
        walk.note(node, "Crops are not told to the network here.", ("crop_w", "crop_h"))
    if "guidance" in node.inputs:
        walk.note(node, _REASONS["FluxGuidance"], ("guidance",))
    return ", ".join(part for part in found if part)


# Inputs that hold texts: of CLIPTextEncode, its kin for SDXL, SD 3 and Flux, and of nodes of others that are named so.
_TEXTS = (("text",), ("text_g", "text_l"), ("t5xxl", "clip_l", "clip_g"), ("clip_l", "t5xxl"), ("prompt",))


def _concatenated(to: list[Condition], others: list[Condition]) -> list[Condition]:
    if not to or not others:
        return to or others
    behind = others[0].text
    return [replace(part, text=f"{part.text} BREAK {behind}") for part in to]


def _has_colon(text: str) -> bool:
    """Whether a text would be cut where it has a colon or a bar outside of brackets."""
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character in ":|" and depth <= 0:
            return True
    return False


def _point(share: float) -> str:
    """A share with a point, as without one it would be a step."""
    text = short(share)
    return text if "." in text else f"{text}.0"
