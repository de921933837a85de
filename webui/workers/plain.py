"""Settings and devices as plain data, for the way to a worker and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.paths import Paths
from webui.settings import Settings


@dataclass(frozen=True)
class WorkerSettings:
    """All that an engine is made from."""

    settings: Settings
    device: str = "auto"
    precision: str = "auto"
    extensions: bool = True  # whether installed extensions are loaded


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
    }


def from_plain(data: Mapping[str, Any]) -> WorkerSettings:
    """What `to_plain` was given."""
    paths = dict(data["paths"])
    extra = {kind: tuple(Path(folder) for folder in folders) for kind, folders in paths.pop("extra").items()}
    settings = Settings(Paths(extra=extra, **{name: Path(folder) for name, folder in paths.items()}))
    plain = {name: data[name] for name in ("device", "precision", "extensions")}
    return dataclasses.replace(WorkerSettings(settings.changed(data["values"])), **plain)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
