"""An engine without torch: steps of 20 ms or "step_seconds", one colour a picture. Prompts can ask it to misbehave.

Of a prompt that begins with "held" half of the steps of the middle batch are made, and no more before somebody has a
wish: an interrupt, a skip, a stop after this batch. So a test finds such a job running, however slow the machine is.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from webui.errors import InvalidRequest, OutOfMemory
from webui.request import GenerationRequest

STEP_SECONDS = 0.02


def engine(settings: Mapping[str, Any]) -> FakeEngine:
    """What the worker calls."""
    if settings.get("die_at_start"):
        os._exit(3)
    if settings.get("raise_at_start"):
        raise RuntimeError("no such device")
    return FakeEngine(settings)


def _hold() -> None:
    """Keep every thread of the process from running, as an endless loop in C does."""
    sys.setswitchinterval(1e6)
    while True:
        pass


def _until_told(control: Any) -> None:
    """Wait for a wish."""
    while not (control.interrupted.is_set() or control.skipped.is_set() or control.stopping.is_set()):
        time.sleep(0.002)


def _last_words(report: Callable[..., None], control: Any) -> None:
    """Wait for the order to stop, and then say more than a pipe holds."""
    control.interrupted.wait()
    for step in range(32):
        report("preview", bytes(1 << 16), step=step)


def _unload(values: Mapping[str, Any], scratch: Path, report: Callable[..., None]) -> None:
    report("outcome", values={"unloaded": True})


def _extras(values: Mapping[str, Any], scratch: Path, report: Callable[..., None]) -> None:
    """Enlarge by the factor or to the size, without any upscaler. What is no picture becomes a note."""
    options = values["options"]
    for index, image in enumerate(values["images"]):
        try:
            picture = Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2] or image)))
        except (OSError, ValueError):
            report("note", text=f"{values['names'][index]}: not a picture")
            continue
        if options["mode"] == "by":
            size = round(picture.width * options["scale"]), round(picture.height * options["scale"])
        else:
            size = options["width"], options["height"]
        text = f"Postprocess upscaler: {options['upscaler']}, Postprocess <tag>: 1"
        _save(picture.resize(size), scratch / f"{index}.png", text, -1, False, {"postprocessing": text}, report)


def _script(values: Mapping[str, Any], scratch: Path, report: Callable[..., None]) -> None:
    """Two cells and a sheet."""
    for seed in (1, 2):
        _save(Image.new("RGB", (8, 8)), scratch / f"{seed}.png", f"cell {seed}", seed, False, {}, report)
    _save(Image.new("RGB", (16, 8)), scratch / "sheet.png", "sheet", 1, False, {"sheet": values["script"]}, report)


def _save(picture, path: Path, infotext: str, seed: int, saved: bool, facts: Mapping[str, Any], report) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("parameters", infotext)
    picture.save(path, pnginfo=text)
    size = {"width": picture.width, "height": picture.height}
    report("picture", path=str(path), infotext=infotext, seed=seed, **size, saved=saved, facts=dict(facts))


def _caption(values: Mapping[str, Any], scratch: Path, report: Callable[..., None]) -> None:
    told = [f"{values['captioner']}: {len(image)} characters" for image in values["images"]]
    report("outcome", values={"captions": told, "captioner": values["captioner"]})


OTHER_TASKS = {"unload": _unload, "extras": _extras, "script": _script, "caption": _caption}


class FakeEngine:
    """Obeys the protocol of `webui.workers.worker.Engine`."""

    def __init__(self, settings: Mapping[str, Any]):
        self.settings = dict(settings)
        self.checkpoint: str | None = "first.safetensors"
        self.step_seconds = settings.get("step_seconds", STEP_SECONDS)
        self.jobs = 0  # that it began

    def names(self) -> Mapping[str, Any]:
        """Three samplers, two schedules."""
        return {
            "samplers": [
                {"name": "Euler a", "aliases": ["k_euler_a", "k_euler_ancestral"], "facts": {"uses_seed_delta": True}},
                {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "facts": {"default_schedule": "Karras"}},
                {"name": "Euler", "aliases": ["k_euler"], "facts": {}},
            ],
            "schedules": [
                {"name": "Automatic", "aliases": [], "facts": {}},
                {"name": "Karras", "aliases": [], "facts": {"default_rho": 7.0}},
            ],
        }

    def load(self, checkpoint: str | None) -> None:
        """Takes a moment."""
        if checkpoint == "broken.safetensors":
            raise InvalidRequest("broken.safetensors is damaged.")
        time.sleep(0.1)
        self.checkpoint = checkpoint or "first.safetensors"

    def change(self, settings: Mapping[str, Any]) -> None:
        """Take other settings."""
        self.settings = dict(settings)

    def facts(self) -> Mapping[str, Any]:
        """Shown by the status. The memory grows by a byte with each job."""
        time.sleep(self.settings.get("facts_seconds", 0))
        memory = 1 + self.jobs
        return {"checkpoint": self.checkpoint, "device": "fake", "memory": memory, "torch": "torch" in sys.modules}

    def generate(self, request: GenerationRequest, options: Mapping[str, Any], report: Callable[..., None], control):
        """Count steps, obey the control, write coloured PNG files."""
        self.jobs += 1
        if request.prompt.startswith("hang"):
            report("progress", step=1)
        self._misbehave(request.prompt)
        if request.passes[0].image:
            report("note", text=f"a picture of {len(request.passes[0].image)} characters")
        steps = request.passes[0].steps
        seed = 1000 if request.seed < 0 else request.seed
        for batch in range(request.count):
            for step in range(steps):
                control.check()
                if control.skipped.is_set():
                    break
                time.sleep(self.step_seconds)
                report("progress", step=step, steps=steps, batch=batch, batches=request.count, stage="sample")
                report("preview", b"\xff\xd8preview", step=step)
                if (step, batch) == (steps // 2, request.count // 2) and request.prompt.startswith("held"):
                    _until_told(control)
            if control.skipped.is_set():
                control.skipped.clear()
                continue
            report("progress", step=steps, steps=steps, batch=batch, batches=request.count, stage="decode")
            if request.prompt == "last words":
                _last_words(report, control)
            for index in range(request.batch_size):
                self._picture(request, options, seed + batch * request.batch_size + index, report)
            if control.stopping.is_set():
                break

    def perform(self, name: str, values: Mapping[str, Any], options: Mapping[str, Any], report, control) -> None:
        """Count to a number, and say how far it came."""
        if name == "unload":
            self.checkpoint = None
        if name in OTHER_TASKS:
            OTHER_TASKS[name](values, Path(options["scratch"]), report)
            return
        for step in range(values["steps"]):
            control.check()
            time.sleep(STEP_SECONDS)
            report("progress", stage=name, step=step + 1, steps=values["steps"])
        report("outcome", values={"counted": values["steps"], "scratch": options["scratch"]})

    def _misbehave(self, prompt: str) -> None:
        if prompt == "die":
            os._exit(9)
        if prompt == "hang":
            time.sleep(600)
        if prompt == "hang and hold":
            _hold()
        if prompt == "bug":
            raise ValueError("a bug")
        if prompt == "wrong":
            raise InvalidRequest("There is no sampler named 'X'.")
        if prompt == "memory":
            raise OutOfMemory("The picture does not fit.")

    def _picture(self, request, options: Mapping[str, Any], seed: int, report: Callable[..., None]) -> None:
        size = request.passes[0].width, request.passes[0].height
        infotext = f"{request.prompt}\nSteps: {request.passes[0].steps}, Seed: {seed}, Size: {size[0]}x{size[1]}"
        folder = Path(self.settings.get("outputs", options["scratch"]) if request.save else options["scratch"])
        picture = self.image(size, seed)
        facts = {"subseed": seed + 1, "checkpoint": self.checkpoint, "checkpoint_hash": "ab" * 5}
        suffix = (options.get("settings") or {}).get("picture_format", "png")
        _save(picture, folder / f"{seed}.{suffix}", infotext, seed, request.save, facts, report)
        if request.prompt == "with a copy":
            copy = folder / f"{seed}-mask.{suffix}"
            picture.save(copy)
            report("copy", path=str(copy))

    def image(self, size: tuple[int, int], seed: int) -> Image.Image:
        """The picture of a seed."""
        return Image.new("RGB", size, (seed % 256, 80, 120))
