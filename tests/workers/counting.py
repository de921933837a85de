"""A task of the tests: the fake engine counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.errors import InvalidRequest


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """A number of steps, 3 unless told."""
    steps = values.get("steps", 3)
    if not isinstance(steps, int):
        raise InvalidRequest(f"steps is {steps!r}.", "A whole number was wanted.")
    return {"steps": steps}
