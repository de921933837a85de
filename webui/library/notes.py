"""What people wrote about a model file, in files beside it that other programs read and write as well.

- `name.json`: A1111's: "description", "sd version", "activation text", "preferred weight", "negative text", "notes".
  We keep "tags" and "favourite" there too. Fields that we do not know stay.
- `name.civitai.info`: what Civitai Helper and others keep of the page that a file came from.
- `name.txt`: A1111's older description.
- `name.preview.png` and the like: the picture on the card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from webui.errors import FileError, InvalidRequest
from webui.library.files import PREVIEW_ENDINGS
from webui.library.plain import kept_number, kept_text, kept_texts
from webui.settings import write_atomically

MOST_BYTES = 4 << 20
LONGEST = 20_000  # characters of a text
LONGEST_TAG, MOST_TAGS = 100, 100
STRONGEST = 1000.0  # what a weight may be, as in prompts
# "sd version" of A1111, and what Civitai calls bases, as labels of families; an earlier one that fits counts.
VERSIONS = (
    ("sdxl", "Stable Diffusion XL"),
    ("pony", "Stable Diffusion XL"),
    ("illustrious", "Stable Diffusion XL"),
    ("noobai", "Stable Diffusion XL"),
    ("flux", "Flux"),
    ("sd3", "Stable Diffusion 3"),
    ("sd2", "Stable Diffusion 2"),
    ("sd1", "Stable Diffusion 1"),
)


@dataclass(frozen=True)
class Notes:
    """What lies beside a file. `weight` is the preferred one, None where nobody said; `base` the label of the family
    that people say it is for and `page_base` what its page says; `words` what that says to write; `preview` the name of
    the picture's file."""

    title: str = ""
    description: str = ""
    activation: str = ""
    weight: float | None = None
    negative: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    favourite: bool = False
    words: tuple[str, ...] = ()
    base: str = ""
    page_base: str = ""
    preview: str = ""


EDITABLE = {  # our name of what can be changed -> the name in the JSON file
    "description": "description",
    "activation": "activation text",
    "weight": "preferred weight",
    "negative": "negative text",
    "notes": "notes",
    "tags": "tags",
    "favourite": "favourite",
}


def read_notes(stem: Path, names: list[str]) -> Notes:
    """What is said in files beside a model. `stem` is its path without the suffix, `names` those that lie there.

    Files that cannot be read say nothing.
    """
    found: dict[str, Any] = {}
    for name in (f"{stem.name}.txt", f"{stem.name}.description.txt"):
        if name in names:
            found["description"] = kept_text(_text(stem.with_name(name)), LONGEST)
    if f"{stem.name}.civitai.info" in names:
        found |= _from_page(_object(stem.with_name(f"{stem.name}.civitai.info")))
    if f"{stem.name}.json" in names:
        own = _from_own(_object(stem.with_name(f"{stem.name}.json")))
        found |= {name: value for name, value in own.items() if value not in ("", (), None)}
    preview = next((name for ending in PREVIEW_ENDINGS if (name := stem.name + ending) in names), "")
    return Notes(**found, preview=preview)


def check_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Wanted changes by our names, as plain data. Raises InvalidRequest for unknown names and wrong values."""
    unknown = [str(name) for name in changes if name not in EDITABLE]
    if unknown:
        raise InvalidRequest(f"{', '.join(unknown)} cannot be changed.", f"Known: {', '.join(EDITABLE)}.")
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "favourite":
            right = isinstance(value, bool)
            checked[name] = value
        elif name == "weight":
            checked[name] = None if value is None else kept_number(value, -STRONGEST, STRONGEST)
            right = value is None or checked[name] is not None
        elif name == "tags":
            right = isinstance(value, list) and all(isinstance(tag, str) for tag in value) and len(value) <= MOST_TAGS
            checked[name] = list(kept_texts(value, LONGEST_TAG, MOST_TAGS)) if right else []
        else:
            right = isinstance(value, str) and len(value) <= LONGEST
            checked[name] = kept_text(value, LONGEST)
        if not right:
            raise InvalidRequest(f"{name} has a value of the wrong kind or size.", _WANTED.get(name, _WANTED["text"]))
    return checked


_WANTED = {
    "favourite": "true or false was wanted.",
    "weight": f"A number from {-STRONGEST:g} to {STRONGEST:g}, or null, was wanted.",
    "tags": f"A list of at most {MOST_TAGS} texts was wanted.",
    "text": f"A text of at most {LONGEST} characters was wanted.",
}


def write_notes(stem: Path, changes: Mapping[str, Any]) -> None:
    """Put checked changes into `name.json`; what else it says stays.

    Raises FileError when the file holds something that we would destroy, or cannot be written.
    """
    path = stem.with_name(f"{stem.name}.json")
    said: dict[str, Any] = {}
    if path.exists():
        said = _object(path)
        if not said and path.stat().st_size > 4:
            raise FileError(f"{path.name} cannot be read as JSON.", "", "Move it away or repair it, then try again.")
    for name, value in changes.items():
        said[EDITABLE[name]] = 0 if name == "weight" and value is None else value  # A1111's "no preference"
    try:
        write_atomically(path, json.dumps(said, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise FileError(
            f"{path.name} cannot be written: {error.strerror or error}.", "", "Make the folder writable."
        ) from None


def plain(notes: Notes) -> dict[str, Any]:
    """For JSON."""
    return {one.name: getattr(notes, one.name) for one in fields(Notes)}


def _from_own(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: kept_text(said.get(EDITABLE[name]), LONGEST)
        for name in ("description", "activation", "negative", "notes")
    }
    found["weight"] = kept_number(said.get("preferred weight"), -STRONGEST, STRONGEST) or None
    found["tags"] = kept_texts(said.get("tags"), LONGEST_TAG, MOST_TAGS)
    found["favourite"] = said.get("favourite") is True
    found["base"] = _base(said.get("sd version"))
    return found


def _from_page(said: Mapping[str, Any]) -> dict[str, Any]:
    model = said.get("model")
    names = [kept_text(model.get("name"), 200) if isinstance(model, dict) else "", kept_text(said.get("name"), 200)]
    found: dict[str, Any] = {
        "title": " ".join(name for name in names if name),
        "words": kept_texts(said.get("trainedWords"), 1000, 50),
        "page_base": _base(said.get("baseModel")),
    }
    description = kept_text(said.get("description"), LONGEST)
    return {**found, "description": description} if description else found


def _base(said: Any) -> str:
    name = kept_text(said, 100).lower().replace(" ", "")
    return next((label for start, label in VERSIONS if name.startswith(start)), "")


def _object(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(_text(path))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
