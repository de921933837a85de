"""Fields that the page's scripts set: a checkpoint or VAE chosen on a card, the settings that a distilled model wants.

Everything that a field may be set to is checked here, and menus learn of files that came after the page was built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from webui.errors import EmulsionError, InvalidRequest
from webui.ui.actions import error_parts, known_name
from webui.ui.choices import facts, menus
from webui.ui.reading import read_json
from webui.ui.sizes import follow
from webui.ui.studio import QUIET, Studio
from webui.workers.service import JobService

FILES = ("checkpoint", "vae")  # fields whose menus list files
FIXED_VAES = ("Automatic", "None")


@dataclass(frozen=True)
class Chosen:
    """Checked values by field; `report` is JSON for the scripts: {"values"} or {"error"}."""

    values: Mapping[str, Any] = field(default_factory=dict)
    report: str = "{}"


def choose(service: JobService, wanted: str) -> Chosen:
    """Check what the scripts want, JSON of {field: value}. A wrong value changes nothing at all."""
    try:
        values = {name: _checked(service, name, value) for name, value in read_json(wanted).items()}
    except EmulsionError as error:
        return Chosen(report=json.dumps({"error": error_parts(error)}))
    return Chosen(values, json.dumps({"values": values}))


def _checked(service: JobService, name: str, value: Any) -> Any:
    if name not in CHECKS:
        raise InvalidRequest(f"The field {name!r} cannot be set this way.", f"Known: {', '.join(CHECKS)}.")
    return CHECKS[name](service, value)


def _checkpoint(service: JobService, value: Any) -> str:
    if service.catalogue is None:
        raise InvalidRequest("This server has no library.")
    return service.catalogue.find(str(value)).name


def _vae(service: JobService, value: Any) -> str:
    if value in FIXED_VAES:
        return str(value)
    if service.catalogue is None:
        raise InvalidRequest("This server has no library.")
    return service.catalogue.find_vae(str(value)).name


def _named(kind: str, what: str) -> Callable[[JobService, Any], str]:
    def check(service: JobService, value: Any) -> str:
        found = known_name(service, kind, str(value))
        if found is None:
            raise InvalidRequest(f"There is no {what} named {value!r:.60}.")
        return found

    return check


def _between(low: float, high: float, whole: bool = False) -> Callable[[JobService, Any], float]:
    def check(service: JobService, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidRequest(f"{value!r:.40} was to be set.", f"A number from {low:g} to {high:g} was wanted.")
        return int(value) if whole else float(value)

    return check


def _eta(service: JobService, value: Any) -> float | None:
    return None if value is None else _between(0, 1)(service, value)


CHECKS: Mapping[str, Callable[[JobService, Any], Any]] = {
    "checkpoint": _checkpoint,
    "vae": _vae,
    "sampler": _named("samplers", "sampler"),
    "schedule": _named("schedules", "schedule"),
    "steps": _between(1, 150, whole=True),
    "guidance_scale": _between(1, 30),
    "eta": _eta,
}


def wire_choosing(studio: Studio, service: JobService, natives: gr.State) -> None:
    """The hidden button that `emulsion.choosing` presses. `natives`: the size that the size fields belong to."""
    button = gr.Button(visible="hidden", elem_id="em-choose")
    report = gr.Textbox(visible="hidden")
    fields = studio.fields
    size = [fields["width"], fields["height"]]

    def chosen(wanted: str, language: str, width: int, height: int, before: int) -> dict[Any, Any]:
        found = choose(service, wanted)
        updates: dict[Any, Any] = {fields[name]: gr.update(value=value) for name, value in found.values.items()}
        if any(name in found.values for name in FILES):
            choices = menus(service, language)
            for name in FILES:
                shown = {"value": found.values[name]} if name in found.values else {}
                updates[fields[name]] = gr.update(choices=choices[name], **shown)
        after = facts(service, found.values["checkpoint"]).native_size if "checkpoint" in found.values else None
        if after and after != before:
            updates |= dict(zip(size, follow(width, height, before, after), strict=True)) | {natives: after}
        return {**updates, report: found.report}

    language = gr.Textbox("en", visible="hidden")
    outputs = [*(fields[name] for name in CHECKS), *size, natives, report]
    js = "(wanted, language, ...rest) => [emulsion.choosing.taken(), emulsion.locale(), ...rest]"
    inputs = [report, language, *size, natives]
    done = button.click(chosen, inputs, outputs, js=js, trigger_mode="multiple", **QUIET)
    done.success(None, [report], None, js="(report) => emulsion.choosing.done(report)", **QUIET)
    done.failure(None, None, None, js="() => emulsion.choosing.done('')", **QUIET)
