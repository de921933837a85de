"""What a merged file says about itself: A1111's recipe, and modelspec's facts.

Formats: `sd_merge_recipe` and `sd_merge_models` as AUTOMATIC1111's merger writes them; `modelspec.*` as in Stability
AI's ModelSpec 1.0.1.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.families.base import ModelFacts
from webui.merging.recipe import Recipe
from webui.weights.tensors import Header

HASH_KEY = "modelspec.hash_sha256"
# What was true of the first model alone.
STALE = ("sd_merge_", "sshs_", "modelspec.hash", "modelspec.title", "modelspec.date", "modelspec.thumbnail")
NEEDED = ("emulsion.",)  # how the model is run, whether or not its story is told
LEGACY_OFFSET, LEGACY_LENGTH = 0x100000, 0x10000


@dataclass(frozen=True)
class Origin:
    """A model that went in: its title, its SHA-256 in hexadecimal, and what its metadata say of its own merge."""

    name: str
    sha256: str
    legacy_hash: str
    metadata: Mapping[str, str]


def legacy_hash(path: Path) -> str:
    """A1111's old eight digits: the SHA-256 of 64 KiB from the first megabyte on. Empty for a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(LEGACY_OFFSET)
        return hashlib.sha256(file.read(LEGACY_LENGTH)).hexdigest()[:8]


def describe_merge(recipe: Recipe, origins: Sequence[Origin], header: Header, facts: ModelFacts) -> dict[str, str]:
    """The metadata of the result; `header` and `facts` are the first model's."""
    said = {key: value for key, value in header.metadata.items() if "/" not in key}  # those of a folder's parts
    kept = said if recipe.copy_metadata else {key: value for key, value in said.items() if key.startswith(NEEDED)}
    found = {key: value for key, value in kept.items() if not key.startswith(STALE)}
    if "scheduler/config" in header.metadata:  # of a diffusers folder: noise levels and what the network predicts
        found["scheduler/config"] = header.metadata["scheduler/config"]
    if facts.zero_terminal_snr:
        found["ss_zero_terminal_snr"] = "True"
    found |= {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": recipe.name,
        "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "modelspec.prediction_type": facts.prediction,
        "modelspec.resolution": f"{facts.native_size}x{facts.native_size}",
    }
    if recipe.write_recipe:
        found["modelspec.merged_from"] = ", ".join(origin.name for origin in origins)
        found["sd_merge_recipe"] = json.dumps(_recipe(recipe, origins, facts), ensure_ascii=False)
        found["sd_merge_models"] = json.dumps(_models(origins), ensure_ascii=False)
    return found


def _recipe(recipe: Recipe, origins: Sequence[Origin], facts: ModelFacts) -> dict[str, Any]:
    hashes = [origin.sha256 for origin in origins] + [None] * 3
    return {
        "type": "webui",
        "primary_model_hash": hashes[0],
        "secondary_model_hash": hashes[1],
        "tertiary_model_hash": hashes[2],
        "interp_method": recipe.method,
        "multiplier": recipe.alpha,
        "save_as_half": recipe.precision == "fp16",
        "custom_name": recipe.name,
        "config_source": 0,
        "bake_in_vae": recipe.vae or "None",
        "discard_weights": recipe.discard,
        "is_inpainting": facts.variant == "inpaint",
        "is_instruct_pix2pix": facts.variant == "edit",
        # what A1111 has no field for
        "precision": recipe.precision,
        "block_weights": list(recipe.blocks),
        "bake_in_loras": [[use.name, use.strength, use.text] for use in recipe.loras],
    }


def _models(origins: Sequence[Origin]) -> dict[str, Any]:
    """The models that went in, and those that they were merged of, by hash."""
    found: dict[str, Any] = {}
    for origin in origins:
        found |= _object(origin.metadata.get("sd_merge_models"))
    for origin in origins:
        own = _object(origin.metadata.get("sd_merge_recipe")) or None
        found[origin.sha256] = {"name": origin.name, "legacy_hash": origin.legacy_hash, "sd_merge_recipe": own}
    return found


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
