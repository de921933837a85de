"""The history with 50,000 pictures: how long the gallery waits for a page, a search, a count and its menus."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import interleaved, rows
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.library.history import Filter, History, _facts, _insert

PICTURES = 50_000
GOAL = 0.1  # seconds for a page
PIECE = 120  # pictures that the gallery asks for at once
THINGS = (
    "apple",
    "cat",
    "boat",
    "castle",
    "fisherman",
    "lighthouse",
    "panda",
    "rocket",
    "forest",
    "teapot",
    "豆腐",
    "猫",
)
LOOKS = ("flat style", "film grain", "3D style", "oil painting", "sharp focus", "soft light", "white background")
SAMPLERS = ("Euler a", "DPM++ 2M", "DPM++ SDE", "UniPC", "LCM")


@BENCHMARKS.register("history")
def history(setting: Setting) -> Iterable[Row]:
    """Pages at the top, in the middle and at the end, searches, counts, menus and a mark."""
    opened = make_history(setting.work / "history-50000")
    first = opened.page().pictures[0]
    asked: dict[str, Filter] = {
        "search, found often": Filter(text="castle film"),
        "search, found once": Filter(text="number 31337"),
        "search, found never": Filter(text="zebra crossing"),
        "search, a short word": Filter(text="猫"),
        "one checkpoint and LoRA": Filter(checkpoint="model 3", lora="style 7"),
        "favourites": Filter(favourites=True),
    }
    cases: dict[str, Callable[[], Any]] = {
        "first page": partial(opened.page, limit=PIECE),
        "page at 25,000": partial(opened.page, limit=PIECE, offset=25_000),
        "last page": partial(opened.page, limit=PIECE, offset=PICTURES - PIECE),
        "search, found often, page at 1,000": partial(opened.page, asked["search, found often"], None, PIECE, 1000),
    }
    cases |= {name: partial(opened.page, wanted, None, PIECE) for name, wanted in asked.items()}
    cases |= {f"count: {name}": partial(opened.count, wanted) for name, wanted in {"all": Filter(), **asked}.items()}
    cases["menus, after a change"] = lambda: len(opened._read_choices())
    cases["menus"] = lambda: len(opened.choices())
    # On its own: the menus are read again after it.
    marked: dict[str, Callable[[], Any]] = {"a mark": lambda: bool(opened.mark(first["id"], True))}
    return rows(
        "history, 50,000 pictures", {**interleaved(cases, setting.repeats), **interleaved(marked, setting.repeats)}
    )


def make_history(folder: Path) -> History:
    """An index of 50,000 pictures with long prompts in 500 folders; the pictures themselves are not there."""
    opened = History(folder / "history.sqlite", [folder / "outputs"])
    if opened.count() == PICTURES:
        return opened
    chance, now = random.Random(50_000), time.time()
    steps = [_insert(row(chance, number, folder, now), marks(chance)) for number in range(PICTURES)]
    for begin in range(0, PICTURES, 1000):
        opened.database.write(steps[begin : begin + 1000])
    return opened


def row(chance: random.Random, number: int, folder: Path, now: float) -> dict[str, Any]:
    """What the index says of one picture."""
    words = ", ".join(chance.choices((*THINGS, *LOOKS), k=24))
    made = now - (PICTURES - number) * 600
    text = (
        f"{words}, number {number}, <lora:style {chance.randrange(200)}:0.8>\nNegative prompt: blurry, {words[:80]}\n"
        f"Steps: 20, Sampler: {chance.choice(SAMPLERS)}, Schedule type: Karras, CFG scale: 7, "
        f"Seed: {chance.randrange(2**32)}, Size: 512x768, Model hash: 0123456789, Model: model {chance.randrange(40)}"
    )
    path = folder / "outputs" / f"day {number // 100:03}" / f"{number:05}.png"
    facts: dict[str, Any] = {"id": f"{number:024x}", "path": str(path), "name": path.name, "folder": path.parent.name}
    facts |= {"size": 400_000, "problem": ""}
    return {**facts, "modified": int(made * 1e9), "made": made, **_facts(text, 512, 768)}


def marks(chance: random.Random) -> dict[str, Any]:
    """Some pictures are liked."""
    return {"favourite": chance.random() < 0.02, "rating": chance.choice((0, 0, 0, 0, 3, 5))}
