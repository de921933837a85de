"""Texts in A1111's form: of A1111 itself, Forge, SD.Next, Fooocus' second scheme, and save nodes of ComfyUI."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from webui.exchange.documents import as_list, as_number, as_object, parse_value, shown
from webui.exchange.names import file_stem, lora_directive, sampler_and_schedule, schedule_name
from webui.exchange.programs import Found, Items
from webui.exchange.reading import NO_PLACE, Reading, Untranslated
from webui.infotext import infotext_to_request, read_infotext
from webui.infotext_format import read_few_fields
from webui.infotext_keys import take_postprocessing
from webui.request import GenerationRequest, replace

_PLACES = ("UserComment", "parameters", "comment")  # as in A1111, EXIF counts before PNG texts
_OF_EXTRAS = ("extras", "postprocessing")  # A1111 writes both, with the same text
_FORGE = re.compile(r"f[0-9]|neo")
# Fields that say nothing more about how the picture came to be.
_SILENT = {"Version", "User", "App", "Backend", "Parser", "Pipeline", "Operations", "Model hash", "VAE hash", "Created"}
_SILENT |= {
    "Lora hashes",
    "TI hashes",
    "Hashes",
    "Refiner hash",
    "Init image hash",
    "Raw prompt",
    "Raw negative prompt",
}
_SILENT |= {"Lora weights", "Scheduler", "Batch", "Index", "Size-1", "Size-2", "Created Date", "Civitai metadata"}
_SILENT |= {"LoRA networks", "Refine", "Hires force", "HiRes mode", "Resize scale", "Sampler dynamic shift"}  # SD.Next
_CIVITAI = "Civitai resources"  # JSON: titles on that site, no names of files
_BY_TITLE = "Named by its title on Civitai, not by its file; choose the file here."
_DEFAULTS = {"Mask mode": "Inpaint masked", "Hires upscale": "", "FP8 weight": "Disable"}


def read_parameters(items: Items) -> Found | None:
    """A picture whose text has fields, or, as the last resort, a prompt alone."""
    texts = [text for name in _PLACES if (text := items.get(name, "")).strip() and not _is_postprocessing(text)]
    for text in texts:
        if fields := read_infotext(text).fields:
            return Found(_program(fields, items), text, read_infotext_of_any(text))
    prompt = items.get("parameters", "").strip()
    if not prompt or _is_postprocessing(prompt):
        return None
    return Found("AUTOMATIC1111", prompt, read_infotext_of_any(prompt))


def read_postprocessing(items: Items) -> dict[str, str]:
    """What Extras did to a picture: in a text of its own in PNG, else behind the request or in its place."""
    found: dict[str, str] = {}
    for name in (*_PLACES, *_OF_EXTRAS):
        found |= take_postprocessing(read_few_fields(items.get(name, "").rpartition("\n")[2]))
    return found


def _is_postprocessing(text: str) -> bool:
    """Whether a text says what Extras did and nothing else: that of a JPEG whose source said nothing."""
    fields = read_few_fields(text)
    return bool(take_postprocessing(fields)) and not fields and "\n" not in text.strip()


def read_infotext_of_any(text: str) -> Reading:
    """The request of a text in A1111's form, and the fields that say more than the request does."""
    request, rest = infotext_to_request(text, _split_sampler)
    request = _schedule(_loras(request, rest), rest)
    left_out = [
        Untranslated(name, value, NO_PLACE)
        for name, value in rest.items()
        if name not in (*_SILENT, _CIVITAI) and _DEFAULTS.get(name) != value and value not in ("", "None")
    ]
    return Reading(request, (*left_out, *_named_by_title(rest.get(_CIVITAI, ""))))


def _named_by_title(resources: str) -> Iterator[Untranslated]:
    """What Civitai's own generator says of the files that it used."""
    for one in map(as_object, as_list(parse_value(resources))):
        title = " ".join(str(one[key]) for key in ("modelName", "modelVersionName") if one.get(key))
        weight = as_number(one.get("weight"))
        if title:
            yield Untranslated(
                shown(one.get("type", "")), shown(f"{title}: {weight:g}" if weight else title), _BY_TITLE
            )


def _program(fields: Mapping[str, str], items: Items) -> str:
    version = fields.get("Version", "")
    if version.startswith("Emulsion"):
        return "Emulsion"
    if version.startswith("Fooocus") or "fooocus_scheme" in items:
        return "Fooocus"
    if fields.get("App", "").casefold().replace(".", "").startswith("sdnext"):
        return "SD.Next"
    if version.startswith("ComfyUI"):
        return "ComfyUI"
    return "Forge" if _FORGE.match(version) else "AUTOMATIC1111"


def _split_sampler(name: str) -> tuple[str, str]:
    found = sampler_and_schedule(name)
    return (found[0], found[1] or "Automatic") if found else (name, "Automatic")


def _loras(request: GenerationRequest, rest: dict[str, str]) -> GenerationRequest:
    """Fooocus and SD.Next name LoRAs in fields where the prompt does not."""
    prompt = request.prompt
    for part in rest.get("Lora weights", "").split(", "):
        name, _, weight = part.rpartition(": ")
        number = as_number(weight)
        if name and number is not None and f"<lora:{file_stem(name)}:" not in prompt:
            prompt = f"{prompt} {lora_directive(name, number)}".strip()
    return replace(request, prompt=prompt)


def _schedule(request: GenerationRequest, rest: dict[str, str]) -> GenerationRequest:
    """Fooocus writes the schedule under ComfyUI's name in a field of its own."""
    found = schedule_name(rest["Scheduler"]) if "Scheduler" in rest else None
    if found is None:
        return request
    first, *others = request.passes
    return replace(request, passes=(dataclasses.replace(first, schedule=found), *others))
