"""What people write into a field of values: lists, ranges, sizes. The grammar is that of A1111's X/Y/Z plot.

Values are separated by commas or line breaks; one that holds a comma stands in double quotes. Numbers may be ranges:
`1-5` (both ends belong to it), `1-5 (+2)` with a step, `0-1 [5]` with a count.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from webui.errors import InvalidRequest

MOST_VALUES = 10_000  # of one field

_NUMBER = r"[+-]?\s*(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d{{1,9}})\s*\])?", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", re.IGNORECASE | re.ASCII)
_SIGN = re.compile(r"^([+-])\s+")
_QUOTED = re.compile(r'[",\n\r]|^\s|\s$')
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def split_list(text: str) -> list[str]:
    """The values of a list, without the empty ones. Raises InvalidRequest for too many."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise InvalidRequest(f"The list {text[:40]!r} … cannot be read: {error}.") from None
    values = [value.strip() for row in rows for value in row if value.strip()]
    _bound(text, len(values))
    return values


def join_list(values: Sequence[str]) -> str:
    """The list that `split_list` reads back."""
    return ", ".join('"' + value.replace('"', '""') + '"' if _QUOTED.search(value) else value for value in values)


def decimals(text: str) -> list[float]:
    """The numbers of a list with ranges. Raises InvalidRequest naming what is none."""
    return [float(number) for part in split_list(text) for number in _numbers(part)]


def whole_numbers(text: str) -> list[int]:
    """The same for whole numbers; those of a range with a count are cut to such. Raises InvalidRequest."""
    found = []
    for part in split_list(text):
        numbers = _numbers(part)
        if not part.endswith("]") and any(number != int(number) for number in numbers):
            raise InvalidRequest(f"{part!r} is no whole number.", "Wanted: such as 3, 1-5, 1-9 (+2), 1-10 [5].")
        found += [int(number) for number in numbers]
    return found


def booleans(text: str) -> list[bool]:
    """True and false, in any of their usual spellings. Raises InvalidRequest."""
    values = []
    for part in split_list(text):
        if part.casefold() not in _BOOLEANS:
            raise InvalidRequest(f"{part!r} is neither true nor false.")
        values.append(_BOOLEANS[part.casefold()])
    return values


def sizes(text: str) -> list[tuple[int, int]]:
    """Widths and heights, written as 512x768. Raises InvalidRequest."""
    values = []
    for part in split_list(text):
        match = _SIZE.fullmatch(part)
        if match is None:
            raise InvalidRequest(f"{part!r} is no size.", "Width and height such as 512x768 were wanted.")
        values.append((int(match[1]), int(match[2])))
    return values


def _numbers(part: str) -> list[Decimal]:
    """One number, or those of a range. Decimal, so that 0-1 (+0.1) has no 0.30000000000000004."""
    match = _RANGE.fullmatch(part)
    if match is None:
        return [_number(part)]
    start, end = _number(match[1]), _number(match[2])
    if match[4] is not None:
        count = int(match[4])
        _bound(part, count)
        return [start] if count == 1 else [start + (end - start) * index / (count - 1) for index in range(count)]
    step = _number(match[3]) if match[3] else Decimal(1 if end >= start else -1)
    if step == 0 or (end - start) * step < 0:
        raise InvalidRequest(f"The range {part!r} never ends.", f"A step that leads from {start} to {end} was wanted.")
    count = int((end - start) / step) + 1
    _bound(part, count)
    return [start + step * index for index in range(count)]


def _number(text: str) -> Decimal:
    try:
        number = Decimal(_SIGN.sub(r"\1", text))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > 2**64:
        raise InvalidRequest(f"{text[:40]!r} is no number.", "Wanted: such as 3, 1-5, 1-9 (+2), 0-1 [5].")
    return number


def _bound(text: str, count: int) -> None:
    if not 0 <= count <= MOST_VALUES:
        raise InvalidRequest(f"{text[:40]!r} has {count} values.", f"At most {MOST_VALUES} are read.")
