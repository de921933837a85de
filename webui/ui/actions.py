"""What the page's buttons do on the server: make a request, read settings, answer questions about sizes."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webui.engine.adapters import with_present_names
from webui.errors import EmulsionError, InvalidRequest
from webui.infotext import infotext_to_request, read_infotext
from webui.request import LATENT_UPSCALERS, GenerationRequest, check, from_dict, from_json, replace
from webui.scripts import from_infotext
from webui.ui.choices import chosen, facts, menus
from webui.ui.fields import AS_BEFORE, NAMES, default_values, request_from_values, values_from_request
from webui.ui.language import text
from webui.ui.reading import read_json
from webui.ui.scripting import submit_script
from webui.ui.sizes import hints
from webui.upscalers.names import FILE_NAMES
from webui.workers.queue import FIRST
from webui.workers.service import JobService

INFORMATIVE = (  # nothing to fill in
    *("Model hash", "VAE hash", "Version", "Lora hashes", "TI hashes", "Hashes", "Created Date", "Civitai metadata"),
    "Init image hash",
)
READ_AS_TEXT = ("Emulsion", "AUTOMATIC1111", "Forge")
MOST_NAMES = 12  # of settings that a note lists
EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # kana, Han characters, hangul
# Infotexts are of one picture; these fields stay as they are.
NOT_OF_A_PICTURE = ("batch_size", "count", "save", "mode", "source_image", "source_mask")


def submit(service: JobService, values: Sequence[Any], client: str, script: str = "", here: bool = False) -> str:
    """Queue a filled page, as the script's cells if there is one. Returns JSON: {"job": id}, or {"error": {"found",
    "wanted", "remedy"}}. `here`: who asks sits before this machine."""
    try:
        if script:
            return json.dumps({"job": submit_script(service, values, client, script, here)})
        tab = values[NAMES.index("mode")]
        request, priority = request_from_values(values), FIRST if here else 0
        return json.dumps({"job": service.submit(request, client=client, tab=tab, priority=priority)})
    except EmulsionError as error:
        return refused(error)


def refused(error: EmulsionError) -> str:
    """The same answer for an error."""
    return json.dumps({"error": error_parts(error)})


def error_parts(error: EmulsionError) -> dict[str, str]:
    """An error as the page shows it: what was found, what was wanted, what to do."""
    return {"found": error.found, "wanted": error.wanted, "remedy": error.remedy}


@dataclass(frozen=True)
class Filled:
    """Values for the fields that a text names; `report` is JSON for the message under it."""

    values: Mapping[str, Any] = field(default_factory=dict)
    report: str = "{}"


def fill(service: JobService, wanted: str, language: str) -> Filled:
    """The fields for what the page's scripts hand over as JSON: {"infotext"}, or what /ui/picture-info said of a file.

    Texts of this program and of those whose form it took over are read as texts, as they name models by hash too; of
    other programs the request is taken over. Raises InvalidRequest for what is no such thing.
    """
    said = read_json(wanted)
    left_out = said.get("left_out", [])
    if not isinstance(left_out, list) or not all(isinstance(name, str) for name in left_out):
        raise InvalidRequest("left_out is no list of names.")
    if said.get("request_json") and said.get("program") not in READ_AS_TEXT:
        return read_request(service, str(said["request_json"]), left_out, language)
    return read_settings(service, str(said.get("infotext") or ""), language)


def read_request(service: JobService, request_json: str, left_out: Sequence[str], language: str) -> Filled:
    """The fields that a request stands for. `left_out` names what the picture said besides."""
    try:
        request = from_json(request_json)
        check(request)
        values, notes = page_values(service, request, language)
    except EmulsionError as error:
        return Filled(report=json.dumps({"error": error_parts(error)}))
    for name in NOT_OF_A_PICTURE:
        values.pop(name)
    if left_out:
        names = dict.fromkeys(left_out)
        shown = ", ".join(list(names)[:MOST_NAMES]) + (" …" if len(names) > MOST_NAMES else "")
        notes.append(text(language, "read.unknown", names=shown))
    return Filled(values, json.dumps({"notes": [text(language, "read.done"), *notes]}))


def read_settings(service: JobService, infotext: str, language: str) -> Filled:
    """The fields that a picture's infotext stands for, with names of models mapped to the files that are here."""
    try:
        request, rest = infotext_to_request(infotext, lambda name: split_sampler(service, name))
        if service.catalogue is not None:
            request = replace(request, prompt=with_present_names(request.prompt, rest, service.catalogue))
        options = service.extensions.read_fields(rest)
        request = replace(_with_hash(request, rest), extensions=options)
        values, notes = page_values(service, request, language)
    except EmulsionError as error:
        return Filled(report=json.dumps({"error": error_parts(error)}))
    for name in NOT_OF_A_PICTURE:
        values.pop(name)
    if not read_infotext(infotext).fields:  # a prompt and nothing else: the other fields stay
        values = {name: values[name] for name in ("prompt", "negative_prompt") if values[name]}
    script, said_by = from_infotext(rest)
    said_by = {*said_by, *service.extensions.infotext_fields(options)}
    left_out = [name for name in rest if name not in INFORMATIVE and name not in said_by]
    if left_out:
        notes.append(text(language, "read.unknown", names=", ".join(left_out)))
    report = {"notes": [text(language, "read.done"), *notes]} | ({"script": script} if script else {})
    return Filled(values, json.dumps(report))


