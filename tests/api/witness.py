"""Engines that write every finished step down with its time, so that a test can count steps instead of taking times.

Each server of `started.server` takes one by name: `FAKE` and `SLOW` have the fake engine's steps of 20 and 100 ms,
`NOISY` makes pictures whose files are as large as photographs', `REAL` is the real engine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.workers.fake_engine import FakeEngine
from webui.workers.worker import Engine

FAKE, SLOW, NOISY, REAL = (f"tests.api.witness:{name}" for name in ("fake", "slow", "noisy", "real"))
FILE = "steps.txt"  # in the data folder: a line a step, "monotonic-seconds prompt"


def fake(settings: Mapping[str, Any]) -> Engine:
    """Steps of 20 ms."""
    return _noted(Saving(settings, 0.02), settings)


def slow(settings: Mapping[str, Any]) -> Engine:
    """Steps of 100 ms: longer than a busy machine keeps a message waiting."""
    return _noted(Saving(settings, 0.1), settings)


def noisy(settings: Mapping[str, Any]) -> Engine:
    """Steps of 20 ms, and pictures that do not get smaller by being written as PNG."""
    return _noted(Noisy(settings, 0.02), settings)


def real(settings: Mapping[str, Any]) -> Engine:
    """The real one."""
    from webui.workers.generate import engine

    return _noted(engine(settings), settings)


class Saving(FakeEngine):
    """The fake engine of a whole server: pictures that are to be saved go where the settings say."""

    def __init__(self, settings: Mapping[str, Any], step_seconds: float):
        super().__init__({"outputs": settings["paths"]["outputs"], "step_seconds": step_seconds})

    def change(self, settings: Mapping[str, Any]) -> None:
        """Other settings leave pictures and steps as they are."""


class Noisy(Saving):
    """Another one whose pictures are noise."""

    def image(self, size: tuple[int, int], seed: int) -> Image.Image:
        """Noise in grey."""
        return Image.effect_noise(size, 60).convert("RGB")


def _noted(engine: Any, settings: Mapping[str, Any]) -> Engine:
    """The engine, which writes its steps down from now on."""
    path, generate = Path(settings["paths"]["data"]) / FILE, engine.generate

    def noted(request, options, report, control) -> None:
        with path.open("ab", buffering=0) as file:

            def told(kind: str, blob: bytes = b"", **values: Any) -> None:
                if kind == "progress" and values.get("stage") == "sample" and values.get("step", 1):
                    file.write(f"{time.monotonic()} {request.prompt}\n".encode())
                report(kind, blob, **values)

            generate(request, options, told, control)

    engine.generate = noted
    return engine


def steps(data: Path, prompt: str, after: float = 0.0) -> int:
    """How many steps of the jobs with a prompt were finished after a moment of `time.monotonic`."""
    try:
        lines = (data / FILE).read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(float(moment) > after and rest == prompt for moment, _, rest in (line.partition(" ") for line in lines))
