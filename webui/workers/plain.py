"""Settings and devices as plain data, for the way to a worker and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest
from webui.paths import Paths
from webui.settings import Settings

MOST_WORKERS = 64
SHARED_CORES = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait for each other leave the core to one that works


@dataclass(frozen=True)
class WorkerSettings:
    """All that an engine is made from."""

    settings: Settings
    device: str = "auto"
    precision: str = "auto"
    extensions: bool = True  # whether installed extensions are loaded
    place: int = 0  # among the workers on devices of this name, from 0
    places: int = 1  # how many these are


def lanes(device: str, workers: int | None = None) -> tuple[dict[str, Any], ...]:
    """What each worker is told beside the settings that all get, one entry a worker.

    `device` names one device or several with commas between. Several workers on "cuda" get a card each, on "auto" too
    where there are cards, else they divide the cores. Raises InvalidRequest.
    """
    names = [name.strip() for name in device.split(",")]
    if not all(names):
        raise InvalidRequest(f"--device {device} has an empty name.", "Wanted: such as cuda:0,cuda:1.")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise InvalidRequest(f"--workers is {workers}.", f"It must be from 1 to {MOST_WORKERS}.")
    if len(names) > 1 and workers not in (None, len(names)):
        raise InvalidRequest(f"--device names {len(names)} devices, --workers {workers}.", "Leave --workers out.")
    names = names if len(names) > 1 else names * (workers or 1)
    found = []
    for index, name in enumerate(names):
        place, places = names[:index].count(name), names.count(name)
        known = f"cuda:{place}" if name == "cuda" and places > 1 else name
        one: dict[str, Any] = {"device": known, "place": place, "places": places}
        found.append(one | ({"environment": SHARED_CORES} if places > 1 and name in ("auto", "cpu") else {}))
    return tuple(found)


def to_plain(wanted: WorkerSettings) -> dict[str, Any]:
    """As JSON can hold it."""
    paths = wanted.settings.paths
    return {
        "paths": {
            **{name: str(getattr(paths, name)) for name in ("data", "models", "outputs", "program")},
            "extra": {kind: [str(folder) for folder in folders] for kind, folders in paths.extra.items()},
        },
        "values": {name: _listed(value) for name, value in wanted.settings.values.items()},
        "device": wanted.device,
        "precision": wanted.precision,
        "extensions": wanted.extensions,
        "place": wanted.place,
        "places": wanted.places,
    }


def from_plain(data: Mapping[str, Any]) -> WorkerSettings:
    """What `to_plain` was given."""
    paths = dict(data["paths"])
    extra = {kind: tuple(Path(folder) for folder in folders) for kind, folders in paths.pop("extra").items()}
    settings = Settings(Paths(extra=extra, **{name: Path(folder) for name, folder in paths.items()}))
    plain = {name: data[name] for name in ("device", "precision", "extensions", "place", "places")}
    return dataclasses.replace(WorkerSettings(settings.changed(data["values"])), **plain)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
