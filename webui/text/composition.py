"""`AND` between prompts: several predictions in one picture, each with its weight.

Source: Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models"; the spelling is A1111's.
The result is uncond + Σ weight · (cond - uncond) · guidance scale. Only the positive prompt is composed.
"""

from __future__ import annotations

import re

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r":\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*\Z")
_LIMIT = 1e6


def split_composition(text: str) -> tuple[tuple[str, float], ...]:
    """The parts of a prompt with their weights, never empty.

    A part is `text :weight`; without a number its weight is 1, and it may be negative. A prompt without AND keeps
    its text whole, so "a screen of 16:9" stays what it is.
    """
    parts = _AND.split(text)
    if len(parts) == 1:
        return ((text, 1.0),)
    return tuple(_weighted(part) for part in parts)


def _weighted(part: str) -> tuple[str, float]:
    colon = part.rfind(":")  # the weight is what follows the last colon
    match = _WEIGHT.match(part, colon) if colon >= 0 else None
    if match is None:
        return part.strip(), 1.0
    return part[:colon].strip(), max(-_LIMIT, min(_LIMIT, float(match.group(1))))
