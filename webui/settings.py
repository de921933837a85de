"""What a user can set and keep: declared once, checked, stored as one JSON file.

A setting has a name of ours and, where A1111 has the same thing, its option name as an alias, so that
`/sdapi/v1/options` and infotexts speak both. Labels and explanations live in the key files of the page under
`setting.<name>.label` and `setting.<name>.info`.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest, SettingsError
from webui.paths import MODEL_FOLDERS, Paths
from webui.registry import Registry
from webui.settings_list import DECLARED

FILE_VERSION = 1
SERVER_SECTIONS = ("page", "extensions", "queue", "http", "limits")  # settings that are about no picture


@dataclass(frozen=True)
class Setting:
    """One declared setting. `kind` is bool, int, float, str, list (of str), map (str to str) or folder (a path
    inside the outputs)."""

    name: str
    kind: str
    default: Any
    section: str
    low: float | None = None  # both limits or none
    high: float | None = None
    choices: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)  # A1111's value -> ours, where they differ
    alias: str | None = None  # A1111's option name
    by_hand: bool = False  # it can be changed in the settings file only: whoever reaches the page may change the others
    restart: bool = False  # a change counts from the next start on

    @property
    def label_key(self) -> str:
        """Key of the label in the page's language files."""
        return f"setting.{self.name}.label"

    @property
    def info_key(self) -> str:
        """Key of the plain-words explanation in the page's language files."""
        return f"setting.{self.name}.info"


SETTINGS: Registry[Setting] = Registry("setting")


def declare(name: str, kind: str, default: Any, section: str, alias: str | None = None, **facts: Any) -> Setting:
    """Add a setting to SETTINGS. Raises ValueError on a taken name, SettingsError if the default does not fit."""
    setting = Setting(name, kind, default, section, alias=alias, **facts)
    check_value(setting, default)
    SETTINGS.register(name, *([alias] if alias and alias.casefold() != name.casefold() else []))(setting)
    return setting


def find_setting(name: str) -> Setting:
    """The setting of a name or A1111 option name, in any case. Raises SettingsError."""
    if name not in SETTINGS:
        raise SettingsError(
            f"There is no setting named {name!r}.", "", "The list is under Settings or in GET /options."
        )
    return SETTINGS[name]


