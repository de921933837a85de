"""Where a finished picture can be sent: a tab that takes pictures adds a target and gets a button under the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio.components import Component

from webui.errors import InvalidRequest


@dataclass(frozen=True)
class Picture:
    """The picture that is shown when the button is pressed."""

    path: Path
    infotext: str


@dataclass(frozen=True)
class Target:
    """One button. `receive(picture)` returns one update for each of `outputs`; `label_key` is a key of the locales."""

    name: str
    label_key: str
    outputs: Sequence[Component]
    receive: Callable[[Picture], Sequence[Any]]


def chosen_picture(service: Any, selection: str) -> Picture:
    """The picture that "job/index" names. Raises InvalidRequest when there is none, NotFound for an unknown job."""
    job_id, _, index = selection.partition("/")
    results = service.job(job_id).results if job_id else ()
    if not index.isdecimal() or int(index) >= len(results):
        raise InvalidRequest("No picture is selected.", "", "Make one, or pick one from the strip below the picture.")
    result = results[int(index)]
    return Picture(Path(result.path), result.infotext)
