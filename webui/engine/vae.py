"""Which VAE a checkpoint is used with: the chosen one, the one remembered for it, the one beside it, or its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.engine.catalogue import BRACKETED_HASH, Catalogue, CheckpointFile, conflicting_hash
from webui.errors import NotFound
from webui.families.vae import check_belongs, check_fits, doubt, sidecar_vae
from webui.weights.canonical import canonical
from webui.weights.header import read_header

if TYPE_CHECKING:
    from webui.families.base import ModelFacts

AUTOMATIC = "Automatic"
BUILT_IN = ("None", "none", "built in")  # names that mean the VAE inside the checkpoint
CHOICES = "vae_choices"  # the setting
NOTE_LIMIT = 1 << 20  # bytes of a checkpoint's notes


def resolve_vae(name: str, checkpoint: CheckpointFile, catalogue: Catalogue) -> CheckpointFile | None:
    """The VAE file that a request's `vae` means with a checkpoint, None for the one inside it.

    "Automatic" takes the one remembered for this checkpoint (the setting `vae_choices`, else A1111's "vae" in the notes
    beside the file), then the file beside it under its name. Raises NotFound for a VAE that is not there, be it chosen
    or remembered: without it the picture would be another.
    """
    if name in BUILT_IN:
        return None
    if name != AUTOMATIC:
        return catalogue.find_vae(name)
    remembered = remembered_vae(checkpoint, catalogue.vae_choices)
    if remembered in BUILT_IN:
        return None
    if remembered is not None:
        try:
            return catalogue.find_vae(remembered)
        except NotFound as error:
            raise NotFound(
                f"The VAE {remembered!r} that is remembered for {checkpoint.stem} is not there.",
                error.wanted,
                "Choose another one for this checkpoint, or None.",
            ) from None
    beside = sidecar_vae(checkpoint.path)
    return catalogue.file(beside) if beside else None


def check_vae(
    vae: CheckpointFile | None, checkpoint: CheckpointFile, facts: ModelFacts, catalogue: Catalogue
) -> list[str]:
    """Notes on a VAE that may not belong to a checkpoint. Reads headers, and a file's hash once.

    Raises IncompatibleModel for one that surely does not, with what tells so.
    """
    if vae is None:
        return []
    header = read_header(vae.path)
    check_fits(canonical(header), facts)
    digest = catalogue.sha256(vae)
    check_belongs(header, facts, digest)
    found = doubt(header, facts, digest, read_header(checkpoint.path))
    return [found] if found else []


def remembered_vae(checkpoint: CheckpointFile, choices: Mapping[str, str]) -> str | None:
    """The name of the VAE that is remembered for a checkpoint ("None": its own), None where none is."""
    keys = [key for key in choices if _means(key, checkpoint)]
    if keys:
        return choices[keys[-1]]
    noted = _notes(checkpoint.path).get("vae")
    return noted if isinstance(noted, str) and noted not in ("", AUTOMATIC) else None


def with_vae_choice(
    choices: Mapping[str, str], checkpoint: CheckpointFile, vae: CheckpointFile | str | None
) -> dict[str, str]:
    """The setting `vae_choices` with another choice for one checkpoint: a file, "None" for its own, None to forget."""
    changed = {key: value for key, value in choices.items() if not _means(key, checkpoint)}
    if vae is not None and vae != AUTOMATIC:
        changed[checkpoint.title] = vae if isinstance(vae, str) else vae.name
    return changed


def _means(title: str, checkpoint: CheckpointFile) -> bool:
    """Whether a title is this file's: by its hash where both are known, so that it may be renamed, else by name."""
    bracket = BRACKETED_HASH.search(title)
    if bracket is not None and checkpoint.sha256 is not None:
        return conflicting_hash(title, checkpoint) is None
    return BRACKETED_HASH.sub("", title).casefold() == checkpoint.name.casefold()


def _notes(path: Path) -> dict[str, Any]:
    """What A1111 keeps about a checkpoint beside it; empty where there is nothing that can be read."""
    try:
        with path.with_suffix(".json").open("rb") as file:
            found = json.loads(file.read(NOTE_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
