"""Which captioners there are, and which one a name means. No torch: requests are checked with this.

A captioner is a folder in `models/captioners/` as model hubs have it: `config.json`, weights in safetensors, and what
turns numbers into words. Nothing in it is executed, and nothing is fetched.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.errors import NotFound
from webui.paths import Paths
from webui.registry import Registry

SENTENCE, TAGS = "sentence", "tags"  # what a captioner writes
# What A1111's clients ask for -> what they get.
ASKED = {"clip": SENTENCE, "blip": SENTENCE, "deepdanbooru": TAGS, "deepbooru": TAGS}
CONFIG_BYTES = 4 << 20


@dataclass(frozen=True)
class Kind:
    """One kind of model folder.

    `fits(config, folder)` says whether a folder is of this kind by its `config.json`; `module` has
    `load(folder, device) -> Describe` (see `loading.py`); `writes` is SENTENCE or TAGS.
    """

    writes: str
    fits: Callable[[Mapping[str, Any], Path], bool]
    module: str


@dataclass(frozen=True)
class Captioner:
    """One that is there: the name of its folder, its kind's name, and what it writes."""

    name: str
    kind: str
    writes: str
    folder: Path


KINDS: Registry[Kind] = Registry("kind of captioner")
KINDS.register("BLIP")(
    Kind(SENTENCE, lambda config, folder: config.get("model_type") == "blip", "webui.captioning.blip")
)
KINDS.register("WD tagger")(
    Kind(
        TAGS,
        lambda config, folder: (
            str(config.get("architecture", "")).startswith("vit_") and (folder / "selected_tags.csv").is_file()
        ),
        "webui.captioning.tagger",
    )
)


def captioners(paths: Paths) -> list[Captioner]:
    """All that are there and known, by name; those that write sentences first, and what was fetched in part last.
    Reads small files only."""
    found: dict[str, Captioner] = {}
    for root in paths.folders("captioners"):
        for folder in sorted(root.iterdir(), key=lambda path: path.name.casefold()):
            config = _config(folder)
            kind = next((entry for entry in KINDS if config and entry.value.fits(config, folder)), None)
            if kind is not None:
                found.setdefault(folder.name, Captioner(folder.name, kind.name, kind.value.writes, folder))

    def place(one: Captioner) -> tuple[bool, bool, str]:
        return (not any(one.folder.glob("*.safetensors")), one.writes != SENTENCE, one.name.casefold())

    return sorted(found.values(), key=place)


def find_captioner(name: str, paths: Paths) -> Captioner:
    """The captioner of a name: a folder's, or "clip" and "deepdanbooru" as A1111's clients say; "" is the first one.

    Raises NotFound with what to do.
    """
    known = captioners(paths)
    wanted = ASKED.get(name.casefold())
    for one in known:
        if not name or one.writes == wanted or one.name.casefold() == name.casefold():
            return one
    if wanted or not known:
        raise not_installed(wanted or SENTENCE, paths)
    raise NotFound(f"There is no captioner named {name!r}.", f"There are: {', '.join(one.name for one in known)}.")


def not_installed(writes: str, paths: Paths) -> NotFound:
    """The error that says what to put where."""
    what = "captioner" if writes == SENTENCE else "tagger"
    model, files = {
        SENTENCE: (
            "Salesforce/blip-image-captioning-base",
            "config.json preprocessor_config.json tokenizer.json model.safetensors",
        ),
        TAGS: ("SmilingWolf/wd-vit-tagger-v3", "config.json selected_tags.csv model.safetensors"),
    }[writes]
    folder = paths.new_folder("captioners") / model.rpartition("/")[2]
    tool = Path(sys.executable).with_name("hf.exe" if os.name == "nt" else "hf")
    command = [str(tool) if tool.exists() else "hf", "download", model, *files.split(), "--local-dir", str(folder)]
    typed = " ".join(f'"{part}"' if " " in part else part for part in command)
    return NotFound(
        f"No {what} is installed.",
        f"A model folder was wanted in {folder.parent}.",
        f"Fetch one in a terminal: {typed}",
    )


def _config(folder: Path) -> Mapping[str, Any]:
    """What a model folder says about itself; empty where it is none."""
    file = folder / "config.json"
    try:
        if file.stat().st_size > CONFIG_BYTES:
            return {}
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}
