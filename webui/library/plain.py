"""Values from files that anybody may have written, as plain data of known types and sizes."""

from __future__ import annotations

import math
from typing import Any


def kept_text(value: Any, longest: int) -> str:
    """A text without what files and databases cannot hold, cut to a length; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return value[:longest].replace("\0", "").encode("utf-8", "ignore").decode("utf-8").strip()


def kept_number(value: Any, low: float, high: float) -> float | None:
    """A number between two bounds, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and low <= value <= high else None


def kept_texts(value: Any, longest: int, most: int) -> tuple[str, ...]:
    """The texts of a list, each once, or those of one text with commas between."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return ()
    texts = (kept_text(one, longest) for one in value[:most])
    return tuple(dict.fromkeys(text for text in texts if text))
