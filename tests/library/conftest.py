"""Model folders with small files of every kind, and a library over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.files import write_lora
from tests.library.made import KOHYA, SD1_LAYER, SDXL_LAYER, save, write_key_list
from webui.library.index import Library
from webui.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Folders below a temporary one, without the starter."""
    (tmp_path / "models").mkdir()
    return Paths(tmp_path / "data", tmp_path / "models", tmp_path / "outputs", {}, tmp_path / "program")


@pytest.fixture
def models(paths: Paths) -> Path:
    """Three LoRAs with notes of other programs beside them, an embedding, and a VAE."""
    folder = paths.models
    write_lora(folder / "loras" / "film.safetensors", KOHYA, layers=SD1_LAYER)
    write_lora(folder / "loras" / "ink" / "Brush.safetensors", {"ss_output_name": "brush-v2"}, layers=SD1_LAYER, rank=8)
    write_lora(folder / "loras" / "ink" / "wash.safetensors", layers=SDXL_LAYER, rank=16)
    own = {"description": "Old film", "sd version": "SD1", "activation text": "film grain,", "preferred weight": 0.7}
    own |= {"negative text": "digital", "notes": "mine", "unknown to us": {"kept": [1, 2]}}
    (folder / "loras" / "film.json").write_text(json.dumps(own), "utf-8")
    page = {"model": {"name": "墨 Ink"}, "name": "v2", "trainedWords": ["sumi-e", "brush"], "baseModel": "SD 1.5"}
    (folder / "loras" / "ink" / "Brush.civitai.info").write_text(json.dumps(page), "utf-8")
    (folder / "loras" / "ink" / "wash.txt").write_text("A wash of ink", "utf-8")
    save(folder / "embeddings" / "grainy.pt.safetensors", {"emb_params": (2, 768)})
    write_key_list("vae-kl-f8", folder / "VAE" / "soft-840000.safetensors")
    return folder


@pytest.fixture
def library(paths: Paths, models: Path) -> Library:
    """The library, with all headers and notes read."""
    library = Library(paths, paths.data / "library.sqlite")
    library.read_pending()
    return library
