"""The library with 5,000 LoRAs: how long the page waits for its files and cards."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Sample, interleaved, rows, timed
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.library.cards import Base, Question, find_cards
from webui.library.index import Library
from webui.paths import Paths

FILES = 5000
LAYERS = 264  # of kohya's LoRAs for SD 1
GOAL = 0.05  # seconds for a page of cards
BASE = Base("Stable Diffusion 1", 768, 4)


@BENCHMARKS.register("library")
def library(setting: Setting) -> Iterable[Row]:
    """Names at start-up, another look, a job's look-up, headers and notes once, and pages of cards."""
    folder = setting.work / "library"
    paths = Paths(folder / "data", make_files(folder / "models"), folder / "outputs", {}, folder / "program")
    file = paths.data / "library.sqlite"
    first: dict[str, list[Sample]] = {}
    shutil.rmtree(paths.data, ignore_errors=True)
    first["names, first start"] = [timed(lambda: Library(paths, file).close())]
    first["names, later start"] = [timed(lambda: Library(paths, file).close()) for _ in range(setting.repeats)]
    opened = Library(paths, file)
    first["headers and notes, once"] = [timed(partial(read_all, opened))]
    questions = {
        "first page": Question("loras"),
        "first page, only what fits": Question("loras", base=BASE, fitting=True),
        "page 80, latest first": Question("loras", sort="date", descending=True, offset=4740),
        "search, found often": Question("loras", text="portrait grain"),
        "search, found never": Question("loras", text="nothing of that kind"),
        "one folder, by rank": Question("loras", folder="people", sort="rank"),
    }
    cases: dict[str, Callable[[], Any]] = {"another look at the folders": opened.refresh}
    cases |= {name: partial(find_cards, opened, question) for name, question in questions.items()}
    cases["file of a name"] = lambda: opened.files("loras")
    return rows("library, 5,000 files", {**first, **interleaved(cases, setting.repeats)})


def read_all(opened: Library) -> dict[str, int]:
    """Read all headers and notes; the size of the database is a fact."""
    opened.read_pending()
    path = opened.database.path
    return {"database MB": round(path.stat().st_size / 1e6) if path else 0}


def make_files(models: Path) -> Path:
    """5,000 LoRA files with full headers and sparse data in twenty folders, half of them with notes."""
    if (models / "made").exists():
        return models
    for number in range(FILES):
        folder = models / "loras" / ("people" if number % 20 == 0 else f"folder {number % 20}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"style {number:05}.safetensors"
        write_header(path, rank=4 << number % 4, number=number)
        if number % 2:
            notes = {"description": "words " * 20, "activation text": f"style{number}", "preferred weight": 0.8}
            path.with_suffix(".json").write_text(json.dumps(notes))
    (models / "made").touch()
    return models


def write_header(path: Path, rank: int, number: int) -> None:
    """A LoRA's header as kohya writes it, with captions, and no data behind it."""
    tags = {"10_subject": {f"tag {number} {i}": 100 - i for i in range(80)} | {"portrait": 200, "film grain": 150}}
    base = "sd_v1" if number % 3 else "sdxl_base_v1-0"
    header: dict[str, Any] = {
        "__metadata__": {
            "ss_base_model_version": base,
            "ss_tag_frequency": json.dumps(tags),
            "ss_output_name": path.stem,
        }
    }
    position = 0
    for layer in range(LAYERS):
        name = f"lora_unet_down_blocks_0_attentions_{layer}_transformer_blocks_0_attn2_to_k"
        for role, shape in (("lora_down", [rank, 768]), ("lora_up", [320, rank])):
            size = 2 * shape[0] * shape[1]
            offsets = [position, position + size]
            header[f"{name}.{role}.weight"] = {"dtype": "F16", "shape": shape, "data_offsets": offsets}
            position += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)
