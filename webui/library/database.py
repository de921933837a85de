"""SQLite files that hold nothing that could not be found out again, so a damaged one is put aside."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT = 5.0  # seconds for the other process that writes
_FILES = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    root TEXT NOT NULL,            -- the searched folder
    place TEXT NOT NULL,           -- the kind of that folder
    name TEXT NOT NULL,            -- path below it
    folder TEXT NOT NULL,          -- the same without the file's own name
    stem TEXT NOT NULL,            -- casefolded, for sorting and for names that occur twice
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    inode TEXT NOT NULL,
    beside TEXT NOT NULL,          -- notes and pictures that lie there, see files.Found
    present INTEGER NOT NULL,      -- 0: it was here and may come back
    seen REAL NOT NULL,
    kind TEXT NOT NULL,            -- what it is; until its header has been read, the place's kind
    reader TEXT NOT NULL DEFAULT '',   -- which version of the recogniser read the header; '': none yet
    noted TEXT NOT NULL DEFAULT '',    -- `beside` when the notes were read; '': not yet
    alias TEXT NOT NULL DEFAULT '',    -- casefolded name that its trainer was told
    stated_hash TEXT NOT NULL DEFAULT '',
    sha256 TEXT,
    data_sha256 TEXT,
    old_hash TEXT,
    bases TEXT NOT NULL DEFAULT '',    -- "|label|label|" of the families that it goes with; '': nothing tells
    width INTEGER NOT NULL DEFAULT 0,  -- of the text that it reads (VAE: channels of its latents); 0: nothing tells
    rank INTEGER,
    favourite INTEGER NOT NULL DEFAULT 0,
    used REAL NOT NULL DEFAULT 0,
    uses INTEGER NOT NULL DEFAULT 0,
    search TEXT NOT NULL DEFAULT '',   -- casefolded words of everything that is said about it
    facts TEXT NOT NULL DEFAULT '{}',  -- recognise.Recognised
    notes TEXT NOT NULL DEFAULT '{}'   -- notes.Notes
);

CREATE INDEX IF NOT EXISTS files_by_kind  -- all that pages of cards are counted and sorted by
    ON files (kind, present, root, folder, stem, bases, width, favourite, id);

CREATE INDEX IF NOT EXISTS files_by_inode ON files (inode);
"""


@dataclass(frozen=True)
class Schema:
    """What a file holds. Tables of another `version` are thrown away and filled again by the owner."""

    version: int
    tables: tuple[str, ...]
    statements: str  # an empty line between them


MODEL_FILES = Schema(1, ("files",), _FILES)


class Database:
    """One file, used by several threads and processes. Without a path, or where none can be written, in memory.

    After damage the file is put aside and begun again; `generation` counts that, so that the owner can fill it.
    """

    def __init__(self, path: Path | None, schema: Schema = MODEL_FILES):
        self.path, self.schema, self.generation = path, schema, 0
        self._lock = threading.RLock()
        self._connection = self._open()

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a question."""
        return self._guarded(lambda connection: connection.execute(sql, values).fetchall())

    def write(self, steps: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Carry out statements, all or none."""

        def carry_out(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                for sql, values in steps:
                    connection.execute(sql, values)

        if steps:
            self._guarded(carry_out)

    def version(self) -> tuple[int, int, int]:
        """Changes whenever this or another process has written."""
        return self._guarded(
            lambda connection: (
                self.generation,
                connection.total_changes,
                connection.execute("PRAGMA data_version").fetchone()[0],
            )
        )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _guarded(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return ask(self._connection)
            except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError):
                raise
            except sqlite3.DatabaseError as error:
                log.warning("%s is damaged and is made again: %s", self.path, error)
                self._connection.close()
                self._connection = self._open()
                self.generation += 1
                return ask(self._connection)

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return _connect(":memory:", self.schema)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _connect(self.path, self.schema)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                for leftover in ("-wal", "-shm"):
                    Path(f"{self.path}{leftover}").unlink(missing_ok=True)
                self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
                return _connect(self.path, self.schema)
        except (OSError, sqlite3.OperationalError) as error:
            log.warning("%s cannot be written, so nothing will be remembered: %s", self.path, error)
            return _connect(":memory:", self.schema)


def _connect(path: Path | str, schema: Schema) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT, check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("it does not pass its own check")
        with _transaction(connection):
            if connection.execute("PRAGMA user_version").fetchone()[0] != schema.version:
                for table in schema.tables:
                    connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.execute(f"PRAGMA user_version={schema.version}")
            for statement in schema.statements.strip().split("\n\n"):
                connection.execute(statement)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Readers and a writer side by side. Two processes that switch at once do not wait for each other by themselves."""
    end = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