def _with_hash(request: GenerationRequest, rest: Mapping[str, str]) -> GenerationRequest:
    """The request with its checkpoint's hash in the name, so that a renamed or unnamed file is found too."""
    if "Model hash" not in rest:
        return request
    named = f"{request.checkpoint} [{rest['Model hash']}]" if request.checkpoint else rest["Model hash"]
    return replace(request, checkpoint=named)


def split_sampler(service: JobService, name: str) -> tuple[str, str]:
    """ "DPM++ 2M Karras", as old programs wrote it, as sampler and schedule; any other name with "Automatic"."""
    for schedule in service.names("schedules", 0.0):
        for word in (schedule["name"], *schedule.get("aliases", ())):
            if name.casefold().endswith(f" {word}".casefold()):
                return name[: -len(word) - 1], str(schedule["name"])
    return name, "Automatic"


def known_name(service: JobService, kind: str, name: str) -> str | None:
    """A sampler's or schedule's shown name from any of its spellings; None for one that is not here."""
    for entry in service.names(kind, 0.0):
        if name.casefold() in (word.casefold() for word in (entry["name"], *entry.get("aliases", ()))):
            return str(entry["name"])
    return None


def page_values(service: JobService, request: GenerationRequest, language: str) -> tuple[dict[str, Any], list[str]]:
    """What the fields show for a request. Names that are not here are left out, each with a note."""
    values, notes = values_from_request(request), []
    name = values.pop("checkpoint")
    if name:
        file = chosen(service, name)
        if file is None:
            notes.append(text(language, "read.checkpoint", name=name))
        else:
            values["checkpoint"] = file.name
    for field_name, kind in (("sampler", "samplers"), ("schedule", "schedules")):
        known = known_name(service, kind, values[field_name])
        if known is None:
            notes.append(text(language, f"read.{field_name}", name=values.pop(field_name)))
        else:
            values[field_name] = known
    notes += _other_names(service, values, language)
    if values["vae"] not in ("Automatic", "None") and service.catalogue is not None:
        try:
            values["vae"] = service.catalogue.find_vae(values["vae"]).name
        except EmulsionError:
            notes.append(text(language, "read.vae", name=values["vae"]))
            values["vae"] = "Automatic"
    for field_name, choices in menus(service, language).items():
        if field_name in values and field_name != "styles" and values[field_name] not in (one for _, one in choices):
            notes.append(text(language, "read.other", name=values[field_name]))
            values[field_name] = default_values()[field_name]
    return values, notes


def _other_names(service: JobService, values: dict[str, Any], language: str) -> list[str]:
    """Correct names in the menus of second passes and source pictures: the usual choice where one is not here."""
    for_pictures = {name.casefold(): name for name in service.upscalers()}
    upscalers = {name.casefold(): name for name in LATENT_UPSCALERS} | for_pictures
    if values["image_upscaler"] in LATENT_UPSCALERS:  # what an infotext without one says; the menu does not have it
        values["image_upscaler"] = default_values()["image_upscaler"]
    finders: dict[str, Callable[[str], str | None]] = {
        "hires_checkpoint": functools.partial(_file_name, service),
        "refiner_checkpoint": functools.partial(_file_name, service),
        "hires_sampler": functools.partial(known_name, service, "samplers"),
        "hires_schedule": functools.partial(known_name, service, "schedules"),
        "hires_upscaler": lambda name: upscalers.get(FILE_NAMES.get(name, name).casefold()),
        "image_upscaler": lambda name: for_pictures.get(FILE_NAMES.get(name, name).casefold()),
    }
    notes = []
    for field_name, find in finders.items():
        name = values[field_name]
        if name in ("", AS_BEFORE):
            continue
        values[field_name] = find(name)
        if values[field_name] is None:
            notes.append(text(language, "read.other", name=name))
            values[field_name] = default_values()[field_name]
    return notes


def _file_name(service: JobService, name: str) -> str | None:
    file = chosen(service, name)
    return file.name if file else None


def restore(service: JobService, job_id: str, language: str) -> dict[str, Any]:
    """The fields as they were when a job was sent, for a page that was reloaded; nothing for an unknown job."""
    if not job_id:
        return {}
    try:
        view = service.job(job_id)
        request = from_dict(view.values["request"]) if view.task == "script" else view.request
        values, _ = page_values(service, request, language)
    except EmulsionError:
        return {}
    return values


def page_hints(
    service: JobService,
    checkpoint: str | None,
    width: float | None,
    height: float | None,
    scale: float | None,
    negative: str | None,
    prompt: str | None,
    language: str,
) -> list[str]:
    """Everything worth saying about the fields before the button is pressed."""
    if not service.checkpoints():
        return [text(language, "hint.no_checkpoint")]
    known = facts(service, checkpoint)
    if known.problem:
        return [text(language, "hint.checkpoint", reason=known.problem)]
    found = hints(language, known.native_size, width, height, scale, negative or "")
    words = (prompt or "").casefold()
    if EAST_ASIAN.search(words):
        found.append(text(language, "hint.language"))
    if words and known.concepts and not any(concept.casefold() in words for concept in known.concepts):
        found.append(text(language, "hint.concepts", concepts=", ".join(known.concepts)))
    return found
