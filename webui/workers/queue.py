"""The job queue: one SQLite file under the page, HTTP and the command line, kept over restarts.

Whose turn it is. Clients take turns: a job is given a round when it arrives, the one that is being served or the one
after its client's last job, and within a round the clients keep their seats. So between two jobs of a client each other
client gets at most one, however many it sent, and somebody new waits for at most one job of each (fair queueing with
jobs of equal size: Nagle 1987; Demers, Keshav, Shenker 1989). Jobs of a higher priority take their turns among
themselves and go before the others, but while others wait every third job is one of theirs.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from webui.errors import FileError, NotFound, QueueFull
from webui.workers.locks import hold

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
FINISHED = (DONE, FAILED, CANCELLED)
INTERRUPTED_BY_RESTART = "The job was interrupted by a restart. Start it again."
HISTORY_LENGTH = 2000  # finished jobs that are remembered
FIRST = 1  # priority of jobs that somebody before this very machine sends with the page
FIRST_IN_A_ROW = 2  # jobs of a priority above 0 before one of the others has its turn

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    tab TEXT NOT NULL,
    attached INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    request TEXT NOT NULL,
    options TEXT NOT NULL,
    task TEXT NOT NULL DEFAULT 'generate',
    state TEXT NOT NULL,
    error TEXT,
    error_type TEXT,
    results TEXT NOT NULL DEFAULT '[]',
    notes TEXT NOT NULL DEFAULT '[]',
    outcome TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    round INTEGER NOT NULL DEFAULT 0,
    seat INTEGER NOT NULL DEFAULT 0
);
"""
_INDEXES = """
DROP INDEX IF EXISTS jobs_by_state;
CREATE INDEX IF NOT EXISTS jobs_in_line ON jobs (state, priority, round, seat, number);
CREATE INDEX IF NOT EXISTS jobs_of_client ON jobs (client, priority, round);
"""
_COLUMNS = (
    "number, id, client, tab, attached, priority, request, options, task, state, error, error_type, results, notes, "
    "outcome, created, started, finished"
)
_LATER_COLUMNS = (  # those that queues of version 0.1 lack
    "task TEXT NOT NULL DEFAULT 'generate'",
    "outcome TEXT NOT NULL DEFAULT '{}'",
    "round INTEGER NOT NULL DEFAULT 0",
    "seat INTEGER NOT NULL DEFAULT 0",
)


@dataclass(frozen=True)
class Job:
    """One row of the queue. `request` is the JSON of a GenerationRequest, or of the values of another `task`.

    Times are seconds since 1970.
    """

    id: str
    client: str
    tab: str
    request: str
    state: str
    created: float
    attached: bool = False  # the job ends with its caller: a blocking HTTP call
    priority: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)  # settings for this job only
    task: str = "generate"
    error: str | None = None
    error_type: str | None = None  # name of a class in errors.py, or of whatever went wrong
    results: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    outcome: Mapping[str, Any] = field(default_factory=dict)  # what came of it besides pictures
    started: float | None = None
    finished: float | None = None
    number: int = 0