def check_value(setting: Setting, value: Any) -> Any:
    """The value as the setting's type; numbers may come as text, as old clients send them. Raises SettingsError."""
    try:
        converted: Any = _CONVERT[setting.kind](value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{setting.name} is {reprlib.repr(value)}.", f"Wanted: {_WANTED[setting.kind]}.") from None
    if isinstance(converted, str):
        match = {theirs.casefold(): ours for theirs, ours in setting.spellings.items()}
        match |= {choice.casefold(): choice for choice in setting.choices}
        if setting.choices and converted.casefold() not in match:
            raise SettingsError(f"{setting.name} is {reprlib.repr(value)}.", f"Choices: {', '.join(setting.choices)}.")
        converted = match.get(converted.casefold(), converted)
    low, high = setting.low, setting.high
    if low is not None and high is not None and not low <= converted <= high:
        raise SettingsError(f"{setting.name} is {converted:g}.", f"It must be from {low:g} to {high:g}.")
    return converted


def _boolean(value: Any) -> bool:
    word = str(value).casefold() if isinstance(value, str | int) else ""
    if word not in ("true", "false", "1", "0"):
        raise ValueError
    return word in ("true", "1")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    if abs(number := int(value)) > 2**64:
        raise ValueError
    return number


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 10_000 or "\0" in value:
        raise ValueError
    value.encode()  # half of a pair of surrogates cannot be stored
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(_text(part) for part in value)


def _map(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > 10_000 or not all(isinstance(key, str) for key in value):
        raise ValueError
    return {_text(key): _text(entry) for key, entry in value.items()}


def _folder(value: Any) -> str:
    # Whoever can reach the page or the HTTP routes may change settings, so none of them can lead out of the outputs.
    text = _text(value).replace("\\", "/").strip()
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or any(":" in part for part in parts):
        raise ValueError
    return "/".join(parts)


_CONVERT = {
    "bool": _boolean,
    "int": _whole,
    "float": _number,
    "str": _text,
    "list": _texts,
    "map": _map,
    "folder": _folder,
}
_WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list of texts",
    "map": "texts by name",
    "folder": "a folder inside the outputs folder, such as txt2img or [date]; use --outputs-dir for another place",
}


@dataclass(frozen=True)
class Settings:
    """All values at one moment, plain data: it can be handed to another process. `values` holds what is not default."""

    paths: Paths = field(default_factory=Paths)
    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        setting = find_setting(name)
        return self.values.get(setting.name, setting.default)

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """A copy with checked changes; names of ours or A1111's. Raises SettingsError and changes nothing."""
        values = dict(self.values)
        for name, value in changes.items():
            setting = find_setting(name)
            converted = check_value(setting, value)
            if converted == setting.default:
                values.pop(setting.name, None)
            else:
                values[setting.name] = converted
        return Settings(self.paths, values)

    def everything(self) -> dict[str, Any]:
        """Every setting by our name."""
        return {entry.name: self[entry.name] for entry in SETTINGS}

    def options(self) -> dict[str, Any]:
        """Every setting by A1111's option name where there is one, else by ours: the body of GET /options."""
        options: dict[str, Any] = {}
        for entry in SETTINGS:
            value = self[entry.name]
            theirs = next((theirs for theirs, ours in entry.value.spellings.items() if ours == value), value)
            options[entry.value.alias or entry.name] = list(theirs) if isinstance(theirs, tuple) else theirs
        return options


def known_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Split a client's options into those that are settings here and the names that are not (clients send many)."""
    known = {name: value for name, value in options.items() if name in SETTINGS}
    return known, [name for name in options if name not in known]


def job_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a client's options that may hold for its own job: settings that are about pictures, not about the
    server, whose limits and doors no job can move."""
    known, _ = known_options(options)
    return {name: value for name, value in known.items() if SETTINGS[name].section not in SERVER_SECTIONS}


class SettingsStore:
    """The settings file of a data folder. Only whole files are ever visible; a damaged one is kept aside.

    `problem` is a sentence for the user when the file could not be read or a value in it did not fit, else None."""

    def __init__(self, paths: Paths):
        self.problem: str | None = None
        self._lock = threading.Lock()
        self._foreign: dict[str, Any] = {}  # of an extension that is off just now, or of a newer version: kept
        self._settings = self._read(paths)

    @property
    def settings(self) -> Settings:
        """The values as they are now."""
        return self._settings

    def change(self, changes: Mapping[str, Any]) -> Settings:
        """Check all changes, write the file, then take them over: all of them or none. Raises SettingsError."""
        with self._lock:
            changed = self._settings.changed(changes)
            for name in map(find_setting, changes):
                if name.by_hand and changed[name.name] != self._settings[name.name]:
                    raise SettingsError(
                        f"{name.name} can be changed in {changed.paths.settings_file.name} only.",
                        remedy="Stop the program, edit the file in the data folder, and start again.",
                    )
            self._write(changed)
            self._settings = changed
            return changed

    def reset(self, names: Iterable[str]) -> Settings:
        """Put settings back to their defaults."""
        return self.change({name: find_setting(name).default for name in names})

    def _read(self, paths: Paths) -> Settings:
        settings = Settings(paths)
        file = paths.settings_file
        try:
            stored = json.loads(file.read_text(encoding="utf-8-sig"))  # editors of Windows begin with a mark
            values = stored["values"]
            if stored["version"] > FILE_VERSION or not isinstance(values, dict):
                raise ValueError(f"its version is {stored['version']}, this program writes {FILE_VERSION}")
        except FileNotFoundError:
            return settings
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self.problem = f"The settings in {file} could not be read ({error}); the defaults are used."
            self._keep_aside(file)
            return settings
        for name, value in values.items():
            if name not in SETTINGS:
                self._foreign[name] = value
                continue
            try:
                settings = settings.changed({name: value})
            except SettingsError as error:
                problem = f"A setting in {file} does not fit and its default is used: {error}"
                self.problem = f"{self.problem} {problem}" if self.problem else problem
        return self._with_folders(settings)

    def _with_folders(self, settings: Settings) -> Settings:
        """The settings with the model folders that they name, after those of the command line."""
        extra = dict(settings.paths.extra)
        for kind, text in settings["model_folders"].items():
            if kind not in MODEL_FOLDERS:
                self.problem = f"model_folders names {kind!r}. Known: {', '.join(MODEL_FOLDERS)}."
                continue
            named = (Path(folder).expanduser() for folder in text.split(os.pathsep) if folder.strip())
            extra[kind] = (*extra.get(kind, ()), *named)
        return Settings(replace(settings.paths, extra=extra), settings.values)

    def _keep_aside(self, file: Path) -> None:
        aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            file.replace(aside)
        except OSError:
            return  # a read-only data folder: the report above is all that can be done
        self.problem = f"{self.problem} The old file is kept as {aside.name}."

    def _write(self, settings: Settings) -> None:
        file = settings.paths.settings_file
        body = {"version": FILE_VERSION, "values": {**self._foreign, **settings.values}}
        try:
            write_atomically(file, json.dumps(body, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise SettingsError(
                f"The settings could not be written to {file} ({error.strerror}).",
                remedy="Free some space or make the folder writable, or start with --data-dir.",
            ) from None


def write_atomically(file: Path, data: bytes) -> None:
    """Replace a file so that readers, and a crash at any moment, see the old bytes or the new ones. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def quick_settings(settings: Settings) -> list[Setting]:
    """The settings shown above the tabs, in the user's order; names that are not known here are left out."""
    shown = []
    for name in settings["quick_settings"]:
        try:
            shown.append(SETTINGS.find(name).value)
        except InvalidRequest:
            continue
    return shown


for _name, _kind, _default, _section, _alias, _facts in DECLARED:
    declare(_name, _kind, _default, _section, _alias, **_facts)
