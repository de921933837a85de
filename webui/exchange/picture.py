"""Any picture of any program: which one wrote it, with which settings, and all that is in it besides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from webui.errors import DamagedFile, EmulsionError, UnsafeFile
from webui.exchange.comfyui import is_workflow, read_workflow
from webui.exchange.documents import JSON_LIMIT, parse_object
from webui.exchange.invokeai import read_invokeai
from webui.exchange.parameters import read_parameters, read_postprocessing
from webui.exchange.programs import (
    Found,
    Items,
    read_draw_things,
    read_easy_diffusion,
    read_fooocus,
    read_midjourney,
    read_novelai,
    read_swarmui,
)
from webui.exchange.reading import PictureInfo, Reading, Untranslated
from webui.exchange.stealth import read_hidden_text
from webui.imaging.files import load_picture, read_bytes
from webui.imaging.metadata import PARAMETERS, read_metadata
from webui.infotext import read_infotext

TEXT_LIMIT = 4 * JSON_LIMIT  # bytes of a file that is a text
HIDDEN = "hidden text"  # the name under which text in the pixels is reported
_EXIF_PREFIX = re.compile(r"\s*(prompt|workflow)\s*:\s*(?=\{)", re.IGNORECASE)


def read_picture(source: Path | bytes) -> PictureInfo:
    """What a picture file says of how it was made, whichever program wrote it.

    Metadata that cannot be read is shown with a note in `left_out`. Raises what `imaging.files.open_picture` does:
    DamagedFile for what is no picture, UnsafeFile for one of too many pixels, FileError where it cannot be opened.
    """
    data = read_bytes(source)
    metadata = read_metadata(data)
    items = dict(metadata.items)
    size = metadata.width, metadata.height
    found = _read(items, size)
    if found is None and metadata.format in ("PNG", "WEBP"):
        hidden, problem = _hidden(data)
        items |= {HIDDEN: hidden} if hidden else {}
        found = _read({**items, **_unpacked(hidden)}, size) if hidden else None
        if problem:
            return PictureInfo(None, "", None, (problem,), items, *size, metadata.format)
    extras = read_postprocessing(items)
    if found is None:
        text = metadata.infotext or ""
        return PictureInfo(None, text, None, (), items, *size, metadata.format, extras)
    request = found.reading.request if found.reading else None
    left_out = found.reading.left_out if found.reading else ()
    return PictureInfo(found.program, found.text, request, left_out, items, *size, metadata.format, extras)


def read_document(data: bytes) -> PictureInfo:
    """What was dropped on the page: a picture, a workflow as JSON, or a text in A1111's form; the latter two have no
    size and the formats "JSON" and "TEXT". Raises as `read_picture` and `read_workflow` do."""
    text = _text(data)
    if text is None:
        return read_picture(data)
    if text.startswith("{"):
        reading = read_workflow(text)
        return PictureInfo("ComfyUI", text, reading.request, reading.left_out, {}, 0, 0, "JSON")
    found = read_parameters({PARAMETERS: text}) if read_infotext(text).fields else None
    if found is None or found.reading is None:
        return read_picture(data)  # which says what is wrong with it
    return PictureInfo(found.program, text, found.reading.request, found.reading.left_out, {}, 0, 0, "TEXT")


def _text(data: bytes) -> str | None:
    """The text that a file is, or None for a picture."""
    if len(data) > TEXT_LIMIT or b"\0" in data[:1000]:
        return None
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None


def _read(items: Items, size: tuple[int, int]) -> Found | None:
    """What the first program says whose names are there; those with names of their own come first."""
    for reader in READERS:
        found = reader(items)
        if found is not None:
            return found
    return _read_comfyui(items, size) or read_parameters(items)


READERS: tuple[Callable[[Items], Found | None], ...] = (
    read_swarmui,
    read_fooocus,
    read_invokeai,
    read_novelai,
    read_easy_diffusion,
    read_draw_things,
    read_midjourney,
)


def _read_comfyui(items: Items, size: tuple[int, int]) -> Found | None:
    """ComfyUI's two graphs. The one for the server comes first: its values have names, and it holds what was run."""
    graphs = _graphs(items)
    problem = None
    for name in ("prompt", "workflow"):
        if name not in graphs:
            continue
        try:
            return Found("ComfyUI", graphs[name], read_workflow(graphs[name], size))
        except EmulsionError as error:
            problem = problem or Untranslated(name, "", str(error))
    if problem is None:
        return None
    text = read_parameters(items)  # save nodes write A1111's form beside the graph
    if text and text.reading:
        return Found("ComfyUI", text.text, Reading(text.reading.request, (*text.reading.left_out, problem)))
    return Found("ComfyUI", next(iter(graphs.values())), None)


def _graphs(items: Items) -> dict[str, str]:
    """Texts of workflows by the kind of graph: PNG texts, EXIF texts "prompt:{…}", or JSON that holds both."""
    graphs: dict[str, str] = {}
    for name, text in items.items():
        prefix = _EXIF_PREFIX.match(text)
        kind = prefix.group(1).lower() if prefix else name.lower()
        body = text[prefix.end() :] if prefix else text
        if kind not in ("prompt", "workflow") and name not in ("UserComment", "comment", "ImageDescription"):
            continue
        data = parse_object(body)
        if data and is_workflow(data):
            graphs.setdefault(kind if kind in ("prompt", "workflow") else "prompt", body)
    return graphs


def _hidden(data: bytes) -> tuple[str | None, Untranslated | None]:
    """The text in the pixels. Pixels that cannot be read are a note, as the header could; programs that hide texts make
    no pictures that are too large."""
    try:
        return read_hidden_text(load_picture(data)), None
    except UnsafeFile:
        return None, None
    except DamagedFile as error:
        return None, Untranslated("pixels", "", str(error))


def _unpacked(hidden: str | None) -> Mapping[str, str]:
    """A hidden text as items: NovelAI hides its PNG texts as one JSON object, others A1111's text."""
    data = parse_object(hidden)
    if data is None:
        return {"parameters": hidden or ""}
    return {name: value for name, value in data.items() if isinstance(value, str)} or {"parameters": hidden or ""}
