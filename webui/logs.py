"""The log of the program: one place for the web process and its workers, as lines for people or as JSON.

A record carries named values beside its sentence (`fields`): the job, the client, an access line's route and status.
A worker sends its records as plain data to the web process, which writes them. Prompts, passwords and tokens stay out:
what `private` was told of, and whatever looks like a secret, is replaced before a line is written.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from webui.errors import FileError

FILE_BYTES = 10 << 20  # of one log file
FILES_KEPT = 5  # former ones beside it
MOST_CHARACTERS = 20_000  # of a message, and of a traceback
HIDDEN = "***"
FORMATS = ("human", "json")
LEVELS = ("debug", "info", "warning", "error")

_bound: ContextVar[Mapping[str, Any]] = ContextVar("emulsion_log_fields", default={})  # noqa: B039 (never changed)
_private: ContextVar[tuple[str, ...]] = ContextVar("emulsion_log_private", default=())
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PARTS = re.compile(r"[,\n()<>\[\]{}:|]")
_SHORTEST_PART = 6  # characters of a piece of a prompt that is hidden by itself
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}"), r"\1 " + HIDDEN),
    (
        re.compile(
            r"(?i)((?:authorization|cookie|password|passwd|token|api[_-]?key|secret)[\"']?\s*[=:]\s*[\"']?)"
            r"(?!bearer|basic)[^\s\"'&,;]+"
        ),
        r"\1" + HIDDEN,
    ),
    (re.compile(r"(://)[^/@\s]+@"), r"\1" + HIDDEN + "@"),
)


@dataclass(frozen=True)
class LogOptions:
    """How the log is written. `access`: a line for each HTTP answer; `prompts`: prompts may be in it."""

    format: str = "human"  # one of FORMATS
    level: str = "info"  # of this program's own records, one of LEVELS; of libraries only warnings
    file: Path | None = None  # besides the error output
    access: bool = False
    prompts: bool = False


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """Named values of one record, to be given as `extra`. Those that are None are left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


@contextlib.contextmanager
def bound(**values: Any) -> Iterator[None]:
    """Named values for every record of this thread or task meanwhile."""
    token = _bound.set({**_bound.get(), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def private(texts: Iterable[str]) -> None:
    """Keep these texts, and longer parts of them, out of the records of this thread or task from now on."""
    _private.set(tuple(text for text in texts if text.strip()))


def report(log: logging.Logger, what: str, error: BaseException, **values: Any) -> str:
    """Log an error that nobody expected with its traceback; returns the short id to tell whoever met it."""
    error_id = secrets.token_hex(4)
    log.error("%s (error %s)", what, error_id, exc_info=error, extra=fields(error=error_id, **values))
    return error_id


def set_up(options: LogOptions, hidden: Iterable[str] = ()) -> Callable[[], None]:
    """Write the log as wanted, `hidden` texts never. Returns what puts everything back.

    Raises FileError for a log file that cannot be written.
    """
    formatter: logging.Formatter = JsonLines() if options.format == "json" else HumanLines()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if options.file is not None:
        handlers.append(_file_handler(options.file))
    scrub = Scrub(hidden, options.prompts)
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(scrub)
    return _install(handlers, options.level)


def relay(say: Callable[..., None], level: str = "info", prompts: bool = False) -> Callable[[], None]:
    """In a worker: send every record through `say("log", record=…)` instead of writing it."""
    handler = _Relay(say)
    handler.addFilter(Scrub((), prompts))
    return _install([handler], level)


def take_in(message: Mapping[str, Any]) -> None:
    """In the web process: write a record that a worker sent."""
    record = logging.makeLogRecord(dict(message["record"]))
    logging.getLogger(record.name).handle(record)


def _install(handlers: list[logging.Handler], level: str) -> Callable[[], None]:
    root, own = logging.getLogger(), logging.getLogger("webui")
    levels = root.level, own.level
    root.setLevel(logging.WARNING)
    own.setLevel(level.upper())
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)

    def undo() -> None:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(levels[0])
        own.setLevel(levels[1])
        logging.captureWarnings(False)

    return undo


def _file_handler(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            file, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise FileError(
            f"The log file {file} cannot be written: {error.strerror or error}.", remedy="Choose another --log-file."
        ) from None


class Scrub(logging.Filter):
    """Turns a record into its final words: sentence, traceback and named values, without what is to stay secret."""

    def __init__(self, hidden: Iterable[str] = (), prompts: bool = False):
        super().__init__()
        self._hidden, self._prompts = tuple(text for text in hidden if text), prompts

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; several handlers may look at the same record, and the first one does the work."""
        if hasattr(record, "told"):
            return True
        pieces = () if self._prompts else _pieces(_private.get())
        told = {**_bound.get(), **getattr(record, "fields", {})}
        if record.exc_info and record.exc_info[0] is not None:
            told["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        try:
            sentence = record.getMessage()
        except Exception as error:  # a sentence that does not fit its values must not end a job
            sentence = f"{record.msg} ({type(error).__name__})"
        record.msg, record.args = self._clean(sentence, pieces), None
        record.exc_info = record.exc_text = record.stack_info = None
        record.told = {k: self._clean(v, pieces) if isinstance(v, str) else v for k, v in told.items()}
        return True

    def _clean(self, text: str, pieces: Iterable[str]) -> str:
        text = text[: MOST_CHARACTERS * 4]
        for piece in (*pieces, *self._hidden):
            text = text.replace(piece, HIDDEN)
        for pattern, replacement in _SECRETS:
            text = pattern.sub(replacement, text)
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


class HumanLines(logging.Formatter):
    """`2026-01-31 12:00:00 INFO job … begins`, the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and more only for a traceback: other line breaks are written as \\n."""
        told = dict(getattr(record, "told", {}))
        below = told.pop("traceback", "")
        moment = datetime.datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M:%S")
        sentence = _CONTROL.sub(_escaped, record.getMessage())
        job = str(told.get("job") or "")
        mark = f" [job {_CONTROL.sub(_escaped, job)}]" if job and job not in sentence else ""
        more = [f"{name}: {_CONTROL.sub(_escaped, str(told[name]))}" for name in _PROMPTS if told.get(name)]
        line = " ".join([f"{moment} {record.levelname} {sentence}{mark}", *more])
        return f"{line}\n{below}" if below else line


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the named values."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        known = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps({**getattr(record, "told", {}), **known}, ensure_ascii=True, default=str)


_PROMPTS = ("prompt", "negative_prompt")


class _Relay(logging.Handler):
    """Sends records as plain data."""

    def __init__(self, say: Callable[..., None]):
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; where nobody listens any more it goes to the error output."""
        plain = {name: getattr(record, name) for name in ("name", "levelno", "levelname", "created", "msg")}
        told = {name: value if isinstance(value, int | float) else str(value) for name, value in record.told.items()}  # type: ignore[attr-defined]
        try:
            self._say("log", record={**plain, "msg": str(plain["msg"]), "told": told, "args": None})
        except (OSError, ValueError):
            sys.stderr.write(f"{record.levelname} {record.getMessage()}\n{told.get('traceback', '')}\n")


def _pieces(texts: Iterable[str]) -> list[str]:
    """A text, the way it stands in tracebacks and JSON, and its longer parts; the longest first."""
    found: set[str] = set()
    for text in texts:
        parts = [part.strip() for part in _PARTS.split(text)]
        found |= {text.strip(), *(part for part in parts if len(part) >= _SHORTEST_PART)}
    found |= {repr(text)[1:-1] for text in found} | {json.dumps(text)[1:-1] for text in found}
    return sorted((text for text in found if text), key=len, reverse=True)[:2000]


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
