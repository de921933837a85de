"""The unload job: gives back the memory of everything that is loaded. The next job loads what it needs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webui.errors import InvalidRequest

if TYPE_CHECKING:
    from webui.workers.tasks import TaskJob


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """It takes no values. Raises InvalidRequest."""
    if values:
        raise InvalidRequest(f"There is no field {next(iter(values))!r}.", "Nothing was wanted.")
    return {}


def run(values: Mapping[str, Any], job: TaskJob) -> None:
    """Free all models."""
    job.session.unload()
