"""The format of the text under a picture, which AUTOMATIC1111's web UI made common.

It is the prompt, a line that begins with "Negative prompt:", and a last line "Key: value, Key: value, …". As nothing in
it is escaped, some prompts cannot be told from the rest. For those two more keys, "Exact prompt" and "Exact negative
prompt", hold the words as JSON. Other programs ignore them, and reading back always gives the prompt that was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EXACT_PROMPT, EXACT_NEGATIVE = "Exact prompt", "Exact negative prompt"
_NEGATIVE = "Negative prompt:"

# The order in which A1111 writes its own keys; all others follow, then _LAST.
_FIRST = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Image CFG scale",
    "Seed",
    "Face restoration",
    "Size",
    "Model hash",
    "Model",
    "FP8 weight",
    "Cache FP16 weight for LoRA",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Denoising strength",
    "Conditional mask weight",
    "Clip skip",
    "ENSD",
    "Token merging ratio",
    "Token merging ratio hr",
    "Init image hash",
    "RNG",
    "Tiling",
)
_LAST = ("Version", "User")

_NO_KEY = re.compile(r"[^\w \-/]")
_VALUE = re.compile(r'\s*("(?:\\.|[^\\"])++"|[^,]*)(?:,|$)')
_NO_NEGATIVE = f"{_NEGATIVE} Steps:"
_LINE_END = re.compile(r"\r\n?")
_OPENING = re.compile(r" *(?=[{\[])")
_NEXT = re.compile(r" *(?:,|$)")
_JSON = json.JSONDecoder()  # of values that some programs write as they are, with commas in them
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")
_SPECIAL = re.compile("[,:\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what a bare value must not hold
_SURROGATE = re.compile("[\ud800-\udfff]")
_SIZES = ("Size", "Seed resize from", "Hires resize")


@dataclass(frozen=True)
class Infotext:
    """The three parts. Values are texts; a size stands under two keys, "Size-1" its width and "Size-2" its height."""

    prompt: str = ""
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def write_infotext(prompt: str, negative_prompt: str, fields: Mapping[str, Any]) -> str:
    """The text of a prompt and its fields. None is left out; keys are put into A1111's order.

    The prompts read back exactly if there are at least three fields, as fewer are not recognised as fields.
    """
    text = _compose(prompt, negative_prompt, fields)
    read = read_infotext(text)
    exact = {
        key: _Json(wanted)
        for key, wanted, found in (
            (EXACT_PROMPT, prompt, read.prompt),
            (EXACT_NEGATIVE, negative_prompt, read.negative_prompt),
        )
        if wanted != found
    }
    return _compose(prompt, negative_prompt, {**fields, **exact}) if exact else text


def write_fields(fields: Mapping[str, Any]) -> str:
    """Fields alone, as they follow those of another text behind a comma."""
    return _compose("", "", fields)


def read_infotext(text: str) -> Infotext:
    """The parts of an infotext by any program of A1111's kind. Any text can be read; at worst all of it is prompt."""
    lines, fields = _without_fields(_LINE_END.sub("\n", text).rstrip().split("\n"))
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in lines:
        if line.lstrip().startswith(_NEGATIVE):
            part, line = negative, line.lstrip()[len(_NEGATIVE) :].removeprefix(" ")
        part.append(line)
    exact = fields.pop(EXACT_PROMPT, None), fields.pop(EXACT_NEGATIVE, None)
    return Infotext(
        "\n".join(prompt) if exact[0] is None else exact[0],
        "\n".join(negative) if exact[1] is None else exact[1],
        fields,
    )


def read_few_fields(text: str) -> dict[str, str]:
    """The fields of a text that is nothing else, however few; empty where there are none."""
    return _fields_of(_pairs(text.strip()))


