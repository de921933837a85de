"""Scripts as the page uses them: a filled page becomes a job of many cells, and is counted before that."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webui.captioning.names import find_captioner
from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell
from webui.request import LATENT_UPSCALERS, GenerationRequest
from webui.scripts import ONE_PIXEL, arguments_of, planned, tab_of
from webui.scripts.work import cost, names, plain_cost, work
from webui.ui.fields import NAMES, PICTURE_MODES, check_kinds, default_values, request_from_values
from webui.ui.reading import read_json
from webui.workers.queue import FIRST
from webui.workers.service import JobService
from webui.workers.tasks import refuse_folders

RECENT = 20  # jobs from which the speed is guessed


def submit_script(service: JobService, values: Sequence[Any], client: str, script: str, here: bool) -> str:
    """Queue a filled page with a script, {"script", "arguments"} as JSON; returns the job's id.

    `here`: who asks sits before this machine. Raises InvalidRequest and what queueing raises.
    """
    wanted, filled = read_json(script), dict(zip(NAMES, values, strict=True))
    check_kinds(filled)
    entry, mode = SCRIPTS.find(str(wanted.get("script"))), filled["mode"]
    if tab_of(mode) not in entry.value.tabs:
        raise InvalidRequest(f"{entry.name} does not work in this tab.", f"It is for {', '.join(entry.value.tabs)}.")
    refuse_folders("script", wanted, here)
    request = page_request(filled) if entry.value.own_pictures else request_from_values(values)
    plain = {"script": entry.name, "arguments": wanted.get("arguments", {}), "request": dataclasses.asdict(request)}
    return service.submit_task("script", plain, client=client, tab=mode, priority=FIRST if here else 0)


def counted(service: JobService, name: str, values: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """What a filled page with a script would cost; `values` are {arguments, fields}. Raises what is wrong with it."""
    arguments, fields = values.get("arguments"), values.get("fields")
    if not isinstance(arguments, dict) or not isinstance(fields, dict):
        raise InvalidRequest("arguments or fields is no object.")
    request = page_request(default_values() | {key: value for key, value in fields.items() if key in NAMES})
    cells = planned(name, request, arguments_of(name, arguments), lambda: 0, service.blobs.path)
    _check_names(service, cells)
    return plain_cost(cost(cells), seconds_per_work(service), limit)


def page_request(values: Mapping[str, Any]) -> GenerationRequest:
    """The request of a page's fields; where it lacks a picture or a mask, one of a pixel stands for it."""
    filled = dict(values)
    check_kinds(filled)
    if filled["mode"] in PICTURE_MODES:
        filled["source_image"] = filled["source_image"] or ONE_PIXEL
        filled["source_mask"] = filled["source_mask"] or (ONE_PIXEL if filled["mode"] == "inpaint" else "")
    return request_from_values([filled[name] for name in NAMES])


def _check_names(service: JobService, cells: list[Cell]) -> None:
    """Refuse names that are not here. Raises InvalidRequest or NotFound."""
    catalogue = service.catalogue
    known: dict[str, set[str]] = {"upscaler": {*LATENT_UPSCALERS, *service.upscalers(), "None"}}
    aliases: dict[str, set[str]] = {}
    for kind, many in (("sampler", "samplers"), ("schedule", "schedules")):
        entries = service.names(many, 0.0)
        known[kind] = {entry["name"] for entry in entries}
        aliases[kind] = {word for entry in entries for word in entry.get("aliases", ())}
    find: dict[str, Callable[[str], object]] = {}
    if catalogue is not None:
        known["style"] = set(catalogue.styles())
        own = ("Automatic", "None")
        find = {"checkpoint": catalogue.find, "vae": lambda name: name in own or catalogue.find_vae(name)}
        find["captioner"] = lambda name: find_captioner(name, catalogue.library.paths)
    for kind, name in sorted(names(cells)):
        if kind in find and name:
            find[kind](name)
        words = {word.casefold() for word in known.get(kind, set()) | aliases.get(kind, set())}
        if words and name.casefold() not in words and not (kind == "sampler" and " " in name):
            raise InvalidRequest(f"There is no {kind} named {name!r}.", f"Known: {', '.join(sorted(known[kind]))}.")


def seconds_per_work(service: JobService) -> float | None:
    """Seconds for a million pixels and one step, by the last jobs; None before there is one."""
    found = []
    for view in service.jobs(RECENT):
        if view.state != "done" or view.started is None or view.finished is None:
            continue
        if view.task == "script":
            seconds, amount = view.outcome.get("seconds", 0.0), view.outcome.get("work", 0.0)
        else:
            seconds, amount = view.finished - view.started, work(view.request) if view.results else 0.0
        if amount > 0 and seconds > 0:
            found.append(seconds / amount)
    return statistics.median(found) if found else None
