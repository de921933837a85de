"""JSON that anyone may have written: bounded in size and depth, and values of the wrong type are None, never errors."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from webui.errors import DamagedFile

JSON_LIMIT = 8_000_000  # characters; the largest workflows have two million
DEPTH_LIMIT = 200
SHOWN = 300  # characters of a value in a list of what was left out
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def parse_json(text: str) -> Any:
    """The value of a JSON text; NaN is accepted, as Python's programs write it. Raises DamagedFile."""
    if len(text) > JSON_LIMIT:
        raise DamagedFile(f"The JSON has {len(text)} characters.", f"At most {JSON_LIMIT} are read.")
    if _depth(text) > DEPTH_LIMIT:
        raise DamagedFile("The JSON is nested too deeply.", f"At most {DEPTH_LIMIT} levels are read.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"The text is not JSON: {str(error)[:SHOWN]}.") from None


def parse_object(text: str | None) -> dict[str, Any] | None:
    """The object in a text, or None where there is none."""
    if not text or not text.lstrip().startswith("{"):
        return None
    found = parse_value(text)
    return found if isinstance(found, dict) else None


def parse_value(text: str) -> Any:
    """The value of a JSON text, or None where it is none."""
    try:
        return parse_json(text)
    except DamagedFile:
        return None


def as_text(value: Any) -> str | None:
    """A text; halves of surrogate pairs, which JSON can hold and files cannot, become U+FFFD."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else None


def as_number(value: Any) -> float | None:
    """A finite number, also one that was written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_integer(value: Any) -> int | None:
    """A whole number, also one that was written as text or with a point."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", value):
        return int(value)
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**64 else None


def as_boolean(value: Any) -> bool | None:
    """True or False, also as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def as_object(value: Any) -> dict[str, Any]:
    """An object, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A list, empty where the value is none."""
    return value if isinstance(value, list) else []


def shown(value: Any) -> str:
    """A value for people: short, and texts without quotes."""
    text = as_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)) or ""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _depth(text: str) -> int:
    deepest = depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match.group()
        depth += (bracket in "[{") - (bracket in "]}")
        deepest = max(deepest, depth)
    return deepest
