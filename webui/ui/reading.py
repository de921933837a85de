"""JSON as the page's scripts and clients send it. No gradio here."""

from __future__ import annotations

import json
from typing import Any

from webui.errors import InvalidRequest


def read_json(body: bytes | str) -> dict[str, Any]:
    """The JSON object of a body. Raises InvalidRequest for anything else."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InvalidRequest("The body is no JSON object.")
    return values
