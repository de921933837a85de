"""What LoRAs cost on a full-size SD 1.5: attaching, switching, steps with them, and memory that comes back."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Contender, Sample, row, rows, timed
from benchmarks.model import checkpoint
from benchmarks.network import step_inputs
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.engine.adapters import AdapterUse
from webui.engine.catalogue import open_catalogue
from webui.engine.memory import resident_memory
from webui.engine.session import Session
from webui.nn.memory import room_like
from webui.paths import Paths
from webui.settings import Settings
from webui.weights.canonical import CLIP, UNET
from webui.weights.header import read_header
from webui.weights.names import unet_to_diffusers
from webui.weights.save import save_safetensors

RANK, COUNT, SWITCHES = 16, 12, 100
NONE = "step without LoRAs"


def home(setting: Setting) -> Paths:
    """Folders with two checkpoints (copies) and LoRAs as kohya's trainer makes them."""
    folder = setting.work / "adapters"
    source = checkpoint(setting.work)
    for name in ("a", "b"):
        path = folder / "models" / "checkpoints" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(source, path)
    for number in range(COUNT):
        path = folder / "models" / "loras" / f"lora{number}.safetensors"
        if not path.exists():
            write_lora(path, source, number)
    return Paths(folder / "data", folder / "models", folder / "outputs", {}, folder)


def layers(source: Path) -> dict[str, tuple[int, ...]]:
    """Weights of every attention, feed-forward and projection layer, under kohya's names."""
    found = {}
    shapes = read_header(source).shapes()
    theirs = unet_to_diffusers([name.removeprefix(UNET) for name in shapes if name.startswith(UNET)])
    for name, shape in shapes.items():
        if len(shape) < 2 or not name.endswith(".weight"):
            continue
        if name.startswith(UNET) and (".transformer_blocks." in name or ".proj_" in name):
            found["lora_unet." + theirs[name.removeprefix(UNET)]] = shape
        elif name.startswith(CLIP + "encoder"):
            found["lora_te.text_model." + name.removeprefix(CLIP)] = shape
    return {name.removesuffix(".weight").replace(".", "_"): shape for name, shape in found.items()}


def write_lora(path: Path, source: Path, seed: int) -> None:
    """A LoRA of all these layers in fp16."""
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for layer, (outputs, *columns) in layers(source).items():
        ones = [1] * (len(columns) - 1)
        tensors[f"{layer}.lora_up.weight"] = (torch.randn(outputs, RANK, *ones, generator=generator) * 0.01).half()
        tensors[f"{layer}.lora_down.weight"] = (torch.randn(RANK, *columns, generator=generator) * 0.01).half()
        tensors[f"{layer}.alpha"] = torch.tensor(RANK / 2).half()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, tensors, {"ss_base_model_version": "sd_v1"})


def loaded(setting: Setting) -> tuple[Session, Callable[..., list[AdapterUse]]]:
    """A session with the checkpoint loaded, and what makes uses of LoRAs by number."""
    settings = Settings(home(setting))
    session = Session(settings, open_catalogue(settings), device="cpu")
    session.load(session.catalogue.find("a"))

    def uses(*numbers: int) -> list[AdapterUse]:
        names = [f"lora{number}" for number in numbers]
        return [AdapterUse("lora", name, session.catalogue.find_file("loras", name, "LoRA"), 1, 1) for name in names]

    return session, uses


def first_attach(setting: Setting) -> Callable[[], dict[str, Any]]:
    """The first LoRA of a process: imports, reading, matching, memory that was never used before."""
    session, uses = loaded(setting)
    one = uses(0)

    def attach() -> dict[str, Any]:
        session.adapters.switch(one)
        return {}

    return attach


def fresh_memory(setting: Setting) -> Callable[[], object]:
    """The least that such a first time costs: writing once to as much fresh memory as the changed weights take."""
    session, _ = loaded(setting)
    count = sum(math.prod(shape) for shape in layers(checkpoint(setting.work)).values())
    weights = {"all": torch.empty(count, dtype=session.dtype)}
    return lambda: room_like(weights)["all"].zero_()


def switching(setting: Setting) -> Iterable[Row]:
    """Attaching and switching once everything was read, and a hundred switches."""
    session, uses = loaded(setting)
    adapters = session.adapters
    sets: dict[str, Sequence[list[AdapterUse]]] = {
        "attach one, again": ([], uses(0)),
        "switch between sets of one": (uses(0), uses(1)),
        "switch between sets of three": (uses(0, 1, 2), uses(3, 4, 5)),
        "switch between sets of ten": (uses(*range(10)), uses(*range(2, 12))),
    }
    for name, (before, after) in sets.items():
        taken: list[Sample] = []
        for lap in range(setting.repeats + 1):
            adapters.switch(before)
            sample = timed(partial(adapters.switch, after))
            taken += [sample] if lap else []
        yield row("LoRA", name, taken)
    one, other = sets["switch between sets of one"]
    many = partial(_many, lambda number: adapters.switch((one, other)[number % 2]))
    yield row("LoRA", f"{SWITCHES} switches", [timed(many)])
    inputs = step_inputs(setting.size)
    ten = uses(*range(10))

    samples: dict[str, list[Sample]] = {NONE: [], "step with ten LoRAs": []}
    for lap in range(setting.repeats + 1):
        for name, attached in zip(samples, ([], ten), strict=True):
            adapters.switch(attached)
            sample = timed(partial(session.model.unet, *inputs))
            samples[name] += [sample] if lap else []
    yield from rows(f"LoRA, UNet step {setting.size}", samples, NONE)


def _many(switch: Callable[[int], object]) -> dict[str, float]:
    for number in range(4):
        switch(number)
    before = resident_memory()
    for number in range(SWITCHES):
        switch(number)
    return {"growth MB": (resident_memory() - before) / 1e6}


def there_and_back(setting: Setting) -> Iterable[Row]:
    """A LoRA on checkpoint A, then B, then A: what the process keeps."""
    session, uses = loaded(setting)
    first, second = (session.catalogue.find(name) for name in ("a", "b"))
    before = resident_memory()
    session.adapters.switch(uses(0))

    def away() -> dict[str, float]:
        session.load(second)
        session.load(first)
        return {"above the baseline MB": (resident_memory() - before) / 1e6}

    yield row("LoRA", "checkpoint A, B and A again", [timed(away)])


@BENCHMARKS.register("adapters", "lora")
def adapters(setting: Setting) -> Iterable[Row]:
    """First and later attaching, switching, steps with ten LoRAs, memory."""
    home(setting)
    cases = {"attach one, first": first_attach, "fresh memory alone": fresh_memory}
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for _ in range(setting.repeats):
        for name, case in cases.items():
            with Contender(case, setting) as contender:
                samples[name].append(contender.call())
    yield from rows("LoRA", samples)
    with torch.inference_mode():
        yield from switching(setting)
        yield from there_and_back(setting)
