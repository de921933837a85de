"""`<name:arguments>` in prompts: what LoRA, hypernetworks and extensions read, and the text encoder must not see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# No "<" inside: it keeps the time linear when thousands of them are never closed.
_DIRECTIVE = re.compile(r"<(\w+):([^<>]+)>")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Directive:
    """One directive: `<lora:film:0.8:te=0.5>` has the name "lora", positional ("film", "0.8"), named {"te": "0.5"}."""

    name: str
    positional: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    source: str = ""  # as it was written, to name it in messages


def cut_directives(text: str) -> tuple[str, tuple[Directive, ...]]:
    """The text without its directives, and all of them in order, whether anything knows their names or not.

    Arguments are separated by colons; `key=value` is a named one, and of equal keys the last counts. The spaces around
    a directive stay, as the tokenizer does not see them.
    """
    found = tuple(_directive(match) for match in _DIRECTIVE.finditer(text))
    return _DIRECTIVE.sub("", text), found


def _directive(match: re.Match[str]) -> Directive:
    positional: list[str] = []
    named: dict[str, str] = {}
    for argument in match.group(2).split(":"):
        pair = _NAMED.fullmatch(argument.strip())
        if pair:
            named[pair.group(1)] = pair.group(2)
        else:
            positional.append(argument.strip())
    return Directive(match.group(1), tuple(positional), named, match.group())
