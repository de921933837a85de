"""Styles: named pieces of prompt in CSV files of the columns name, prompt, negative_prompt (A1111's `styles.csv`)."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from webui.errors import DamagedFile, InvalidRequest

PLACE = "{prompt}"  # where a style wants the prompt; without it the style is appended
_FIELD_CHARACTERS = 1_000_000
_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Style:
    """One style. `source` is the name of the file that it came from."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""
    source: str = ""


def read_styles(paths: Iterable[Path]) -> dict[str, Style]:
    """Styles by name from several files; of equal names the first file's counts. Raises DamagedFile naming the file."""
    styles: dict[str, Style] = {}
    for path in paths:
        for style in _read_file(path):
            styles.setdefault(style.name, style)
    return styles


def _read_file(path: Path) -> list[Style]:
    try:
        if path.stat().st_size > _FILE_BYTES:
            raise DamagedFile(f"The style file {path.name} is over {_FILE_BYTES >> 20} MB.", "Styles are small texts.")
        data = path.read_bytes()
    except OSError as error:
        raise DamagedFile(f"The style file {path.name} cannot be read: {error}.") from None
    return [style for style in styles_of_table(data, path.name) if style.name]


def styles_of_table(data: bytes, name: str) -> list[Style]:
    """Every row of a file's bytes as a style, nameless ones too. Raises DamagedFile."""
    header, rows = read_table(data, name)
    cells = [dict(zip(header, row, strict=False)) for row in rows]
    # Files of A1111's first months call the second column "text".
    return [
        Style(row.get("name", ""), row.get("prompt") or row.get("text", ""), row.get("negative_prompt", ""), name)
        for row in cells
    ]


def read_table(data: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    """The header and the other rows of a CSV file's bytes, as they stand. Raises DamagedFile."""
    try:
        csv.field_size_limit(_FIELD_CHARACTERS)
        rows = list(csv.reader(io.StringIO(text_of(data), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DamagedFile(
            f"The style file {name} cannot be read: {error}.",
            "A UTF-8 CSV file with the columns name, prompt, negative_prompt was wanted.",
        ) from None
    return (rows[0], rows[1:]) if rows else ([], [])


def text_of(data: bytes) -> str:
    """A table's bytes as text: UTF-16 with its mark, else UTF-8, else GBK, which Chinese spreadsheets write.

    Raises UnicodeDecodeError where it is none of them.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("gb18030", "replace")
        signs = [sign for sign in text if not sign.isascii()]
        # Western texts can be read so too, but that gives signs which hardly anybody writes.
        usual = sum(bool(sign.encode("gb2312", "ignore")) for sign in signs)
        if "\ufffd" in text or usual < 0.9 * len(signs):
            raise
        return text


def fits_line(name: str, longest: int) -> bool:
    """Whether a name is one line of 1 to `longest` characters, of any language."""
    broken = any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name)
    return bool(name.strip()) and len(name) <= longest and not broken


def merge(style: str, prompt: str) -> str:
    """One style's text with a prompt: in the place of `{prompt}`, or behind it after a comma."""
    if PLACE in style:
        return style.replace(PLACE, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)


def apply_styles(
    prompt: str, negative_prompt: str, names: Sequence[str], styles: Mapping[str, Style]
) -> tuple[str, str]:
    """Both prompts with the named styles, one after the other. Raises InvalidRequest on a name that is not there."""
    for name in names:
        if name not in styles:
            raise InvalidRequest(f"There is no style named {name!r}.", f"Known: {', '.join(styles) or 'none'}.")
        # A style that says nothing for one of the two leaves it untouched.
        if styles[name].prompt:
            prompt = merge(styles[name].prompt, prompt)
        if styles[name].negative_prompt:
            negative_prompt = merge(styles[name].negative_prompt, negative_prompt)
    return prompt, negative_prompt


def extract_styles(prompt: str, negative_prompt: str, styles: Mapping[str, Style]) -> tuple[str, str, tuple[str, ...]]:
    """Undo `apply_styles`: the prompts without the styles that they contain, and the styles' names in order."""
    found: list[str] = []
    remaining = [style for style in styles.values() if style.prompt or style.negative_prompt]
    while True:
        for style in remaining:
            positive, negative = _without(style.prompt, prompt), _without(style.negative_prompt, negative_prompt)
            if positive is not None and negative is not None and style.prompt != PLACE:
                prompt, negative_prompt = positive, negative
                found.insert(0, style.name)
                remaining.remove(style)
                break
        else:
            return prompt, negative_prompt, tuple(found)


def _without(style: str, prompt: str) -> str | None:
    """The prompt that `merge` made this of, or None."""
    if not style:
        return prompt
    if PLACE in style:
        before, _, after = style.partition(PLACE)
        fits = len(prompt) >= len(before) + len(after) and prompt.startswith(before) and prompt.endswith(after)
        return prompt[len(before) : len(prompt) - len(after)] if fits else None
    if prompt == style.strip():
        return ""
    ending = ", " + style.strip()
    return prompt[: -len(ending)] if prompt.endswith(ending) else None
