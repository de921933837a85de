"""Names of samplers and schedules without torch: remembered from the worker's last start with the same files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_SOURCES = (Path(__file__).parent.parent / "diffusion",)


def fingerprint(engine: str, extensions: Iterable[Path] = ()) -> str:
    """Changes when a file that can register a name does; cheap, as only sizes and times are looked at."""
    files = [file for folder in (*_SOURCES, *extensions) if folder.is_dir() for file in sorted(folder.rglob("*.py"))]
    facts = [f"{file}:{stat.st_size}:{stat.st_mtime_ns}" for file in files if (stat := file.stat())]
    return "\n".join([engine, *facts])


def remember(path: Path, key: str, names: Mapping[str, Any]) -> None:
    """Write names down. A folder that cannot be written costs the next start some seconds, nothing more."""
    with contextlib.suppress(OSError):
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps({"key": key, "names": names}))
        part.replace(path)


def recall(path: Path, key: str) -> dict[str, Any]:
    """Names written under the same key, or nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(path.read_text())
        if data["key"] == key:
            return dict(data["names"])
    return {}
