"""From the words of one picture to what each network call of a pass is told, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webui.errors import ExtensionError
from webui.extend import DirectiveCall, PromptText
from webui.registry import Registry
from webui.text.composition import split_composition
from webui.text.directives import Directive, cut_directives
from webui.text.schedule import active_text, timeline

ROUNDS = 16  # directives may return directives, but not for ever


@dataclass(frozen=True)
class PromptSpan:
    """What holds up to `until_step` network evaluations of a pass: weighted parts (a negative prompt has one)."""

    until_step: int
    parts: tuple[tuple[str, float], ...]


def positive_spans(text: str, steps: int, later_steps: int | None = None) -> tuple[PromptSpan, ...]:
    """The spans of a positive prompt: `AND` first, then each part's own timeline, cut where any part changes.

    `steps` and `later_steps` count network evaluations, as `text.schedule.timeline` wants them.
    """
    parts = [(timeline(part, steps, later_steps), weight) for part, weight in split_composition(text)]
    ends = sorted({span.until_step for spans, _ in parts for span in spans})
    return tuple(PromptSpan(end, tuple((active_text(spans, end), weight) for spans, weight in parts)) for end in ends)


def negative_spans(text: str, steps: int, later_steps: int | None = None) -> tuple[PromptSpan, ...]:
    """The spans of a negative prompt, which is edited and alternated but never composed."""
    return tuple(PromptSpan(span.until_step, ((span.text, 1.0),)) for span in timeline(text, steps, later_steps))


def texts_of(*prompts: tuple[PromptSpan, ...]) -> tuple[str, ...]:
    """Every different text, in order of appearance."""
    return tuple(dict.fromkeys(text for spans in prompts for span in spans for text, _ in span.parts))


def carry_out_directives(
    prompt: PromptText, known: Registry[Callable[[DirectiveCall], str]]
) -> tuple[PromptText, tuple[Directive, ...]]:
    """Put what registered directives return in their place, and cut the others out of both prompts.

    Returns the prompt without directives and those that nothing knew, for a hint or for a later stage.
    Raises ExtensionError when a directive's function fails.
    """
    text = prompt.positive
    for _ in range(ROUNDS):
        found = [directive for directive in cut_directives(text)[1] if directive.name in known]
        if not found:
            break
        for directive in found:
            text = text.replace(directive.source, _answer(directive, prompt, known), 1)
    positive, unknown = cut_directives(text)
    negative, _ = cut_directives(prompt.negative)
    return PromptText(positive, negative, prompt.seed, prompt.index), unknown


def _answer(directive: Directive, prompt: PromptText, known: Registry[Callable[[DirectiveCall], str]]) -> str:
    call = DirectiveCall(directive.name, directive.positional, directive.named, prompt.seed, prompt.index)
    try:
        answer = known[directive.name](call)
    except Exception as error:
        raise ExtensionError(f"{directive.source} failed: {type(error).__name__}: {error}") from error
    if not isinstance(answer, str):
        raise ExtensionError(f"{directive.source} returned {type(answer).__name__}.", "A text was wanted.")
    return answer
