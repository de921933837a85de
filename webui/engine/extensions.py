"""Finds, loads and lists extensions. One that fails to load is switched off with its traceback kept; the rest go on."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from webui.errors import ExtensionError, InvalidRequest
from webui.extend import API_VERSION, SCRIPTS, DirectiveCall, Extension, Registries, option_values
from webui.infotext_format import infotext_key
from webui.registry import Entry, Registry
from webui.upscalers.builtin import UPSCALERS
from webui.upscalers.restorers import RESTORERS

PACKAGE = "emulsion_extensions"  # prefix of the module names under which extensions are imported
DIRECTIVES: Registry[Callable[[DirectiveCall], str]] = Registry("prompt directive")
TABS: Registry[Callable[[], Any]] = Registry("tab")
ROUTES: Registry[Callable[[Any], None]] = Registry("route set")


@dataclass(frozen=True)
class ExtensionEntry:
    """One extension folder. Exactly one of `extension` and (`error` or disabled) tells how it stands."""

    name: str
    folder: Path | None
    extension: Extension | None = None
    disabled: bool = False  # switched off in the settings
    error: str = ""  # one sentence
    traceback: str = ""  # what Python said

    def words(self, language: str) -> dict[str, str]:
        """The author's words in another language, from `locales/<language>.json` in the folder: {as written: shown}."""
        if self.folder is None or not re.fullmatch(r"[A-Za-z0-9-]{1,20}", language):
            return {}
        try:
            said = json.loads((self.folder / "locales" / f"{language}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {text: shown for text, shown in said.items() if isinstance(shown, str)} if isinstance(said, dict) else {}


class Extensions:
    """All known extensions in the order in which their hooks run."""

    def __init__(self, entries: Sequence[ExtensionEntry] = ()):
        self.entries = tuple(entries)

    def __iter__(self) -> Iterator[Extension]:
        return (entry.extension for entry in self.entries if entry.extension is not None)

    def check(self, requested: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Every loaded extension's options with values. Raises InvalidRequest for unknown names or values."""
        loaded = {extension.name: extension for extension in self}
        for name in requested:
            if name in loaded:
                continue
            entry = next((e for e in self.entries if e.name == name), None)
            state = "switched off in the settings" if entry and entry.disabled else "not loaded"
            why = f" It failed: {entry.error}" if entry and entry.error else ""
            raise InvalidRequest(
                f"The extension {name!r} is {state}.{why}",
                f"Loaded: {', '.join(loaded) or 'none'}.",
                "Install it, switch it on, or take its options out of the request.",
            )
        return {
            name: option_values(name, extension.options, requested.get(name, {})) for name, extension in loaded.items()
        }

    def infotext_fields(self, requested: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Infotext keys and values of the options that are not at their defaults."""
        values = self.check(requested)
        return {
            option.infotext_key: str(values[extension.name][option.key])
            for extension in self
            for option in extension.options
            if values[extension.name][option.key] != option.default
        }

    def read_fields(self, fields: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """The reverse of `infotext_fields`: options by extension from the fields of an infotext.

        A value that does not fit, such as one that another version wrote, is left out alone.
        """
        found: dict[str, dict[str, Any]] = {}
        for extension in self:
            for option in extension.options:
                text = fields.get(infotext_key(option.infotext_key))
                with contextlib.suppress(InvalidRequest):
                    if text is not None:
                        found.setdefault(extension.name, {})[option.key] = option.read(text)
        return {name: values for name, values in found.items() if values}


def registries() -> Registries:
    """The registries of this process. Imports the rooms that own them, and so torch."""
    from webui.diffusion.samplers import SAMPLERS
    from webui.diffusion.schedules import SCHEDULES
    from webui.families import FAMILIES

    return Registries(SAMPLERS, SCHEDULES, FAMILIES, DIRECTIVES, TABS, ROUTES, UPSCALERS, RESTORERS, SCRIPTS)


def load_extensions(
    folders: Sequence[Path],
    targets: Registries,
    disabled: Collection[str] = (),
    builtin: Sequence[Extension] = (),
) -> Extensions:
    """Load `<folder>/<name>/extension.py` of every folder, in order of name, after the built-in ones.

    A folder that fails, for whatever reason, becomes an entry with its traceback; nothing of it stays registered.
    """
    entries: list[ExtensionEntry] = []
    for extension in builtin:
        _register(extension, targets)
        entries.append(ExtensionEntry(extension.name, None, extension))
    places = [place for folder in folders for place in _extension_folders(folder)]
    for place in places:
        if place.name in disabled:
            entries.append(ExtensionEntry(place.name, place, disabled=True))
        elif any(entry.name == place.name for entry in entries):
            entries.append(ExtensionEntry(place.name, place, error="Another extension has this name."))
        else:
            entries.append(_load(place, targets))
    return Extensions(entries)


def _extension_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((file.parent for file in folder.glob("*/extension.py")), key=lambda path: path.name.casefold())


def _load(folder: Path, targets: Registries) -> ExtensionEntry:
    try:
        extension = _import(folder)
        _register(extension, targets)
    # SystemExit too: an extension that calls sys.exit() while it is imported must not end the program.
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}"
        return ExtensionEntry(folder.name, folder, error=told, traceback=traceback.format_exc())
    return ExtensionEntry(folder.name, folder, extension)


def _import(folder: Path) -> Extension:
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    module_name = f"{PACKAGE}_{re.sub(r'[^0-9a-zA-Z]', '_', folder.name)}_{digest}"
    # A package, so that `from . import helper` finds the extension's own files and nobody else's.
    spec = importlib.util.spec_from_file_location(
        module_name, folder / "extension.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ExtensionError(f"{folder.name}/extension.py cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        extension = getattr(module, "EXTENSION", None)
        if not isinstance(extension, Extension):
            raise ExtensionError(
                f"{folder.name}/extension.py holds no EXTENSION.",
                "One object of a class derived from Extension was wanted.",
            )
        if extension.name != folder.name:
            raise ExtensionError(f"The extension calls itself {extension.name!r}.", f"Its folder is {folder.name!r}.")
        if extension.api_version > API_VERSION:
            raise ExtensionError(
                f"The extension wants version {extension.api_version} of webui.extend.",
                f"This program offers version {API_VERSION}.",
                "Update the program.",
            )
    except (Exception, SystemExit):
        for name in [n for n in sys.modules if n == module_name or n.startswith(module_name + ".")]:
            del sys.modules[name]
        raise
    return extension


class _Staging(Registry[Any]):
    """Takes an extension's additions aside and knows what is already there, so that a failure leaves no trace."""

    def __init__(self, target: Registry[Any]):
        super().__init__(target.kind)
        self.target = target

    def find(self, name: str) -> Entry[Any]:
        return super().find(name) if name in list(self.names()) else self.target.find(name)

    def commit(self) -> None:
        for entry in self:
            self.target.register(entry.name, *entry.aliases, **entry.facts)(entry.value)


def _register(extension: Extension, targets: Registries) -> None:
    staging = {f.name: _Staging(getattr(targets, f.name)) for f in fields(Registries)}
    extension.register(Registries(**staging))
    for registry in staging.values():
        for entry in registry:
            taken = next((key for key in (entry.name, *entry.aliases) if key in registry.target), None)
            if taken is not None:
                raise ExtensionError(f"There is already a {registry.kind} named {taken!r}.", "Names must be unique.")
    for registry in staging.values():
        registry.commit()
