"""Downloads in the web process: a few at a time, the others wait. They end with the program, and go on where they
were when the same file is asked for again."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from webui.errors import Cancelled, EmulsionError, InvalidRequest, NotFound, QueueFull
from webui.library.connection import shown
from webui.library.download import Downloaded, Place, Wish, download

log = logging.getLogger(__name__)

AT_ONCE = 2
LONGEST = 50  # downloads that wait
REMEMBERED = 50  # finished ones
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass(frozen=True)
class DownloadView:
    """A download as it is now. `whole` is None while the size is unknown; `speed` is in bytes a second."""

    id: str
    source: str  # without tokens
    kind: str
    state: str
    done: int = 0
    whole: int | None = None
    speed: float = 0.0
    name: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


@dataclass
class _Entry:
    wish: Wish
    private: bool
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = WAITING
    done: int = 0
    whole: int | None = None
    began: float = 0.0
    first: int = 0  # bytes that were there when it began
    result: Downloaded | None = None
    error: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)
    unwanted: bool = False  # stopped by who asked: what has arrived may go


class Downloads:
    """The list of downloads, and the threads that carry them out. All methods may be called from any thread.

    `place(private)` says where files go now; `arrived` is called in a download's thread when its file is there.
    """

    def __init__(self, place: Callable[[bool], Place], arrived: Callable[[Downloaded], None] = lambda done: None):
        self._place, self._arrived = place, arrived
        self._lock = threading.Condition()
        self._entries: dict[str, _Entry] = {}
        self._waiting: deque[_Entry] = deque()
        self._threads = 0
        self._stopping = False

    def add(self, wish: Wish, private: bool = False) -> str:
        """Ask for a file; the id of the download. One that is under way already is not begun twice.

        Raises QueueFull when too many wait.
        """
        with self._lock:
            if self._stopping:
                raise InvalidRequest("The program is about to end.")
            for entry in self._entries.values():
                if entry.wish == wish and entry.state in (WAITING, RUNNING) and not entry.cancel.is_set():
                    return entry.id
            if len(self._waiting) >= LONGEST:
                raise QueueFull(f"{LONGEST} downloads are waiting.", remedy="Try again when some are done.")
            entry = _Entry(wish, private)
            self._entries[entry.id] = entry
            self._waiting.append(entry)
            if self._threads < AT_ONCE:
                self._threads += 1
                # Daemons: nobody waits for a slow server when the program ends.
                threading.Thread(target=self._work, name="download", daemon=True).start()
            return entry.id

    def list(self) -> list[DownloadView]:
        """All downloads, the newest first."""
        with self._lock:
            return [_view(entry) for entry in reversed(self._entries.values())]

    def view(self, download_id: str) -> DownloadView:
        """One download. Raises NotFound."""
        with self._lock:
            return _view(self._find(download_id))

    def remove(self, download_id: str) -> None:
        """Stop a download and throw away what has arrived, or forget one that is over. Raises NotFound."""
        with self._lock:
            entry = self._find(download_id)
            if entry.state == RUNNING:
                entry.unwanted = True
                entry.cancel.set()
                return
            if entry in self._waiting:
                self._waiting.remove(entry)
            del self._entries[download_id]

    def wait(self, download_id: str, timeout: float) -> DownloadView:
        """Block until a download is over, at most `timeout` seconds."""
        with self._lock:
            entry = self._find(download_id)
            self._lock.wait_for(lambda: entry.state not in (WAITING, RUNNING), timeout)
            return _view(entry)

    def stop(self) -> None:
        """The program ends: begin nothing more. What has arrived is kept."""
        with self._lock:
            self._stopping = True
            self._waiting.clear()
            for entry in self._entries.values():
                entry.cancel.set()

    def _find(self, download_id: str) -> _Entry:
        if download_id not in self._entries:
            raise NotFound("There is no such download.", "", "It may be over and forgotten.")
        return self._entries[download_id]

    def _work(self) -> None:
        """One thread: carry out what waits, and end when nothing does."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                entry = self._waiting.popleft()
                entry.state, entry.began = RUNNING, time.monotonic()
            state, error = self._carry_out(entry)
            with self._lock:
                entry.state, entry.error = state, error
                over = [one.id for one in self._entries.values() if one.state not in (WAITING, RUNNING)]
                for old in over[:-REMEMBERED]:
                    del self._entries[old]
                self._lock.notify_all()

    def _carry_out(self, entry: _Entry) -> tuple[str, str]:
        def progress(done: int, whole: int | None) -> None:
            entry.first = entry.first or done
            entry.done, entry.whole = done, whole

        try:
            place = self._place(entry.private)
            entry.result = download(entry.wish, place, progress, entry.cancel, lambda: not entry.unwanted)
            self._arrived(entry.result)
        except Cancelled as error:
            return CANCELLED, str(error)
        except EmulsionError as error:
            return FAILED, str(error)
        except Exception as error:
            log.exception("the download of %s failed", shown(entry.wish.source))
            return FAILED, f"Something unexpected went wrong: {type(error).__name__}. The log has the details."
        return DONE, ""


def _view(entry: _Entry) -> DownloadView:
    result, seconds = entry.result, time.monotonic() - entry.began
    return DownloadView(
        entry.id,
        shown(entry.wish.source),
        result.kind if result else entry.wish.kind,
        entry.state,
        entry.done,
        entry.whole,
        (entry.done - entry.first) / seconds if entry.state == RUNNING and seconds > 0 else 0.0,
        result.path.name if result else "",
        result.sha256 if result else "",
        result.notes if result else (),
        entry.error,
    )
