"""Presets: the fields of a whole studio under a name, in one JSON file of the data folder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from webui.errors import FileError, InvalidRequest, NotFound
from webui.settings import write_atomically
from webui.text.styles import fits_line
from webui.ui.fields import NAMES

FILE = "presets.json"
FILE_VERSION = 1
# What belongs to the moment and not to a way of working.
NOT_KEPT = ("mode", "source_image", "source_mask")
SCRIPT = "script"  # kept beside the fields: {"script", "arguments"} as JSON, or "" for none
NAME_LENGTH = 100  # characters
MOST = 1000  # presets
TEXT_LENGTH = 100_000  # characters of one value


@dataclass(frozen=True)
class Kept:
    """The file's content: values by field by preset, and the preset that a page opens with."""

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    start: str | None = None
    problem: str | None = None  # a sentence, when the file could not be read


class Presets:
    """The presets of a data folder. Only whole files are ever visible; one that cannot be read is put aside."""

    def __init__(self, folder: Path):
        self.file = folder / FILE
        self._lock = threading.Lock()

    def read(self) -> Kept:
        """All presets as they are now."""
        try:
            stored = json.loads(self.file.read_text("utf-8"))
            values, start = stored["presets"], stored.get("start")
            if stored["version"] > FILE_VERSION:
                raise ValueError(f"its version is {stored['version']}, this program reads {FILE_VERSION}")
            if not all(isinstance(one, dict) for one in (values, *values.values())):
                raise ValueError("presets are no objects")
        except FileNotFoundError:
            return Kept()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return Kept(problem=f"The presets in {self.file.name} cannot be read ({error}).")
        return Kept(values, start if start in values else None)

    def find(self, name: str) -> Mapping[str, Any]:
        """The values of a preset. Raises NotFound."""
        kept = self.read()
        if name not in kept.values:
            raise NotFound(f"There is no preset named {name!r}.", f"Known: {', '.join(kept.values) or 'none'}.")
        return kept.values[name]

    def starting(self) -> Mapping[str, Any]:
        """The values that a page opens with, empty where no preset was chosen for that."""
        kept = self.read()
        return kept.values[kept.start] if kept.start is not None else {}

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep values under a name, over those of the same name. Raises InvalidRequest, FileError."""
        name = _checked(name)
        known = {field: values[field] for field in (*NAMES, SCRIPT) if field in values and field not in NOT_KEPT}
        wrong = [field for field, value in known.items() if not _is_plain(value)]
        if wrong or not known:
            raise InvalidRequest(f"{wrong[0]} cannot be kept." if wrong else "The preset holds no field.")
        with self._lock:
            kept = self._readable()
            if name not in kept.values and len(kept.values) >= MOST:
                raise InvalidRequest(f"There are {MOST} presets.", "", "Delete some of them first.")
            self._write(replace(kept, values={**kept.values, name: known}))

    def rename(self, name: str, wanted: str) -> None:
        """Call a preset something else. Raises NotFound, InvalidRequest (such as a name that is taken), FileError."""
        wanted = _checked(wanted)
        with self._lock:
            self.find(name)
            kept = self._readable()
            if wanted != name and wanted in kept.values:
                raise InvalidRequest(f"There is a preset named {wanted!r} already.", "", "Choose another name.")
            values = {wanted if other == name else other: one for other, one in kept.values.items()}
            self._write(Kept(values, wanted if kept.start == name else kept.start))

    def delete(self, name: str) -> None:
        """Forget a preset. Raises NotFound, FileError."""
        with self._lock:
            self.find(name)
            kept = self._readable()
            left = {other: values for other, values in kept.values.items() if other != name}
            self._write(Kept(left, kept.start if kept.start != name else None))

    def begin_with(self, name: str | None) -> None:
        """Have pages open with a preset; None: with the settings. Raises NotFound, FileError."""
        with self._lock:
            if name is not None:
                self.find(name)
            self._write(replace(self._readable(), start=name))

    def _readable(self) -> Kept:
        """What is there before a change; a file that cannot be read is put aside, not written over."""
        kept = self.read()
        if kept.problem:
            try:
                self.file.replace(self.file.with_name(f"{FILE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))
            except OSError as error:
                raise FileError(kept.problem, f"It cannot be put aside either ({error.strerror}).") from None
        return kept

    def _write(self, kept: Kept) -> None:
        body = {"version": FILE_VERSION, "start": kept.start, "presets": dict(kept.values)}
        try:
            write_atomically(self.file, json.dumps(body, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            remedy = "Free some space or make the folder writable."
            raise FileError(f"{FILE} cannot be written ({error.strerror}).", remedy=remedy) from None


def _checked(name: str) -> str:
    name = name.strip()
    if not fits_line(name, NAME_LENGTH):
        wanted = f"One line of 1 to {NAME_LENGTH} characters was wanted."
        raise InvalidRequest(f"The name of the preset is {name[:40]!r}.", wanted)
    return name


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MOST and all(isinstance(part, str) and _is_plain(part) for part in value)
    if isinstance(value, str):
        return len(value) <= TEXT_LENGTH and not any("\ud800" <= sign <= "\udfff" for sign in value)
    return value is None or isinstance(value, bool | int | float)
