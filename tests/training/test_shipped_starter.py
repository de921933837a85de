"""The checkpoint that ships draws what it is asked for, as a classifier of the real drawings sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch
from safetensors import safe_open

from webui.training.starter.judge import Judge, shrink
from webui.training.starter.recipe import PROFILES
from webui.training.starter.report import Studio, nearest_background, request_for
from webui.training.starter.vae import as_tensor

ROOT = Path(__file__).resolve().parents[2]
ASKED = (
    ("red apple", "flat", "white"),
    ("panda", "flat", "light blue"),
    ("pizza", "3d", "green"),
    ("rocket", "flat", "purple"),
    ("penguin", "3d", "orange"),
    ("ghost", "flat", "red"),
    ("house", "flat", "pink"),
    ("frog", "flat", "grey"),
)


@pytest.mark.slow
def test_the_starter_draws_the_thing_on_the_ground_that_was_asked_for(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ROOT / "models")
    with safe_open(ROOT / "tests" / "data" / "starter_judge.safetensors", "pt") as file:
        words = file.metadata()
        concepts, styles = json.loads(words["concepts"]), json.loads(words["styles"])
        judge = Judge(len(concepts), len(styles))
        judge.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    judge.eval()
    arrays = [
        numpy.asarray(studio.picture(request_for(f"{c}, {s} style, {g} background", 100 + i, PROFILES["small"])))
        for i, (c, s, g) in enumerate(ASKED)
    ]
    with torch.no_grad():
        seen = judge(shrink(torch.stack([as_tensor(array) for array in arrays])))[0].argmax(1).tolist()
    right = sum(concepts[index] == asked[0] for index, asked in zip(seen, ASKED, strict=True))
    assert right >= 7  # measured: 99 of 100
    for array, (_, _, ground) in zip(arrays, ASKED, strict=True):
        assert nearest_background(array[2:10, 2:10].reshape(-1, 3).mean(0)) == ground
