"""Deleting is moving: a model file and what lies beside it go into a folder of the trash, and can come back."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from webui.errors import FileError, InvalidRequest, NotFound
from webui.library.files import SUFFIXES
from webui.library.index import Library, stem_path
from webui.settings import write_atomically

LIST = "trash.json"  # in each folder: what it holds and where that was


@dataclass(frozen=True)
class Trashed:
    """One file in the trash, with the names of what went with it. `moved` is in seconds since 1970."""

    id: str
    name: str
    kind: str
    folder: str
    names: tuple[str, ...]
    size: int
    moved: float


def to_trash(library: Library, file_id: str) -> Trashed:
    """Move a file, its notes and its preview to the trash in the data folder.

    What another model of the same stem needs as well stays. Raises NotFound, InvalidRequest for the starter, FileError
    when it cannot be moved.
    """
    row = library.row(file_id)
    path = Path(row["path"])
    if library.paths.starter in path.parents:
        raise InvalidRequest("The starter belongs to the program.", "Files of your own can be deleted.")
    trashed = Trashed(
        f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}",
        row["name"],
        row["kind"],
        str(path.parent),
        (path.name, *_companions(row)),
        row["size"],
        time.time(),
    )
    place = _trash(library) / trashed.id
    try:
        write_atomically(place / LIST, json.dumps(asdict(trashed), ensure_ascii=False, indent=1).encode())
        _move([(path.parent / name, place / name) for name in trashed.names])
    except OSError as error:
        _drop(place)
        raise FileError(
            f"{path.name} cannot be moved to the trash: {error.strerror or error}.",
            "",
            "Close the programs that use it, or make some space.",
        ) from None
    library.refresh()
    return trashed


def list_trash(library: Library) -> list[Trashed]:
    """What is in the trash, the latest first."""
    found = []
    for path in _trash(library).glob(f"*/{LIST}"):
        try:
            said = json.loads(path.read_text("utf-8"))
            found.append(Trashed(**{**said, "id": path.parent.name, "names": tuple(said["names"])}))
        except (OSError, ValueError, TypeError, KeyError):
            continue  # a folder of somebody else
    return sorted(found, key=lambda one: one.moved, reverse=True)


def restore(library: Library, trash_id: str) -> Trashed:
    """Put a file and what went with it back where it was.

    Raises NotFound for an unknown id, FileError where something lies there now or cannot be written.
    """
    one = next((one for one in list_trash(library) if one.id == trash_id), None)
    if one is None:
        raise NotFound("This is not in the trash.", "", "It may have been put back already.")
    place, folder = _trash(library) / one.id, Path(one.folder)
    moves = [(place / name, folder / name) for name in one.names if (place / name).exists()]
    taken = [target.name for _, target in moves if target.exists()]
    if taken:
        raise FileError(f"{taken[0]} lies in its old place already.", "", "Rename or move that one first.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _move(moves)
    except OSError as error:
        raise FileError(f"{one.name} cannot be put back: {error.strerror or error}.") from None
    _drop(place)
    library.refresh()
    return one


def _trash(library: Library) -> Path:
    return library.paths.data / "trash"


def _companions(row: sqlite3.Row) -> list[str]:
    """Names of notes and pictures that no other model shares."""
    stem, own = stem_path(row), Path(row["path"]).name
    others = [f"{stem.name}{suffix}" for suffix in SUFFIXES if f"{stem.name}{suffix}" != own]
    if any(stem.with_name(name).exists() for name in others):
        return []
    return [name for name, _ in json.loads(row["beside"]) if stem.with_name(name).is_file()]


def _move(moves: list[tuple[Path, Path]]) -> None:
    """Move all of them, or put back those that were moved already."""
    for number, (source, target) in enumerate(moves):
        try:
            shutil.move(source, target)
        except OSError:
            if source.exists():  # to another disk, files are copied first: what is there now may be half of one
                shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
            for before, after in reversed(moves[:number]):
                shutil.move(after, before)
            raise


def _drop(place: Path) -> None:
    """Take away a folder of the trash that holds nothing but its list."""
    if not any(path.name != LIST for path in place.glob("*")):
        shutil.rmtree(place, ignore_errors=True)