class JobQueue:
    """Jobs in the order that the top of this file tells. Every method may be called from any thread.

    Opening marks jobs that a dead process left running as failed, cancels those whose caller is gone with it
    (`attached`) and keeps the waiting ones in their order. Raises FileError when the folder cannot be written.
    """

    def __init__(self, path: Path, limit: int = 100, limit_per_client: int | None = None):
        self.path, self.limit, self.limit_per_client = path, limit, limit_per_client
        self._lock = threading.RLock()
        self._line: deque[str] | None = None  # the waiting jobs in order; None: to be read anew
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _open(path)
        except (OSError, sqlite3.OperationalError) as error:
            raise FileError(
                f"The job queue {path} cannot be opened: {error}.",
                remedy="Choose a folder that can be written with --data-dir.",
            ) from error
        self._rounds, self._first_in_a_row = self._served()
        self._recover()

    def _served(self) -> tuple[dict[int, int], int]:
        """The round that is being served, by priority; and how many jobs in a row were of a priority above 0."""
        ask = self._connection.execute
        # What waits is never more than a round ahead; that counts where the served jobs are forgotten by now.
        rounds = dict(ask("SELECT priority, min(round) - 1 FROM jobs WHERE state = ? GROUP BY priority", (WAITING,)))
        for priority, reached in ask(
            "SELECT priority, max(round) FROM jobs WHERE started IS NOT NULL GROUP BY priority"
        ):
            rounds[priority] = max(reached, rounds.get(priority, 0))
        last = ask(
            "SELECT priority FROM jobs WHERE started IS NOT NULL ORDER BY started DESC LIMIT ?", (FIRST_IN_A_ROW,)
        ).fetchall()
        before = [index for index, row in enumerate(last) if row[0] <= 0]
        return rounds, before[0] if before else len(last)

    def _recover(self) -> None:
        with self._lock, self._connection as database:
            now = time.time()
            database.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE state = ?",
                (FAILED, INTERRUPTED_BY_RESTART, now, RUNNING),
            )
            left = database.execute("SELECT id FROM jobs WHERE state = ? AND attached", (WAITING,)).fetchall()
            for (job_id,) in left:
                _withdraw(database, job_id, "The program that asked for it is gone.")
            database.execute(
                f"DELETE FROM jobs WHERE state IN {FINISHED} AND number <= (SELECT max(number) FROM jobs) - ?",
                (HISTORY_LENGTH,),
            )

    def add(
        self,
        request: str,
        client: str = "",
        tab: str = "txt2img",
        attached: bool = False,
        priority: int = 0,
        options: Mapping[str, Any] | None = None,
        task: str = "generate",
    ) -> str:
        """Append a job and return its id, which cannot be guessed.

        Raises QueueFull at the length limit, or when this client has as many jobs waiting as one may have.
        """
        job_id = secrets.token_hex(12)
        plain = json.dumps(dict(options or {}))
        row = (job_id, client, tab, attached, priority, request, plain, task, WAITING, time.time())
        with self._lock, self._connection as database:
            self._check_room(client)
            self._line = None
            database.execute(
                "INSERT INTO jobs (id, client, tab, attached, priority, request, options, task, state, created,"
                " round, seat) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, *self._place(client, priority)),
            )
        return job_id

    def _place(self, client: str, priority: int) -> tuple[int, int]:
        """Round and seat of a client's new job."""
        served = self._rounds.get(priority, 0)
        last = self._connection.execute(
            "SELECT round, seat FROM jobs WHERE client = ? AND priority = ? ORDER BY round DESC LIMIT 1",
            (client, priority),
        ).fetchone()
        if last is not None and last[0] >= served:  # its turn of this round is had or settled: the next one
            return last[0] + 1, last[1]
        behind = self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()
        return served, behind[0]

    def _check_room(self, client: str) -> None:
        waiting, own = self.count_waiting(), self.count_waiting(client) if client else 0
        if waiting >= self.limit:
            raise QueueFull(f"{waiting} jobs are waiting.", f"At most {self.limit} may.", "Try again later.")
        if self.limit_per_client is not None and own >= self.limit_per_client:
            wanted = f"One user or address may have at most {self.limit_per_client}."
            raise QueueFull(f"{own} jobs of yours are waiting.", wanted, "Try again when some of them are done.")

    def take(self) -> Job | None:
        """Mark the next waiting job as running and return it; None when nobody waits."""
        with self._lock:
            line = self._in_line()
            if not line:
                return None
            with self._connection as database:
                row = database.execute(
                    f"UPDATE jobs SET state = ?, started = ? WHERE id = ? RETURNING {_COLUMNS}, round",
                    (RUNNING, time.time(), line[0]),
                ).fetchone()
            line.popleft()
            job = _job(row[:-1])
            self._rounds[job.priority] = max(row[-1], self._rounds.get(job.priority, 0))
            self._first_in_a_row = self._first_in_a_row + 1 if job.priority > 0 else 0
            return job

    def _in_line(self) -> deque[str]:
        """Ids of the waiting jobs in the order in which they will be taken if none comes or goes."""
        if self._line is None:
            rows = self._connection.execute(
                "SELECT id, priority > 0 FROM jobs WHERE state = ? ORDER BY priority DESC, round, seat, number",
                (WAITING,),
            ).fetchall()
            first, others = deque(r[0] for r in rows if r[1]), deque(r[0] for r in rows if not r[1])
            self._line, in_a_row = deque(), self._first_in_a_row
            while first or others:
                is_first = bool(first) and (in_a_row < FIRST_IN_A_ROW or not others)
                self._line.append((first if is_first else others).popleft())
                in_a_row = in_a_row + 1 if is_first else 0
        return self._line

    def put_back(self, job_id: str) -> None:
        """Let a job that was taken wait again, at its old place."""
        with self._lock, self._connection as database:
            self._line = None
            database.execute("UPDATE jobs SET state = ?, started = NULL WHERE id = ?", (WAITING, job_id))

    def finish(
        self,
        job_id: str,
        state: str,
        error: str | None = None,
        results: Iterable[Mapping[str, Any]] = (),
        notes: Iterable[str] = (),
        error_type: str | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how a job ended, with what it made."""
        made, said = json.dumps([dict(result) for result in results]), json.dumps(list(notes))
        came = json.dumps(dict(outcome or {}))
        with self._lock, self._connection as database:
            database.execute(
                "UPDATE jobs SET state = ?, error = ?, error_type = ?, results = ?, notes = ?, outcome = ?,"
                " finished = ? WHERE id = ?",
                (state, error, error_type, made, said, came, time.time(), job_id),
            )

    def cancel_waiting(self, job_id: str) -> bool:
        """Cancel a job that has not started; False when it is not waiting (any more)."""
        with self._lock, self._connection as database:
            self._line = None
            return _withdraw(database, job_id, "Cancelled while it waited.")

    def get(self, job_id: str) -> Job:
        """One job by id. Raises NotFound."""
        with self._lock:
            row = self._connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}.", remedy="It may be older than the queue remembers.")
        return _job(row)

    def latest(self, limit: int = 50, client: str | None = None) -> list[Job]:
        """The newest jobs first, of everybody or of one client."""
        where, values = ("WHERE client = ?", [client]) if client is not None else ("", [])
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY number DESC LIMIT ?", [*values, limit]
            ).fetchall()
        return [_job(row) for row in rows]

    def waiting(self) -> list[str]:
        """Ids of the waiting jobs, the next one first."""
        with self._lock:
            return list(self._in_line())

    def count_waiting(self, client: str | None = None) -> int:
        """How many jobs wait, of everybody or of one client."""
        where, values = ("AND client = ?", [client]) if client is not None else ("", [])
        with self._lock:
            counted = self._connection.execute(
                f"SELECT count(*) FROM jobs WHERE state = ? {where}", [WAITING, *values]
            ).fetchone()
        return int(counted[0])

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # not a database any more: keep it for the curious, start afresh
        path.replace(path.with_name(f"{path.stem}.damaged-{int(time.time())}{path.suffix}"))
        for leftover in ("-wal", "-shm"):
            Path(f"{path}{leftover}").unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5, check_same_thread=False)  # seconds to wait for another process
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_TABLE)
        known = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
        for column in _LATER_COLUMNS:
            if column.split()[0] not in known:
                connection.execute(f"ALTER TABLE jobs ADD COLUMN {column}")
        connection.executescript(_INDEXES)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _withdraw(database: sqlite3.Connection, job_id: str, why: str) -> bool:
    """Cancel a waiting job, whose place in line the client's next job takes; False when it does not wait."""
    row = database.execute(
        "SELECT client, priority, round FROM jobs WHERE id = ? AND state = ?", (job_id, WAITING)
    ).fetchone()
    if row is None:
        return False
    database.execute(
        "UPDATE jobs SET round = round - 1 WHERE client = ? AND priority = ? AND round > ? AND state = ?",
        (*row, WAITING),
    )
    database.execute(
        "UPDATE jobs SET state = ?, error = ?, finished = ?, round = -1 WHERE id = ?",  # it had no turn
        (CANCELLED, why, time.time(), job_id),
    )
    return True


def _job(row: tuple[Any, ...]) -> Job:
    values = dict(zip(_COLUMNS.split(", "), row))
    for name in ("options", "results", "notes", "outcome"):
        values[name] = json.loads(values[name])
    values["results"], values["notes"] = tuple(values["results"]), tuple(values["notes"])
    values["attached"] = bool(values["attached"])
    return Job(**values)


def claim(folder: Path, name: str = "queue") -> tuple[Path, IO[bytes]]:
    """The path of a queue file that no other running program uses, and the lock to keep open while it is used.

    A second server in the same data folder gets `queue-2.sqlite` and so on, so that neither takes the other's
    running jobs for leftovers of a crash. Raises FileError when the folder cannot be written.
    """
    try:
        for number in range(1, 100):
            path = folder / (f"{name}.sqlite" if number == 1 else f"{name}-{number}.sqlite")
            if (lock := hold(path.with_suffix(".lock"))) is not None:
                return path, lock
    except OSError as error:
        raise FileError(
            f"The data folder {folder} cannot be written: {error}.", remedy="Choose another with --data-dir."
        ) from error
    raise FileError(f"A hundred programs use the data folder {folder}.", remedy="Choose another with --data-dir.")
