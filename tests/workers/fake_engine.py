"""An engine without torch: steps of 20 ms, pictures of one colour. Prompts can ask it to misbehave."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


class FakeEngine:
    """Obeys the protocol of `webui.workers.worker.Engine`."""

    def __init__(self, settings: Mapping[str, Any]):
        self.settings, self.checkpoint = dict(settings), "first.safetensors"

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
        """Shown by the status."""
        return {"checkpoint": self.checkpoint, "device": "fake", "memory": 1, "torch": "torch" in sys.modules}

    def generate(self, request: GenerationRequest, options: Mapping[str, Any], report: Callable[..., None], control):
        """Count steps, obey the control, write coloured PNG files."""
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
                time.sleep(STEP_SECONDS)
                report("progress", step=step, steps=steps, batch=batch, batches=request.count, stage="sample")
                report("preview", b"\xff\xd8preview", step=step)
            if control.skipped.is_set():
                control.skipped.clear()
                continue
            report("progress", step=steps, steps=steps, batch=batch, batches=request.count, stage="decode")
            for index in range(request.batch_size):
                self._picture(request, options, seed + batch * request.batch_size + index, report)
            if control.stopping.is_set():
                break

    def perform(self, name: str, values: Mapping[str, Any], options: Mapping[str, Any], report, control) -> None:
        """Count to a number, and say how far it came."""
        for step in range(values["steps"]):
            control.check()
            time.sleep(STEP_SECONDS)
            report("progress", stage=name, step=step + 1, steps=values["steps"])
        report("outcome", values={"counted": values["steps"], "scratch": options["scratch"]})

    def _misbehave(self, prompt: str) -> None:
        if prompt == "die":
            os._exit(9)
        if prompt == "bug":
            raise ValueError("a bug")
        if prompt == "wrong":
            raise InvalidRequest("There is no sampler named 'X'.")
        if prompt == "memory":
            raise OutOfMemory("The picture does not fit.")

    def _picture(self, request, options: Mapping[str, Any], seed: int, report: Callable[..., None]) -> None:
        from PIL import Image, PngImagePlugin

        size = request.passes[0].width, request.passes[0].height
        infotext = f"{request.prompt}\nSteps: {request.passes[0].steps}, Seed: {seed}, Size: {size[0]}x{size[1]}"
        folder = Path(self.settings.get("outputs", options["scratch"]) if request.save else options["scratch"])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{seed}.png"
        text = PngImagePlugin.PngInfo()
        text.add_itxt("parameters", infotext)
        Image.new("RGB", size, (seed % 256, 80, 120)).save(path, pnginfo=text)
        report(
            "picture",
            path=str(path),
            infotext=infotext,
            seed=seed,
            width=size[0],
            height=size[1],
            saved=request.save,
            facts={"subseed": seed + 1, "checkpoint": self.checkpoint, "sha256": "ab" * 32},
        )
