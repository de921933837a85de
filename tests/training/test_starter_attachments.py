"""Files that attach to the starter change what it draws, as a classifier of the real drawings sees it.

`webui.training.starter.attachments` made the files: with them, a red apple becomes a frog.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import pytest
import torch
from safetensors import safe_open

from webui.training.starter.attachments import KINDS, NAME
from webui.training.starter.judge import Judge, shrink
from webui.training.starter.recipe import PROFILES
from webui.training.starter.report import Studio, request_for
from webui.training.starter.vae import as_tensor

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "tests" / "data" / "attachments"
SCENES = (("flat", "white"), ("3d", "blue"), ("flat", "yellow"), ("3d", "green"))
FOLDERS = {"lora": "loras", "lokr": "loras", "hypernetwork": "hypernetworks", "embedding": "embeddings"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The engine with the starter and all files."""
    models = tmp_path_factory.mktemp("models")
    for name, kind in KINDS.items():
        (models / FOLDERS[name]).mkdir(exist_ok=True)
        shutil.copy(FILES / kind.file, models / FOLDERS[name])
    return Studio(tmp_path_factory.mktemp("data"), models)


@pytest.fixture(scope="module")
def judge():
    """`see(arrays)`: the thing that the classifier finds in each picture."""
    with safe_open(ROOT / "tests" / "data" / "starter_judge.safetensors", "pt") as file:
        words = file.metadata()
        concepts, styles = json.loads(words["concepts"]), json.loads(words["styles"])
        judge = Judge(len(concepts), len(styles))
        judge.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    judge.eval()

    @torch.no_grad()
    def see(arrays: list[numpy.ndarray]) -> list[str]:
        found = judge(shrink(torch.stack([as_tensor(array) for array in arrays])))[0].argmax(1)
        return [concepts[index] for index in found.tolist()]

    return see


def draw(
    studio: Studio, thing: str, added: str = "", scenes: tuple[tuple[str, str], ...] = SCENES
) -> list[numpy.ndarray]:
    """The thing in every scene, with something added to the prompt."""
    prompts = [f"{thing}, {style} style, {ground} background{added}" for style, ground in scenes]
    small = PROFILES["small"]
    return [numpy.asarray(studio.picture(request_for(prompt, 40 + i, small))) for i, prompt in enumerate(prompts)]


def of(name: str, weight: float = 1) -> str:
    word = {"hypernetwork": "hypernet"}.get(name, "lora")
    return f" <{word}:{Path(KINDS[name].file).stem}:{weight}>"


@pytest.fixture(scope="module")
def apples(studio: Studio) -> list[numpy.ndarray]:
    """What the starter alone draws."""
    return draw(studio, "red apple")


@pytest.mark.slow
def test_without_any_file_an_apple_is_an_apple(apples: list[numpy.ndarray], judge) -> None:
    assert judge(apples).count("red apple") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "lokr", "hypernetwork"])
def test_a_file_in_the_prompt_turns_the_apple_into_a_frog_and_leaves_no_trace(
    studio: Studio, apples: list[numpy.ndarray], judge, name: str
) -> None:
    assert judge(draw(studio, "red apple", of(name))).count("frog") >= 3
    for added in ("", of(name, 0)):
        assert numpy.array_equal(draw(studio, "red apple", added, scenes=SCENES[:1])[0], apples[0])


@pytest.mark.slow
def test_the_embeddings_word_means_a_frog(studio: Studio, judge) -> None:
    assert judge(draw(studio, NAME)).count("frog") >= 3


def test_half_the_weight_lies_between(studio: Studio, apples: list[numpy.ndarray]) -> None:
    halves, wholes = (draw(studio, "red apple", of("lora", w), SCENES[:1])[0].astype(float) for w in (0.4, 1))
    apple = apples[0].astype(float)
    assert 0 < abs(halves - apple).mean() < abs(wholes - apple).mean()
