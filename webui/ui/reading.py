"""JSON as the page's scripts and clients send it. No gradio here."""

from __future__ import annotations

import json
from typing import Any

from webui.errors import InvalidRequest


def read_json(body: bytes | str | None) -> dict[str, Any]:
    """The JSON object of a body. Raises InvalidRequest for anything else, and where it holds what no answer could say:
    NaN, numbers beyond all bounds, half of a character."""
    try:
        values = json.loads(body or b"")
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InvalidRequest("The body is no JSON object.")
    return values
