"""Everything that fills the studio's fields at once: what a picture says, a preset, the defaults, single values.

The page's scripts hand over JSON with one of the keys "infotext" or "request_json" (see `actions.fill`), "preset" (a
name), "defaults" (true) or "values" (by field; with "quiet" nothing is said about it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webui.engine.adapters import HYPERNETWORK, WEIGHT_KINDS, adapter_uses
from webui.errors import EmulsionError, InvalidRequest
from webui.scripts.values import split_list
from webui.settings import SettingsStore
from webui.text.directives import cut_directives
from webui.text.styles import apply_styles, extract_styles
from webui.ui import actions
from webui.ui.actions import Filled, error_parts
from webui.ui.choices import menus, starting_values
from webui.ui.fields import MAY_BE_EMPTY, NAMES, SEEDS, default_values
from webui.ui.language import text
from webui.ui.presets import NOT_KEPT, SCRIPT, Presets
from webui.ui.reading import read_json
from webui.workers.service import JobService

NAMES_TIMEOUT = 10.0  # seconds to wait for the worker's first list of samplers
PROMPTS = ("prompt", "negative_prompt", "hires_prompt", "hires_negative_prompt")
FROM_WORKER = ("sampler", "schedule", "hires_sampler", "hires_schedule")  # menus that may still be empty
SHOWN = 60  # characters of a name in a note


def fill(service: JobService, store: SettingsStore, wanted: str, language: str) -> Filled:
    """The fields for what the scripts want, and a report for the reader: {"notes"}, {"error"} or {"quiet"}."""
    try:
        said = read_json(wanted)
        if "values" in said:
            return _of_values(service, said["values"], [], language, bool(said.get("quiet")))
        if "preset" in said:
            values = dict(Presets(store.settings.paths.data).find(str(said["preset"])))
            script = values.pop(SCRIPT, None)
            done = text(language, "preset.loaded", name=str(said["preset"])[:SHOWN])
            return _with_script(_of_values(service, values, [done], language), script)
        if "defaults" in said:
            values = starting_values(service, store.settings)
            return _of_values(service, values, [text(language, "preset.defaults_done")], language)
        read = actions.fill(service, wanted, language)
    except EmulsionError as error:
        return Filled(report=json.dumps({"error": error_parts(error)}))
    return with_styles(service, read, store.settings["infotext_styles"], language)


def opening_values(service: JobService, store: SettingsStore, language: str) -> dict[str, Any]:
    """What the fields show when a page opens: the settings' values, and over them those of the chosen preset."""
    values = starting_values(service, store.settings)
    kept = Presets(store.settings.paths.data).starting()
    kept = {name: value for name, value in kept.items() if name != SCRIPT}
    return values | (fitting(service, kept, language)[0] if kept else {})


def _of_values(service: JobService, values: Any, notes: list[str], language: str, quiet: bool = False) -> Filled:
    if not isinstance(values, dict):
        raise InvalidRequest("The values are no object.")
    fits, problems = fitting(service, values, language)
    report = {"quiet": True} if quiet else {"notes": [*notes, *problems]}
    return Filled(fits, json.dumps(report))


def _with_script(filled: Filled, script: Any) -> Filled:
    """With the script that a preset holds; None of those from before presets held any: the page's own stays."""
    if not isinstance(script, str):
        return filled
    chosen = read_json(script) if script else {"script": "", "arguments": {}}
    return replace(filled, report=json.dumps({**json.loads(filled.report), "script": chosen}))


