"""Every finished picture: what it shows, by what it was made, and how much it is liked.

The index is an SQLite file that can be made again from the pictures alone, except for favourites and ratings, which
`history.json` beside it keeps as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from webui.errors import EmulsionError, NotFound
from webui.infotext_format import read_infotext
from webui.library.database import Database, Schema
from webui.settings import write_atomically

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif")
PAGE = 60
TRIGRAM = 3  # characters of the shortest word that the text index finds; shorter ones are searched for in every text
_LORA = re.compile(r"<(?:lora|lyco):([^:<>]+)")
_PICTURES = """
CREATE TABLE IF NOT EXISTS pictures (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,            -- of the file
    folder TEXT NOT NULL,          -- below the output folder, "/" between parts
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,     -- nanoseconds
    made REAL NOT NULL,            -- seconds since 1970
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    infotext TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    sampler TEXT NOT NULL,
    loras TEXT NOT NULL,           -- "|name|name|"
    seed TEXT NOT NULL,
    favourite INTEGER NOT NULL DEFAULT 0,
    rating INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
);

CREATE INDEX IF NOT EXISTS pictures_by_time ON pictures (made DESC, number DESC);

CREATE INDEX IF NOT EXISTS pictures_by_checkpoint ON pictures (checkpoint);

CREATE VIRTUAL TABLE IF NOT EXISTS words
    USING fts5(infotext, name, content='pictures', content_rowid='number', tokenize='trigram');

CREATE TRIGGER IF NOT EXISTS pictures_added AFTER INSERT ON pictures BEGIN
    INSERT INTO words(rowid, infotext, name) VALUES (new.number, new.infotext, new.name); END;

CREATE TRIGGER IF NOT EXISTS pictures_gone AFTER DELETE ON pictures BEGIN
    INSERT INTO words(words, rowid, infotext, name) VALUES ('delete', old.number, old.infotext, old.name); END;

CREATE TRIGGER IF NOT EXISTS pictures_changed AFTER UPDATE OF infotext ON pictures BEGIN
    INSERT INTO words(words, rowid, infotext, name) VALUES ('delete', old.number, old.infotext, old.name);
    INSERT INTO words(rowid, infotext, name) VALUES (new.number, new.infotext, new.name); END;
