"""Emphasis in prompts: `(more)`, `[less]`, `(exactly:1.3)`, nested, with `\\(` for a bracket that is meant literally.

The grammar is that of AUTOMATIC1111's web UI. A text of any length is read in linear time, and no text is an error.
"""

from __future__ import annotations

import itertools
import math
import re

ROUND, SQUARE = 1.1, 1 / 1.1
EMPHASIS_MODES = ("None", "Ignore", "Original", "No norm")
BREAK = ("BREAK", math.inf)  # the piece that ends a chunk; no text has an infinite weight

_LIMIT = 1e6  # weights beyond this make no picture and would overflow when nested
_PIECE = re.compile(
    r"""
    \\[()\[\]\\]                                            # an escaped bracket or backslash
    | \\                                                    # a lone backslash says nothing
    | [(\[\])]
    | :\s*(?P<weight>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*\)
    | [^\\()\[\]:]+
    | :
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"\bBREAK\b")


def parse_attention(text: str, emphasis: str = "Original") -> list[tuple[str, float]]:
    """Pieces of a prompt with their weights; the piece `BREAK` stands where a new chunk is wanted.

    Emphasis "None" takes brackets literally, "Ignore" reads them and gives every piece the weight 1. Unclosed brackets
    run to the end; closing ones without a partner, and colons without a number, are text. Never empty.
    """
    if emphasis == "None":
        return _joined(_with_breaks(text, 1.0)) or [("", 1.0)]
    pieces = _joined(_weighted(text))
    if emphasis == "Ignore":  # pieces stay apart, so that the words split into the same tokens
        pieces = [piece if piece == BREAK else (piece[0], 1.0) for piece in pieces]
    return pieces or [("", 1.0)]


def _weighted(text: str) -> list[tuple[str, float]]:
    """Every piece with the product of the brackets around it; neighbours of one weight not joined yet."""
    matches = list(_PIECE.finditer(text))
    multipliers, closing = _match_brackets(matches)
    # Each kind of bracket nests properly in itself, so two stacks of running products are enough.
    round_products, square_products = [1.0], [1.0]
    pieces: list[tuple[str, float]] = []
    for index, match in enumerate(matches):
        token = match.group()
        if token == "(":
            round_products.append(_limited(round_products[-1] * multipliers[index]))
        elif token == "[":
            square_products.append(square_products[-1] * SQUARE)
        elif index in closing:
            (square_products if token == "]" else round_products).pop()
        elif token.startswith("\\"):
            pieces.append((token[1:], round_products[-1] * square_products[-1]))
        else:
            pieces.extend(_with_breaks(token, round_products[-1] * square_products[-1]))
    return pieces


def _match_brackets(matches: list[re.Match[str]]) -> tuple[dict[int, float], set[int]]:
    """The multiplier of each opening round bracket, and which tokens close a bracket."""
    multipliers: dict[int, float] = {}
    closing: set[int] = set()
    open_round: list[int] = []
    open_square = 0
    for index, match in enumerate(matches):
        token, weight = match.group(), match.group("weight")
        if token == "(":
            open_round.append(index)
            multipliers[index] = ROUND  # also when it is never closed
        elif token == "[":
            open_square += 1
        elif token == "]" and open_square:
            open_square -= 1
            closing.add(index)
        elif (token == ")" or weight is not None) and open_round:
            multipliers[open_round.pop()] = ROUND if weight is None else _limited(float(weight))
            closing.add(index)
    return multipliers, closing


def _with_breaks(text: str, weight: float) -> list[tuple[str, float]]:
    """Split at the word BREAK; the whitespace around it goes with it."""
    first, *others = _BREAK.split(text)
    if not others:
        return [(text, weight)]
    pieces = [(first.rstrip(), weight)]
    for index, part in enumerate(others, 1):
        pieces += [BREAK, (part.strip() if index < len(others) else part.lstrip(), weight)]
    return pieces


def _joined(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Neighbours of equal weight become one piece, except BREAKs; empty pieces vanish."""
    result: list[tuple[str, float]] = []
    for weight, group in itertools.groupby((p for p in pieces if p[0]), key=lambda piece: piece[1]):
        if weight == BREAK[1]:
            result.extend(group)
        else:
            result.append(("".join(text for text, _ in group), weight))
    return result


def _limited(weight: float) -> float:
    return max(-_LIMIT, min(_LIMIT, weight))
