"""Weights of words in other programs' prompts, rewritten in this program's grammar with the same pieces and numbers.

ComfyUI: `(words)` times 1.1, `(words:1.3)` sets the weight whatever is around it, square brackets are text.
InvokeAI (Compel): `word+`, `word--`, `(some words)1.3`, `(some words)++`; plus is 1.1, minus 0.9; nested ones multiply.
NovelAI: `{words}` times 1.05, `[words]` divided by it; since version 4 also `1.3::words::`; round brackets are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from webui.exchange.names import short
from webui.text.attention import parse_attention
from webui.text.schedule import timeline

Pieces = list[tuple[str, float]]

_LIMIT = 1e6
_DEPTH = 100  # deeper nesting is no prompt; it is taken literally
_SPECIAL = re.compile(r"[\\()\[\]]")
_COMFY_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_COMFY_ESCAPE = re.compile(r"\\([()])")
_EMBEDDING = re.compile(r"embedding:\s*([^\s,()\[\]]+)", re.IGNORECASE)
_NOVELAI_TOKEN = re.compile(r"(-?[0-9]*\.?[0-9]+)::|::|[{}\[\]]")
_COMPEL_TOKEN = re.compile(
    r"""
    \\.                                                  # an escaped character
    | \(
    | \)(?P<group>[+]+|-+|[0-9]*\.?[0-9]+)?              # the end of a group and its weight
    | (?P<word>[^\s()\\+,-]+(?:[+-]+[^\s()\\+,-]+)*)(?P<signs>[+]+|-+)(?=[\s,)]|$)
    | [^()\\\s,]+
    | [\s,]+
    """,
    re.VERBOSE | re.DOTALL,
)
_COMPEL_FUNCTION = re.compile(r"\)\s*\.\s*(blend|and|swap|withLora)\s*\(|\b\w+\.swap\s*\(")


def from_comfyui(text: str) -> str:
    """A prompt of ComfyUI's in this program's grammar; `embedding:name` becomes the name alone."""
    pieces = [(_COMFY_ESCAPE.sub(r"\1", part), weight) for part, weight in _comfy_pieces(text, 1.0, 0)]
    pieces = [(_EMBEDDING.sub(_embedding_name, part), weight) for part, weight in pieces]
    return _written(text, pieces)


def from_novelai(text: str) -> str:
    """A prompt of NovelAI's in this program's grammar."""
    pieces: Pieces = []
    braces, absolute, end = 0, 1.0, 0
    for match in _NOVELAI_TOKEN.finditer(text):
        pieces.append((text[end : match.start()], absolute * 1.05**braces))
        end, token = match.end(), match.group()
        if token.endswith("::"):
            absolute = float(match.group(1)) if match.group(1) else 1.0
            braces = braces if match.group(1) else 0  # the closing mark ends braces too
        else:
            braces = max(-_DEPTH, min(_DEPTH, braces + (1 if token in "{]" else -1)))
    pieces.append((text[end:], absolute * 1.05**braces))
    return _written(text, pieces)


def from_invokeai(text: str) -> tuple[str, bool]:
    """A prompt of InvokeAI's in this program's grammar, and whether all of it could be said.

    Blends, conjunctions and swaps (`.blend()`, `.and()`, `.swap()`) have no counterpart; such a prompt stays as it is.
    """
    if _COMPEL_FUNCTION.search(text):
        return text, False
    tokens = list(_COMPEL_TOKEN.finditer(text))
    factors = _group_factors(tokens)
    if factors is None:  # unbalanced brackets
        return _written(text, [(text, 1.0)]), True
    weights, pieces = [1.0], []
    for index, match in enumerate(tokens):
        token = match.group()
        if token == "(":
            weights.append(weights[-1] * factors[index])
        elif token.startswith(")"):
            weights.pop()
        elif match.group("word") is not None:
            pieces.append((match.group("word"), weights[-1] * _signs(match.group("signs"))))
        else:
            pieces.append((re.sub(r'\\([()"])', r"\1", token), weights[-1]))
    return _written(text, pieces), True


def is_weighted(text: str) -> bool:
    """Whether a prompt in this program's grammar weighs any word."""
    texts = {span.text for span in timeline(text, 100)}  # brackets that change the prompt on the way weigh nothing
    return any(weight not in (1.0, float("inf")) for part in texts for _, weight in parse_attention(part))


def _written(source: str, pieces: Pieces) -> str:
    """The pieces in this program's grammar; the source itself where it already reads so."""
    joined: Pieces = []
    for text, weight in pieces:
        weight = max(-_LIMIT, min(_LIMIT, weight))
        if joined and abs(joined[-1][1] - weight) < 1e-9:
            joined[-1] = (joined[-1][0] + text, weight)
        elif text:
            joined.append((text, weight))
    if parse_attention(source) == (joined or [("", 1.0)]):
        return source
    return "".join(_written_piece(text, weight) for text, weight in joined)


def _written_piece(text: str, weight: float) -> str:
    literal = _SPECIAL.sub(lambda match: "\\" + match.group(), text)
    return literal if abs(weight - 1) < 1e-9 else f"({literal}:{short(weight)})"


def _comfy_pieces(text: str, weight: float, depth: int) -> Pieces:
    pieces: Pieces = []
    for part, is_group in _comfy_groups(text):
        if not is_group or depth == _DEPTH:
            pieces.append((part, weight))
            continue
        inner, inner_weight = part[1:-1], weight * 1.1
        before, colon, after = inner.rpartition(":")
        number = _COMFY_NUMBER.fullmatch(after) if colon and before else None
        if number:
            inner, inner_weight = before, float(number.group(1))
        pieces += _comfy_pieces(inner, inner_weight, depth + 1)
    return pieces


def _comfy_groups(text: str) -> list[tuple[str, bool]]:
    """Text cut at its outermost round brackets, and whether each part is such a bracket with what is in it.

    A bracket without a partner is text, and so is all that follows a closing one too many.
    """
    parts: list[tuple[str, bool]] = []
    level = start = position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and text[position + 1 : position + 2] in ("(", ")"):
            position += 2
            continue
        if character == "(":
            if level == 0:
                parts.append((text[start:position], False))
                start = position
            level += 1
        elif character == ")":
            level -= 1
            if level == 0:
                parts.append((text[start : position + 1], True))
                start = position + 1
        position += 1
    return [part for part in [*parts, (text[start:], False)] if part[0]]


def _embedding_name(match: re.Match[str]) -> str:
    return re.sub(r"\.(pt|safetensors|bin)$", "", re.split(r"[\\/]", match.group(1))[-1], flags=re.IGNORECASE)


def _signs(signs: str) -> float:
    return (1.1 if signs[0] == "+" else 0.9) ** min(len(signs), 50)


def _group_factors(tokens: list[re.Match[str]]) -> dict[int, float] | None:
    """The weight of each opening bracket, by the number of its token; None where brackets have no partners."""
    factors: dict[int, float] = {}
    opened: list[int] = []
    for index, match in enumerate(tokens):
        if match.group() == "(":
            opened.append(index)
        elif match.group().startswith(")"):
            if not opened:
                return None
            group = match.group("group")
            weight: Callable[[str], float] = _signs if group and group[0] in "+-" else float
            factors[opened.pop()] = weight(group) if group else 1.0
    return None if opened else factors