"""
HISTORY = Schema(2, ("pictures", "words"), _PICTURES)
_COLUMNS = "id, path, name, folder, size, modified, made, width, height, infotext, checkpoint, sampler, loras, seed"
_COLUMNS += ", problem"
_WISH = re.compile(r'(-?)(?:["“”]([^"“”]*)(?:["“”]|$)|(\S+))')  # -, then "words in a row" or a word


@dataclass(frozen=True)
class Filter:
    """Which pictures are wanted. Texts are compared as they stand; dates are seconds since 1970, sides are pixels."""

    text: str = ""  # each word, or "words in a row", must stand in infotext or file name, each -word in neither
    checkpoint: str = ""
    lora: str = ""
    sampler: str = ""
    folder: str = ""
    after: float = 0.0
    before: float = 0.0  # 0: no bound
    smallest: int = 0  # shorter side
    rating: int = 0  # at least
    favourites: bool = False


@dataclass(frozen=True)
class PicturePage:
    """Some pictures, newest first, and where the next ones begin: None after the last."""

    pictures: tuple[dict[str, Any], ...]
    next: str | None


class History:
    """The index of the output folders. Every method may be called from any thread.

    `file` is the SQLite file (None: in memory), `folders` are searched by `rebuild`; a picture outside of them is found
    only if `add` was told of it.
    """

    def __init__(self, file: Path | None, folders: Sequence[Path]):
        self.folders = tuple(folders)
        self._marks_file = file.with_name("history.json") if file else None
        self._lock = threading.RLock()
        self._marks = self._read_marks()
        self.database = Database(file, HISTORY)
        self._choices: tuple[tuple[int, int, int], dict[str, list[str]]] | None = None  # as of a version of the index

    def add(self, path: Path) -> str | None:
        """Index one picture, or index it again. Returns its id; None where there is no such file."""
        row = self._row(path)
        if row is None:
            return None
        self.database.write([_insert(row, self._marks.get(row["id"], {}))])
        return row["id"]

    def rebuild(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Bring the index up to date with the folders; returns how many pictures it holds. Damaged files are listed.

        `go_on()` is asked between files; once it says no, the rest is left for another time.
        """
        known = {row["path"]: row for row in self.database.read("SELECT path, size, modified FROM pictures")}
        found: set[str] = set()
        steps: list[tuple[str, Sequence[Any]]] = []
        for path, size, modified in _walk(self.folders):
            if not go_on():
                break
            found.add(str(path))
            old = known.get(str(path))
            if old is None or (old["size"], old["modified"]) != (size, modified):
                row = self._row(path)
                if row is not None:
                    steps.append(_insert(row, self._marks.get(row["id"], {})))
            if len(steps) >= 200:
                self.database.write(steps)
                steps = []
        else:
            gone = [path for path in known if path not in found and not Path(path).is_file()]
            steps += [("DELETE FROM pictures WHERE path = ?", (path,)) for path in gone]
        self.database.write(steps)
        return int(self.database.read("SELECT count(*) FROM pictures")[0][0])

    def page(
        self, wanted: Filter = Filter(), start: str | None = None, limit: int = PAGE, offset: int = 0
    ) -> PicturePage:
        """Pictures that a filter lets through, newest first: from `start` (the `next` of the page before) or from the
        top, with the first `offset` of them left out."""
        where, values = _where(wanted)
        if start:
            made, _, number = start.partition(":")
            where.append("(made, number) < (?, ?)")
            values += [_number(made), int(_number(number))]
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self.database.read(
            f"SELECT number, favourite, rating, {_COLUMNS} FROM pictures {condition}"
            " ORDER BY made DESC, number DESC LIMIT ? OFFSET ?",
            [*values, limit + 1, offset],
        )
        last = rows[limit - 1] if len(rows) > limit else None
        return PicturePage(tuple(map(_shown, rows[:limit])), f"{last['made']!r}:{last['number']}" if last else None)

    def count(self, wanted: Filter = Filter()) -> int:
        """How many pictures a filter lets through."""
        where, values = _where(wanted)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        return int(self.database.read(f"SELECT count(*) FROM pictures {condition}", values)[0][0])

    def choices(self) -> dict[str, list[str]]:
        """What can be filtered by: checkpoints, samplers, folders and LoRAs that occur, by name."""
        version = self.database.version()
        with self._lock:
            if self._choices is None or self._choices[0] != version:
                self._choices = version, self._read_choices()
            return self._choices[1]

    def _read_choices(self) -> dict[str, list[str]]:
        found = {}
        for column in ("checkpoint", "sampler", "folder"):
            rows = self.database.read(f"SELECT DISTINCT {column} FROM pictures ORDER BY 1")
            found[column] = [row[0] for row in rows if row[0]]
        loras = self.database.read("SELECT DISTINCT loras FROM pictures")
        found["lora"] = sorted({name for row in loras for name in row[0].strip("|").split("|") if name})
        return found

    def picture(self, picture_id: str) -> dict[str, Any]:
        """One picture with everything that is known. Raises NotFound."""
        rows = self.database.read(
            f"SELECT number, favourite, rating, {_COLUMNS} FROM pictures WHERE id = ?", (picture_id,)
        )
        if not rows:
            raise NotFound("There is no such picture.", "", "It may have been moved or deleted.")
        return _shown(rows[0])

    def path(self, picture_id: str) -> Path:
        """Where a picture lies. Raises NotFound, also when it is not there any more."""
        path = Path(self.picture(picture_id)["path"])
        if path.is_symlink() or not path.is_file():  # a link could have taken its place
            self.forget([picture_id])
            raise NotFound(f"{path.name} is not there any more.", "", "It was moved or deleted by another program.")
        return path

    def paths(self, picture_ids: Iterable[str]) -> dict[str, Path]:
        """Where pictures lie, by id, without those that are gone. Raises NotFound where all of them are."""
        found: dict[str, Path] = {}
        gone: NotFound | None = None
        for picture_id in picture_ids:
            try:
                found[picture_id] = self.path(picture_id)
            except NotFound as error:
                gone = error
        if gone is not None and not found:
            raise gone
        return found

    def mark(self, picture_id: str, favourite: bool | None = None, rating: int | None = None) -> dict[str, Any]:
        """Favour or rate (0 to 5) a picture; None leaves it as it is. Raises NotFound."""
        before = self.picture(picture_id)
        marks = {
            "favourite": before["favourite"] if favourite is None else favourite,
            "rating": before["rating"] if rating is None else max(0, min(5, rating)),
        }
        with self._lock:
            if any(marks.values()):
                self._marks[picture_id] = marks
            else:
                self._marks.pop(picture_id, None)
            if self._marks_file is not None:
                write_atomically(self._marks_file, json.dumps(self._marks).encode())
        changed = (int(marks["favourite"]), marks["rating"], picture_id)
        self.database.write([("UPDATE pictures SET favourite = ?, rating = ? WHERE id = ?", changed)])
        return self.picture(picture_id)

    def forget(self, picture_ids: Iterable[str]) -> None:
        """Take pictures out of the index; their files are left alone."""
        self.database.write([("DELETE FROM pictures WHERE id = ?", (one,)) for one in picture_ids])

    def _row(self, path: Path) -> dict[str, Any] | None:
        from webui.imaging.metadata import read_metadata  # brings Pillow, which the start can do without

        try:
            stat = path.stat()
        except OSError:
            return None
        row: dict[str, Any] = {
            "id": hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:24],
            "path": str(path),
            "name": path.name,
            "folder": _folder(path, self.folders),
            "size": stat.st_size,
            "modified": stat.st_mtime_ns,
            "made": stat.st_mtime_ns / 1e9,
            "problem": "",
        }
        try:
            found = read_metadata(path)
        except EmulsionError as error:
            return {**row, **_facts("", 0, 0), "problem": str(error)}
        return {**row, **_facts(found.infotext or "", found.width, found.height)}

    def _read_marks(self) -> dict[str, dict[str, Any]]:
        try:
            said = json.loads(self._marks_file.read_text("utf-8")) if self._marks_file else {}
        except (OSError, ValueError):
            return {}
        said = said if isinstance(said, dict) else {}
        return {name: marks for name, marks in said.items() if isinstance(marks, dict)}


