"""Pictures that were thrown away: moved into a folder of the trash, all of one wish together, and brought back."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from webui.errors import FileError, NotFound
from webui.library.history import History
from webui.settings import write_atomically

LIST = "pictures.json"  # in each folder: name there -> where it was


def throw_away(history: History, picture_ids: Sequence[str]) -> str:
    """Move pictures to the trash in the data folder. Returns a name to bring them back by. Those that are gone already
    are left out.

    Raises NotFound where all of them are, FileError when one cannot be moved: those before it are in the trash.
    """
    paths = history.paths(picture_ids)
    name = f"pictures-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    place = _trash(history) / name
    places = {f"{picture_id}{path.suffix}": str(path) for picture_id, path in paths.items()}
    try:
        write_atomically(place / LIST, json.dumps(places, ensure_ascii=False, indent=1).encode())
        for picture_id, path in paths.items():
            shutil.move(path, place / f"{picture_id}{path.suffix}")
            history.forget([picture_id])
    except OSError as error:
        raise FileError(
            f"{path.name} cannot be moved to the trash: {error.strerror or error}.", "", "Make some space."
        ) from None
    return name


def bring_back(history: History, name: str) -> int:
    """Put pictures back where they were; returns how many. Raises NotFound, FileError where a name is taken again."""
    place = _trash(history) / Path(name).name
    try:
        places = json.loads((place / LIST).read_text("utf-8"))
    except (OSError, ValueError):
        raise NotFound("This is not in the trash.", "", "It may have been put back already.") from None
    waiting = {place / Path(entry).name: Path(where) for entry, where in places.items()}
    waiting = {entry: path for entry, path in waiting.items() if entry.is_file()}
    for entry, path in waiting.items():
        if path.exists():
            raise FileError(f"{path.name} lies in its old place already.", "", "Rename or move that one first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(entry, path)
        history.add(path)
    shutil.rmtree(place, ignore_errors=True)
    return len(waiting)


@dataclass(frozen=True)
class Thrown:
    """What one wish put into the trash: the names of its pictures, and when, in seconds since 1970."""

    trash: str
    names: tuple[str, ...]
    moved: float


def list_thrown(history: History) -> list[Thrown]:
    """What pictures are in the trash, the latest first."""
    found = []
    for path in _trash(history).glob(f"*/{LIST}"):
        try:
            places = json.loads(path.read_text("utf-8"))
            names = [Path(where).name for entry, where in places.items() if (path.parent / Path(entry).name).is_file()]
            moved = path.stat().st_mtime
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # a folder of somebody else
        if names:
            found.append(Thrown(path.parent.name, tuple(names), moved))
    return sorted(found, key=lambda one: one.moved, reverse=True)


def _trash(history: History) -> Path:
    file = history.database.path
    if file is None:
        raise FileError("There is no data folder for a trash.")
    return file.parent / "trash"
