"""Measure the finished checkpoint through the product's own engine, and draw its sample sheet."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

from webui.engine.catalogue import open_catalogue
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.paths import make_paths
from webui.request import GenerationRequest, Guidance, Pass
from webui.settings import Settings
from webui.training.starter.judge import Bench, Verdicts
from webui.training.starter.pictures import Drawings
from webui.training.starter.recipe import BACKGROUNDS, Profile
from webui.training.starter.state import load_state, save_state
from webui.training.starter.vae import as_tensor

JUDGE_FILE = "judge.pt"
GUIDANCE, STEPS, SAMPLER = 4.0, 20, "DPM++ 2M"


def request_for(
    prompt: str, seed: int, profile: Profile, guidance: float = GUIDANCE, steps: int = STEPS
) -> GenerationRequest:
    """One picture at the checkpoint's native size."""
    step = Pass(
        width=profile.size, height=profile.size, sampler=SAMPLER, steps=steps, guidance=Guidance(scale=guidance)
    )
    return GenerationRequest(prompt=prompt, seed=seed, checkpoint="starter", passes=(step,), save=False)


class Studio:
    """The product's engine with the checkpoint under test."""

    def __init__(self, folder: Path, models: Path, device: str = "auto", precision: str = "auto"):
        settings = Settings(make_paths(folder, models_dir=models))
        self.session = Session(settings, open_catalogue(settings), device=device, precision=precision)

    def picture(self, request: GenerationRequest) -> Image.Image:
        """The first picture of a request."""
        return run(make_plan(request, self.session.catalogue), self.session)[0].image


def asked(drawings: Drawings, indices: list[int], count: int) -> list[tuple[str, str, str]]:
    """(concept, style, background) of pictures to make, spread over the drawings."""
    choice = random.Random(11)
    order = [indices[i % len(indices)] for i in range(count)]
    choice.shuffle(order)
    return [(drawings.concepts[i], drawings.styles[i], choice.choice(list(BACKGROUNDS))) for i in order]


def judge_generated(studio: Studio, bench: Bench, wanted: list[tuple[str, str, str]], profile: Profile) -> dict:
    """Generate every wanted picture and judge it; the background by the median colour of its border."""
    tensors: list[Tensor] = []
    grounds = 0
    for number, (concept, style, ground) in enumerate(wanted):
        image = studio.picture(request_for(f"{concept}, {style} style, {ground} background", 1000 + number, profile))
        array = numpy.asarray(image.convert("RGB"))
        tensors.append(as_tensor(array))
        border = numpy.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
        grounds += nearest_background(numpy.median(border, axis=0)) == ground
    verdicts = bench.verdicts(torch.stack(tensors), [w[0] for w in wanted], [w[1] for w in wanted])
    return {**dataclasses.asdict(verdicts), "background": grounds / len(wanted)}


def nearest_background(colour: numpy.ndarray) -> str:
    """The background word whose colour is closest."""
    return min(BACKGROUNDS, key=lambda name: float(((numpy.array(BACKGROUNDS[name]) - colour) ** 2).sum()))


def sheet(pictures: list[Image.Image], columns: int) -> Image.Image:
    """Pictures side by side, row by row."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * width, rows * height), "white")
    for index, picture in enumerate(pictures):
        whole.paste(picture, ((index % columns) * width, (index // columns) * height))
    return whole


def sample_sheet(studio: Studio, drawings: Drawings, profile: Profile, count: int = 48) -> Image.Image:
    """`count` pictures of the profile's concepts, styles and grounds, at fixed seeds; nothing is picked out."""
    pairs = [(c, s) for c in dict.fromkeys(drawings.concepts) for s in profile.taught_styles]
    choice = random.Random(5)
    choice.shuffle(pairs)
    images = []
    for number, (concept, style) in enumerate(pairs[:count]):
        prompt = f"{concept}, {style} style, {choice.choice(list(BACKGROUNDS))} background"
        images.append(studio.picture(request_for(prompt, number, profile)))
    return sheet(images, 8)


def train_judge(drawings: Drawings, profile: Profile, work: Path, steps: int) -> None:
    """Train the classifier and keep it in `work`."""
    bench = Bench(drawings, profile.size)
    bench.train(steps)
    save_state(work / JUDGE_FILE, {"judge": bench.judge})


def write(drawings: Drawings, profile: Profile, models: Path, work: Path, pictures: int) -> None:
    """Generate, judge, write `report.json` and `sheet.png` into `work`. Raises FileNotFoundError without a judge."""
    studio = Studio(work / "report-data", models.parent)
    bench = Bench(drawings, profile.size)
    if not (work / JUDGE_FILE).exists():
        raise FileNotFoundError(f"There is no {work / JUDGE_FILE}; run the step `judge` first.")
    load_state(work / JUDGE_FILE, {"judge": bench.judge})
    own: Verdicts = bench.own_accuracy()
    seen = judge_generated(studio, bench, asked(drawings, drawings.indices("seen"), pictures), profile)
    held_out = judge_generated(studio, bench, asked(drawings, drawings.indices("held out"), pictures), profile)
    sample_sheet(studio, drawings, profile).save(work / "sheet.png")
    report = {"judge": dataclasses.asdict(own), "seen": seen, "held_out": held_out}
    (work / "report.json").write_text(json.dumps(report, indent=2))
