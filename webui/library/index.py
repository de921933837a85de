"""The library itself: which files there are, what they are, and what is known about them, in one SQLite file.

Several processes may open it. Each looks at the folders for itself; what one of them has read or computed, all have.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from webui.errors import NotFound
from webui.library.background import Background, Status
from webui.library.database import Database
from webui.library.files import Found, ModelFile, is_picture, roots, scan, stamp, stem_of
from webui.library.hashes import hash_file
from webui.library.notes import Notes, check_changes, plain, read_notes, write_notes
from webui.paths import Paths

log = logging.getLogger(__name__)

ABSENT_DAYS = 180  # that hashes and facts of a vanished file are kept: disks come and go
BATCH, LONGEST_BATCH = 50, 0.5  # files and seconds of reading before what was found is written
HEX = re.compile(r"[0-9a-f]{6,64}")
LISTED = "present AND kind NOT IN ('', 'picture')"  # not those that are just pictures, see recognise.NO_MODEL
_LOOK = "path, size, modified, beside, root"


class Library:
    """Every model file in the folders of `paths`. All methods may be called from any thread.

    `file` is the SQLite file (None: in memory). Making one looks at the names of the files, and opens none of them.
    """

    def __init__(self, paths: Paths, file: Path | None = None):
        self.paths = paths
        self.database = Database(file)
        self._lock = threading.RLock()
        self._lists: dict[str, tuple[Any, list[ModelFile]]] = {}
        self._generation = self.database.generation
        self._roots: tuple[str, ...] = ()
        self.background, self._started, self._closed = Background(self), False, False
        self.refresh()

    def start(self, busy: Callable[[], bool] = lambda: False) -> None:
        """Read and hash in the background from now on; in one process only. `busy`: whether a job runs.

        Once the library is closed nothing begins any more: the thread that starts it may come too late.
        """
        with self._lock:
            if not self._closed:
                self.background, self._started = Background(self, busy), True
                self.background.start()

    def pause(self) -> None:
        """Leave the background work where it is."""
        self.background.stop()

    def go_on(self) -> None:
        """Take it up again, if it was ever started here."""
        if self._started:
            self.background.start()

    def close(self) -> None:
        """End the background work and let go of the file."""
        with self._lock:
            self._closed = True
        self.background.close()
        self.database.close()

    # The folders ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the folders again. What is known of unchanged, moved and renamed files is kept."""
        with self._lock:
            self._roots = tuple(dict.fromkeys(str(folder) for folder, _, _ in roots(self.paths)))
            found = {one.path: one for one in scan(self.paths)}
            known = {row["path"]: row for row in self.database.read(self.here("present", _LOOK))}
            steps: list[tuple[str, Sequence[Any]]] = []
            gone = [path for path in known if path not in found]
            steps += [("UPDATE files SET present = 0, seen = ? WHERE path = ?", (time.time(), path)) for path in gone]
            for path, one in found.items():
                if path not in known:
                    steps += self._new(one, gone)
                elif (known[path]["size"], known[path]["modified"]) != (one.size, one.modified):
                    steps += [_forget(path), _insert(one)]
                elif (known[path]["beside"], known[path]["root"]) != (one.beside, one.root):
                    steps.append(_insert(one))
            if steps:
                steps.append(("DELETE FROM files WHERE NOT present AND seen < ?", (time.time() - ABSENT_DAYS * 86400,)))
            self._write(steps)
            self._generation = self.database.generation
        if steps:
            self.background.wake()

    def _new(self, one: Found, gone: Sequence[str]) -> list[tuple[str, Sequence[Any]]]:
        """Statements for a file that was not listed: it may have been here before, or be another one renamed."""
        rows = self.database.read("SELECT path, size, modified FROM files WHERE path = ?", (one.path,))
        if rows and (rows[0]["size"], rows[0]["modified"]) == (one.size, one.modified):
            return [_insert(one)]
        steps: list[tuple[str, Sequence[Any]]] = [_forget(one.path)] if rows else []
        if one.inode and gone:
            marks = ", ".join("?" * len(gone))
            same = "inode = ? AND size = ? AND modified = ?"
            moved = self.database.read(
                f"SELECT path FROM files WHERE {same} AND path IN ({marks})",
                (one.inode, one.size, one.modified, *gone),
            )
            if len(moved) == 1:
                values = (one.path, identity(one.path), moved[0]["path"])
                # The name may say something too, so the header is read again; the hashes are what takes long.
                steps.append(("UPDATE files SET path = ?, id = ?, reader = '', noted = '' WHERE path = ?", values))
        return [*steps, _insert(one)]

    # Lists ------------------------------------------------------------------------------------------------------

    def files(self, kind: str) -> list[ModelFile]:
        """All files of a kind (one of `paths.MODEL_FOLDERS`), by name. Kinds are those of the headers as far as those
        have been read, else those of the folders."""
        self._refill()
        if kind == "embeddings":
            self._look_into_pictures()
        version = (self.database.version(), self._roots)
        with self._lock:
            known = self._lists.get(kind)
            if known is None or known[0] != version:
                rows = self.database.read(f"{self.here('kind = ? AND present')} ORDER BY name COLLATE NOCASE", (kind,))
                known = self._lists[kind] = (version, [model_file(row) for row in rows])
        return list(known[1])

    def row(self, file_id: str) -> sqlite3.Row:
        """Everything stored about a file. Raises NotFound."""
        rows = self.database.read(self.here("id = ? AND present"), (file_id,))
        if not rows:
            raise NotFound("There is no such file in the library.", "", "It may have been moved; refresh the list.")
        return rows[0]

    def trained_as(self, kind: str, name: str) -> ModelFile | None:
        """The file whose trainer was told to call it so."""
        return self._first("alias = ? AND kind = ? AND present", (name.casefold(), kind))

    def with_data_hash(self, kind: str, digits: str) -> ModelFile | None:
        """The file of a kind whose data have this hash (or one that begins so), computed or as its metadata say."""
        digits = digits.lower()
        if not HEX.fullmatch(digits):
            return None
        computed = self._first("data_sha256 LIKE ? AND kind = ? AND present", (f"{digits}%", kind))
        return computed or self._first("stated_hash LIKE ? AND kind = ? AND present", (f"{digits}%", kind))

    def file(self, path: Path) -> ModelFile:
        """The facts of a file that need not be in any list. Raises NotFound."""
        try:
            size, modified = stamp(path)
        except OSError:
            raise NotFound(f"There is no file {path}.") from None
        rows = self.database.read("SELECT * FROM files WHERE path = ?", (str(path),))
        same = rows and (rows[0]["size"], rows[0]["modified"]) == (size, modified)
        return ModelFile(path.name, path, size, modified, rows[0]["sha256"] if same else None)

    def counts(self) -> tuple[int, int, int, int]:
        """Numbers of files, of those not read and of those not hashed yet, and the bytes of the latter."""
        sums = "count(*), total(noted != beside), total(sha256 IS NULL), total(iif(sha256 IS NULL, size, 0))"
        found = self.database.read(self.here(LISTED, sums))[0]
        return found[0], int(found[1]), int(found[2]), int(found[3])

    def mark_used(self, files: Iterable[ModelFile]) -> None:
        """Remember that a picture was made with these."""
        now = time.time()
        self._write([("UPDATE files SET used = ?, uses = uses + 1 WHERE path = ?", (now, str(f.path))) for f in files])

    def _first(self, where: str, values: Sequence[Any]) -> ModelFile | None:
        rows = self.database.read(f"{self.here(where)} ORDER BY name COLLATE NOCASE LIMIT 1", values)
        return model_file(rows[0]) if rows else None

    def here(self, where: str, columns: str = "*") -> str:
        """SQL that asks about the files of our folders; another program with other folders may share the database."""
        folders = ", ".join("'" + root.replace("'", "''") + "'" for root in self._roots)
        return f"SELECT {columns} FROM files WHERE {where} AND root IN ({folders})"

    def _refill(self) -> None:
        if self.database.generation != self._generation:
            self.refresh()

    def _write(self, steps: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """What cannot be remembered (a full disk, another process that holds on) is found out again next time."""
        try:
            self.database.write(steps)
        except sqlite3.OperationalError as error:
            log.warning("the library could not be written: %s", error)

    # Reading ----------------------------------------------------------------------------------------------------

    def read_pending(self, place: str | None = None, go_on: Callable[[], bool] = lambda: True) -> int:
        """Read the headers and notes that have not been read since their files changed; returns how many files.

        `place` limits it to one kind of folder; `go_on` is asked after each file.
        """
        from webui.library.recognise import reader_version

        version = reader_version()
        where = "present AND (reader != ? OR noted != beside)" + (" AND place = ?" if place else "")
        order = "ORDER BY place != 'checkpoints', stem"
        rows = self.database.read(f"{self.here(where)} {order}", (version, place) if place else (version,))
        self._read(rows, version, go_on)
        return len(rows)

    def _look_into_pictures(self) -> None:
        rows = self.database.read(self.here("present AND reader = '' AND place = 'embeddings' AND kind = ''"))
        if rows:
            from webui.library.recognise import reader_version

            self._read(rows, reader_version(), lambda: True)

    def _read(self, rows: Sequence[sqlite3.Row], version: str, go_on: Callable[[], bool]) -> None:
        steps: list[tuple[str, Sequence[Any]]] = []
        written = time.monotonic()
        for row in rows:
            if not go_on():
                break
            steps.append(_reading(row, version))
            if len(steps) >= BATCH or time.monotonic() - written > LONGEST_BATCH:
                self._write(steps)
                steps, written = [], time.monotonic()
        self._write(steps)

    # Hashes -----------------------------------------------------------------------------------------------------

    def sha256(self, file: ModelFile, data: bool = False, on_block: Callable[[int], bool] = lambda size: True) -> str:
        """The file's SHA-256 in hexadecimal, read once and remembered by path, size and time of change.

        With `data`, that of a safetensors file without its header, by which LoRAs are known whatever was noted in them.
        Raises FileError, or Cancelled when `on_block` (see `hashes.hash_file`) returns False.
        """
        same = (str(file.path), file.size, file.modified)
        rows = self.database.read(
            "SELECT sha256, data_sha256 FROM files WHERE path = ? AND size = ? AND modified = ?", same
        )
        if rows and rows[0]["sha256"]:
            return str(rows[0]["data_sha256"] if data else rows[0]["sha256"])
        found = hash_file(file.path, on_block)
        values = (found.whole, found.data, found.old)
        columns = "id, path, root, place, name, folder, stem, size, modified, inode, beside, present, seen, kind"
        insert = (  # for a file that lies in none of the folders
            f"INSERT INTO files ({columns}) VALUES (?, ?, '', '', ?, '', ?, ?, ?, '', '[]', 0, ?, '')"
            " ON CONFLICT (path) DO UPDATE SET size = excluded.size, modified = excluded.modified, reader = ''"
            " WHERE NOT present",
            (identity(same[0]), same[0], file.name, file.stem.casefold(), *same[1:], time.time()),
        )
        update = (
            "UPDATE files SET sha256 = ?, data_sha256 = ?, old_hash = ? WHERE path = ? AND size = ? AND modified = ?"
        )
        self._write([insert, (update, (*values, *same))])
        return found.data if data else found.whole

    def unhashed(self) -> list[ModelFile]:
        """Files without a hash, the quick ones first."""
        rows = self.database.read(f"{self.here(f'{LISTED} AND sha256 IS NULL')} ORDER BY size")
        return [model_file(row) for row in rows]

    def status(self) -> Status:
        """How far reading and hashing are."""
        return self.background.status()

    # Notes ------------------------------------------------------------------------------------------------------

    def edit(self, file_id: str, changes: dict[str, Any]) -> None:
        """Change what is noted about a file (`notes.EDITABLE`), in the JSON file beside it.

        Raises NotFound, InvalidRequest, FileError.
        """
        row, checked = self.row(file_id), check_changes(changes)
        write_notes(stem_path(row), checked)
        self.read_again(row)

    def read_again(self, row: sqlite3.Row) -> None:
        """Take over at once what was changed in the files beside a model."""
        self.refresh()
        from webui.library.recognise import reader_version

        rows = self.database.read(self.here("stem = ? AND present AND noted != beside"), (row["stem"],))
        self._read(rows, reader_version(), lambda: True)


def open_library(paths: Paths) -> Library:
    """The library of the user's folders, remembered in the data folder."""
    return Library(paths, paths.data / "library.sqlite")


def identity(path: str) -> str:
    """What a file is called in addresses: it does not tell where the file lies."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:24]


def model_file(row: sqlite3.Row) -> ModelFile:
    """A row as the rest of the program knows it."""
    return ModelFile(row["name"], Path(row["path"]), row["size"], row["modified"], row["sha256"])


def stem_path(row: sqlite3.Row) -> Path:
    """The path without the suffix of a model file, to which the endings of notes and pictures are added."""
    path = Path(row["path"])
    return path.with_name(stem_of(path.name))


def _presumed(one: Found) -> str:
    """What a file is taken for until its header has been read."""
    if is_picture(one.path):
        return ""  # most are just pictures
    stem = stem_of(one.name).lower()
    if stem.endswith(".vae"):
        return "vae"
    return "preview_decoders" if stem.endswith("_preview") and one.place == "checkpoints" else one.place


def _insert(one: Found) -> tuple[str, Sequence[Any]]:
    """Add a file, or take over where an unchanged one lies now."""
    folder = one.name.rpartition("/")[0]
    values = {
        "id": identity(one.path),
        **asdict(one),
        "folder": folder,
        "stem": stem_of(one.name.rpartition("/")[2]).casefold(),
        "present": 1,
        "seen": time.time(),
        "kind": _presumed(one),
    }
    names = ", ".join(values)
    kept = ", ".join(f"{name} = excluded.{name}" for name in values if name not in ("id", "path", "kind"))
    kind = "kind = iif(reader = '', excluded.kind, kind), noted = iif(place = excluded.place, noted, '')"
    marks = ", ".join("?" * len(values))
    sql = f"INSERT INTO files ({names}) VALUES ({marks}) ON CONFLICT (path) DO UPDATE SET {kept}, {kind}"
    return sql, tuple(values.values())


def _forget(path: str) -> tuple[str, Sequence[Any]]:
    """Nothing is known any more of a file that has changed."""
    return "DELETE FROM files WHERE path = ?", (path,)


def _reading(row: sqlite3.Row, version: str) -> tuple[str, Sequence[Any]]:
    """The statement that stores what a file's header (if it changed) and the notes beside it say."""
    from webui.library.recognise import recognise, recognised_from

    if row["reader"] == version:
        facts = recognised_from(row["facts"])
    else:
        facts = recognise(Path(row["path"]), row["place"], row["name"])
    names = [name for name, _ in json.loads(row["beside"])]
    notes = read_notes(stem_path(row), names)
    kind = facts.kind or row["place"]
    if kind == "diffusion_models" and row["place"] == "checkpoints":
        kind = "checkpoints"  # a network without text encoders is one as well: the folder decides how it is used
    bases = (notes.base,) if notes.base else facts.bases or tuple(filter(None, [notes.page_base]))
    values: dict[str, Any] = {
        "reader": version,
        "noted": row["beside"],
        "kind": kind,
        "alias": facts.alias.casefold(),
        "stated_hash": facts.stated_hash,
        "bases": "|" + "|".join(bases) + "|" if bases else "",
        "width": facts.width,
        "rank": facts.rank,
        "favourite": int(notes.favourite),
        "search": _words(row["name"], facts, notes),
        "facts": json.dumps(asdict(facts), ensure_ascii=False),
        "notes": json.dumps(plain(notes), ensure_ascii=False),
    }
    where = "path = ? AND size = ? AND modified = ?"
    sql = f"UPDATE files SET {', '.join(f'{name} = ?' for name in values)} WHERE {where}"
    return sql, (*values.values(), row["path"], row["size"], row["modified"])


def _words(name: str, facts: Any, notes: Notes) -> str:
    said = (name, facts.title, facts.alias, facts.family, facts.variant, facts.author, facts.phrase, *facts.words)
    noted = (notes.title, notes.activation, *notes.tags, *notes.words, notes.notes, notes.description)
    return "\n".join(text for text in (*said, *noted, facts.description) if text).casefold()[:20_000]
