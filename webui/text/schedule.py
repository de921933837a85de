"""Prompts that change while a picture forms: `[from:to:when]`, `[to:when]`, `[from::when]` and `[one|other]`.

The grammar and its step arithmetic are those of AUTOMATIC1111's web UI, so that its prompts give the same timeline.
A prompt that does not fit the grammar (a `|` outside of square brackets, a backslash before nothing) is used as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webui.errors import InvalidRequest

_DEPTH = 100  # deeper nesting is no prompt; the whole text is used as it is
_CHARACTERS = 50_000_000  # of all texts of one timeline together

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_WHEN = re.compile(rf":\s*(?P<when>{_NUMBER})\s*\]")
_PLAIN = re.compile(r"(?:[^\\\[\]():|]++|\\.)++")


@dataclass(frozen=True)
class Span:
    """A text and the last step, counted from 0, that uses it."""

    until_step: int
    text: str


def timeline(
    prompt: str, steps: int, hires_steps: int | None = None, *, old_timelines: bool = False
) -> tuple[Span, ...]:
    """The texts of a prompt one after the other; the last one ends at the number of steps.

    `steps` counts network evaluations: twice the steps of the pass for samplers that evaluate twice (A1111's
    second-order ones). With `hires_steps` the result is the timeline of a second pass that has so many: fractions from
    1 to 2 and whole numbers above `steps` fall into it. `when` with a decimal point is a fraction of the steps, without
    one it is a step. `old_timelines` reads `when` as A1111 did before 1.6: below 1 a fraction, and no second timeline.
    Raises InvalidRequest when the texts together would be enormous.
    """
    tree = _parse(prompt)
    whole, fraction = 0, 0.0
    if hires_steps is not None and not old_timelines:
        whole, fraction, steps = steps, 1.0, hires_steps
    if tree is None:
        return (Span(steps, prompt),)

    def switch(when: str) -> int:
        number = float(when)
        is_fraction = number < 1 if old_timelines else "." in when
        step = (number - fraction) * steps if is_fraction else number - whole
        return int(max(-1.0, min(float(steps), step)))

    ends = sorted({steps, *_switches(tree, switch, steps)})
    if len(ends) * len(prompt) > _CHARACTERS:
        raise InvalidRequest(
            f"The prompt changes {len(ends)} times and has {len(prompt)} characters.",
            f"Its texts together may have at most {_CHARACTERS:,} characters.",
            "Shorten it, or use fewer alternations.",
        )
    shared: dict[str, str] = {}  # alternations repeat a few texts many times
    texts = [_render(tree, end, switch) for end in ends]
    return tuple(Span(end, shared.setdefault(text, text)) for end, text in zip(ends, texts, strict=True))


def active_text(spans: Sequence[Span], step: int) -> str:
    """The text at a step. `step` is the number of network evaluations of the pass that came before."""
    return next((span.text for span in spans if step <= span.until_step), spans[-1].text)


@dataclass(frozen=True)
class _Edit:
    """`before` up to the step that `when` stands for, `after` from then on."""

    before: _Sequence
    after: _Sequence
    when: str


@dataclass(frozen=True)
class _Alternation:
    """One option a step, in turn."""

    options: tuple[_Sequence, ...]


_Node = str | _Edit | _Alternation
_Sequence = tuple[_Node, ...]


class _Unparsable(Exception):
    """The prompt does not fit the grammar."""


def _parse(prompt: str) -> _Sequence | None:
    """The tree of a prompt, or None where it does not fit the grammar."""
    if "[" not in prompt:
        return (prompt,)
    try:
        return _Parser(prompt).everything()
    except _Unparsable:
        return None


class _Parser:
    """Recursive descent over one text. Groups that failed are remembered, so that the time stays linear."""

    def __init__(self, text: str):
        self.text = text
        self.failed: set[int] = set()

    def everything(self) -> _Sequence:
        """The whole text; brackets and colons that belong to no group are text."""
        nodes: list[_Node] = []
        position = 0
        while position < len(self.text):
            found, position = self.sequence(position, 0)
            nodes.extend(found)
            if position < len(self.text):
                if self.text[position] not in "[]():":
                    raise _Unparsable
                nodes.append(self.text[position])
                position += 1
        return tuple(nodes)

    def sequence(self, position: int, depth: int) -> tuple[_Sequence, int]:
        """As many plain runs and groups as follow; returns where the first other character stands."""
        nodes: list[_Node] = []
        while True:
            plain = _PLAIN.match(self.text, position)
            if plain:
                nodes.append(plain.group())
                position = plain.end()
            group = self.group(position, depth)
            if group is None:
                return tuple(nodes), position
            found, position = group
            nodes.extend(found)

    def group(self, position: int, depth: int) -> tuple[_Sequence, int] | None:
        """A bracketed group that starts here, or None."""
        opening = self.text[position : position + 1]
        if opening not in ("(", "[") or position in self.failed:
            return None
        if depth >= _DEPTH:
            raise _Unparsable
        found = (self.round if opening == "(" else self.square)(position, depth + 1)
        if found is None:
            self.failed.add(position)
        return found

    def round(self, start: int, depth: int) -> tuple[_Sequence, int] | None:
        """`(text)` or `(text:text)`: kept as it is, only what is inside may change."""
        inner, position = self.sequence(start + 1, depth)
        if self.text.startswith(":", position):
            second, position = self.sequence(position + 1, depth)
            inner = (*inner, ":", *second)
        if not self.text.startswith(")", position):
            return None
        return ("(", *inner, ")"), position + 1

    def square(self, start: int, depth: int) -> tuple[_Sequence, int] | None:
        """`[text]`, an alternation or an edit."""
        first, position = self.sequence(start + 1, depth)
        following = self.text[position : position + 1]
        if following == "]":
            return ("[", *first, "]"), position + 1
        if following == "|":
            options = [first]
            while self.text.startswith("|", position):
                option, position = self.sequence(position + 1, depth)
                options.append(option)
            return ((_Alternation(tuple(options)),), position + 1) if self.text.startswith("]", position) else None
        if following != ":":
            return None
        when = _WHEN.match(self.text, position)
        if when:
            return (_Edit((), first, when["when"]),), when.end()
        second, position = self.sequence(position + 1, depth)
        when = _WHEN.match(self.text, position)
        return ((_Edit(first, second, when["when"]),), when.end()) if when else None


def _switches(nodes: _Sequence, switch: Callable[[str], int], steps: int) -> set[int]:
    """The steps at which the text changes."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, _Edit):
            found |= {step for step in (switch(node.when),) if step >= 1}
            found |= _switches(node.before, switch, steps) | _switches(node.after, switch, steps)
        elif isinstance(node, _Alternation):
            found |= set(range(1, steps + 1))
            for option in node.options:
                found |= _switches(option, switch, steps)
    return found


def _render(nodes: _Sequence, step: int, switch: Callable[[str], int]) -> str:
    """The text at a step, counted from 1."""
    parts: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, _Edit):
            parts.append(_render(node.before if step <= switch(node.when) else node.after, step, switch))
        else:
            parts.append(_render(node.options[(step - 1) % len(node.options)], step, switch))
    return "".join(parts)