def _facts(infotext: str, width: int, height: int) -> dict[str, Any]:
    read = read_infotext(infotext)
    loras = dict.fromkeys(name.strip() for name in _LORA.findall(read.prompt))
    return {
        "width": width,
        "height": height,
        "infotext": infotext,
        "checkpoint": read.fields.get("Model", ""),
        "sampler": read.fields.get("Sampler", ""),
        "loras": f"|{'|'.join(loras)}|" if loras else "",
        "seed": read.fields.get("Seed", ""),
    }


def _insert(row: Mapping[str, Any], marks: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
    names = _COLUMNS.split(", ")
    kept = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
    places = ", ".join("?" * (len(names) + 2))
    return (
        f"INSERT INTO pictures ({_COLUMNS}, favourite, rating) VALUES ({places}) ON CONFLICT(id) DO UPDATE SET {kept}",
        [*(row[name] for name in names), int(bool(marks.get("favourite"))), _rating(marks.get("rating"))],
    )


def _rating(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= 5 else 0


def _where(wanted: Filter) -> tuple[list[str], list[Any]]:
    """The conditions of a filter as SQL, with their values."""
    parts = _words(wanted.text)
    for column in ("checkpoint", "sampler", "folder"):
        parts += [(f"{column} = ?", [getattr(wanted, column)])] if getattr(wanted, column) else []
    parts += [("instr(loras, ?) > 0", [f"|{wanted.lora}|"])] if wanted.lora else []
    parts += [("made >= ?", [wanted.after])] if wanted.after else []
    parts += [("made < ?", [wanted.before])] if wanted.before else []
    parts += [("min(width, height) >= ?", [wanted.smallest])] if wanted.smallest else []
    parts += [("rating >= ?", [wanted.rating])] if wanted.rating else []
    parts += [("favourite = ?", [1])] if wanted.favourites else []
    return [sql for sql, _ in parts], [value for _, values in parts for value in values]


def _words(text: str) -> list[tuple[str, list[Any]]]:
    """The conditions of what somebody searches for."""
    wishes = [(sign, together.strip() or word) for sign, together, word in _WISH.findall(text) if word != "-"]
    parts: list[tuple[str, list[Any]]] = []
    for sign, words in wishes:
        if 0 < len(words) < TRIGRAM:  # SQLite knows the lower case of ASCII alone
            where = " OR ".join(f"instr({text}, ?)" for text in ("lower(infotext)", "lower(name)", "infotext"))
            parts.append((f"{'NOT ' if sign else ''}({where})", [words.lower(), words.lower(), words]))
    for sign, together in (("", " "), ("-", " OR ")):
        indexed = [
            '"' + words.replace('"', '""') + '"' for own, words in wishes if own == sign and len(words) >= TRIGRAM
        ]
        if indexed:
            # The plus keeps to the order of time, so that the newest matches are found first and the rest is not read.
            chosen = "+number NOT IN" if sign else "+number IN"
            parts.append((f"{chosen} (SELECT rowid FROM words WHERE words MATCH ?)", [together.join(indexed)]))
    return parts


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    values = {name: row[name] for name in _COLUMNS.split(", ")}
    loras = [name for name in values["loras"].strip("|").split("|") if name]
    marks = {"favourite": bool(row["favourite"]), "rating": row["rating"]}
    return {**values, **marks, "loras": loras}


def _folder(path: Path, folders: Sequence[Path]) -> str:
    for folder in folders:
        if folder in path.parents:
            return path.parent.relative_to(folder).as_posix().removeprefix(".")
    return ""


def _walk(folders: Sequence[Path]) -> Iterator[tuple[Path, int, int]]:
    """Pictures below the folders with size and time of change, hidden ones and links left out."""
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                    continue
                path = Path(place, name)
                try:
                    stat = path.lstat()
                except OSError:
                    continue  # it vanished while we looked
                if not S_ISREG(stat.st_mode):
                    continue
                yield path, stat.st_size, stat.st_mtime_ns