def fitting(service: JobService, values: Mapping[str, Any], language: str) -> tuple[dict[str, Any], list[str]]:
    """The values that the fields of this page can show, and a sentence on each that they cannot.

    Fields that are left out keep what they show.
    """
    offered = {name: [value for _, value in choices] for name, choices in menus(service, language).items()}
    if set(FROM_WORKER) & values.keys():
        offered |= {name: [v for _, v in choices] for name, choices in menus(service, language, NAMES_TIMEOUT).items()}
        if not service.names("samplers", 0.0):  # the worker is broken: whether they are there is not known
            offered = {name: found for name, found in offered.items() if name not in FROM_WORKER}
    usual, fits, notes = default_values(), {}, []
    for name in NAMES:
        if name not in values or name in NOT_KEPT:
            continue
        gone = _gone(name, values[name], usual[name], offered.get(name))
        if gone is None:
            fits[name] = values[name]
        elif name == "styles" and isinstance(values[name], list):
            fits[name] = [style for style in values[name] if style in offered[name]]
        if gone:
            shown = {"field": text(language, f"field.{name}.label"), "name": gone[:SHOWN]}
            notes.append(text(language, "preset.gone", **shown))
    unknown = [name for name in values if name not in NAMES]
    if unknown:
        notes.append(text(language, "preset.unknown", names=", ".join(unknown)[: 4 * SHOWN]))
    return fits, notes + _missing_adapters(service, fits)


def _gone(name: str, value: Any, usual: Any, offered: list[Any] | None) -> str | None:
    """What a field cannot show of a value, in words; None where it can show all of it."""
    if isinstance(usual, list):
        lost = [str(one) for one in value if one not in (offered or [])] if isinstance(value, list) else [str(value)]
        return ", ".join(lost) or None
    if offered is not None:
        return None if value in offered or (value is None and name in MAY_BE_EMPTY) else str(value)
    if name in PROMPTS or name in SEEDS or isinstance(usual, str):
        fine = isinstance(value, str)
    elif isinstance(usual, bool):
        fine = isinstance(value, bool)
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fine = number or (value is None and name in MAY_BE_EMPTY)
    return None if fine else str(value)


def _missing_adapters(service: JobService, values: Mapping[str, Any]) -> list[str]:
    """What planning would say about LoRAs and the like that the prompt names and that are not here."""
    if service.catalogue is None:
        return []
    notes = []
    for directive in cut_directives(values.get("prompt", ""))[1]:
        if directive.name.lower() in (*WEIGHT_KINDS, HYPERNETWORK):
            try:
                adapter_uses([directive], service.catalogue)
            except EmulsionError as error:
                notes.append(str(error))
    return notes


def with_styles(service: JobService, read: Filled, mode: str, language: str) -> Filled:
    """What was read from a picture, with its styles: those that it names, else those whose words its prompts hold.

    `mode` is the setting for the latter. Texts that name styles hold the prompts without them.
    """
    if service.catalogue is None or "prompt" not in read.values:
        return read
    try:
        known = service.catalogue.styles()
    except EmulsionError:  # a damaged file; the dialog of the styles tells of it
        return read
    if named := read.values.get("styles"):
        gone = ", ".join(name for name in named if name not in known)
        values = {**read.values, "styles": [name for name in named if name in known]}
        return _noted(read, values, text(language, "read.styles_gone", names=gone) if gone else None)
    if mode == "Ignore":
        return read
    pair = (read.values["prompt"], read.values.get("negative_prompt", ""))
    prompt, negative, names = extract_styles(*pair, known)
    if apply_styles(prompt, negative, names, known) != pair:  # another spacing: the picture's own words count
        prompt, negative, names = *pair, ()
    values = {**read.values, "prompt": prompt}
    if "negative_prompt" in values:
        values["negative_prompt"] = negative
    names = tuple(name for name in names if name not in _first_of_plot(read))
    if mode == "Apply" or (mode == "Apply if any" and names):
        values["styles"] = list(names)
    elif mode != "Apply":  # the field stays as it is
        values.pop("styles", None)
    return _noted(read, values, text(language, "read.styles", names=", ".join(names)) if names else None)


def _first_of_plot(read: Filled) -> list[str]:
    """The styles of a plot's first cell, whose settings those of the grid are: the plot adds them by itself."""
    arguments = (json.loads(read.report or "{}").get("script") or {}).get("arguments", {})
    axes = [arguments.get(f"{axis}_values", "") for axis in "xyz" if arguments.get(f"{axis}_type") == "Styles"]
    return [name for text in axes for value in split_list(text)[:1] for name in split_list(value)]


def _noted(read: Filled, values: Mapping[str, Any], note: str | None) -> Filled:
    if note is None:
        return replace(read, values=values)
    report = json.loads(read.report)
    return Filled(values, json.dumps({**report, "notes": [*report.get("notes", ()), note]}))