def _without_fields(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """The lines of the prompts, and the fields: of the last line, or of one that begins with "Steps:" where others
    stand below it, as templates of prompts did once."""
    *above, last = lines
    if last.startswith(_NO_NEGATIVE) and (fields := _read_fields(last[len(_NEGATIVE) :])) is not None:
        return [*above, _NEGATIVE], fields  # some programs leave out the line break behind an empty negative prompt
    if (fields := _read_fields(last)) is not None:
        return above, fields
    for place in range(len(lines) - 2, -1, -1):
        if lines[place].startswith("Steps:") and (fields := _read_fields(lines[place])) is not None:
            name, _, below = "\n".join(lines[place + 1 :]).partition(":")
            return lines[:place], {**fields, infotext_key(name[:40]): below.strip()}
    return lines, {}


class _Json(str):
    """A text that is written as JSON whatever it holds."""


def _compose(prompt: str, negative_prompt: str, fields: Mapping[str, Any]) -> str:
    # NUL and halves of surrogate pairs cannot be stored in picture files; the exact keys keep them.
    prompt, negative_prompt = (_SURROGATE.sub("\ufffd", t).replace("\0", "\ufffd") for t in (prompt, negative_prompt))
    order = {key: place for place, key in enumerate([*_FIRST, "", *_LAST])}
    keys = sorted((key for key in fields if fields[key] is not None), key=lambda key: order.get(key, order[""]))
    lines = [prompt] if prompt else []
    if negative_prompt:
        lines.append(f"{_NEGATIVE} {negative_prompt}")
    if keys:
        lines.append(", ".join(_written(key, fields[key]) for key in keys))
    return "\n".join(lines)


def _written(key: str, value: Any) -> str:
    key = infotext_key(key)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    text = str(value)
    if isinstance(value, _Json) or not text or text != text.strip() or text[0] == '"' or _SPECIAL.search(text):
        quoted = True
    elif text == key and key not in _FIRST:
        return key  # how A1111 writes flags of extensions
    else:  # a name such as "512x512" would read back as a size
        quoted = isinstance(value, str) and key not in _SIZES and _SIZE.fullmatch(text) is not None
    return f"{key}: {json.dumps(text, ensure_ascii=bool(_SURROGATE.search(text))) if quoted else text}"


def infotext_key(name: str) -> str:
    """The name as a key that reads back: at least two word characters, spaces, - or /, the first a word character."""
    key = _NO_KEY.sub("_", name).strip(" ").lstrip(" -/")
    return key if len(key) > 1 else f"{key}__"[:2]


def _read_fields(line: str) -> dict[str, str] | None:
    """The fields of a parameter line, or None if it has fewer than three."""
    found = list(_pairs(line))
    return None if len(found) < 3 else _fields_of(found)


def _fields_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in pairs:
        size = _SIZE.fullmatch(value)
        if value.startswith('"') and value.endswith('"') and len(value) > 1:
            fields[key] = _unquoted(value)
        elif size:
            fields[f"{key}-1"], fields[f"{key}-2"] = size.groups()
        else:
            fields[key] = value
    return fields


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Keys and raw values. Looks back from each colon, so that a long line without keys takes linear time."""
    position = 0
    while (colon := line.find(":", position)) >= 0:
        key = _NO_KEY.split(line[position:colon])[-1].lstrip(" -/")
        if len(key) < 2:
            position = colon + 1
            continue
        value, position = _value(line, colon + 1)
        yield key, value


def _value(line: str, start: int) -> tuple[str, int]:
    """The raw value that begins there, and where the next key may begin."""
    opening = _OPENING.match(line, start)
    if opening is not None:
        try:
            end = _JSON.raw_decode(line, opening.end())[1]
        except (ValueError, RecursionError):
            end = start
        behind = _NEXT.match(line, end)
        if end > start and behind is not None:
            return line[opening.end() : end], behind.end()
    found = _VALUE.match(line, start)
    assert found is not None  # the second alternative fits anything
    return found.group(1), found.end()


def _unquoted(value: str) -> str:
    try:
        text = json.loads(value)
    except ValueError:
        return value
    return text if isinstance(text, str) else value
