"""Enlarging with the embedded upscalers: seconds for a picture, and the memory of a very large result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from benchmarks.measure import Sample, rows, timed
from benchmarks.registry import BENCHMARKS, Row, Setting
from benchmarks.start import ROOT

SIDE = 2000  # of the picture whose fourfold has 64 megapixels

# The peak counts from after the model has been used once: what torch keeps for itself is left out.
LARGE = """
import json
import numpy as np
import torch
torch.set_num_threads({threads})
from PIL import Image
from webui.paths import Paths
from webui.upscalers.enlarge import enlarge_picture
picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, ({side}, {side}, 3), np.uint8))
enlarge_picture(picture.crop((0, 0, 300, 300)), "emulsion-4x", (1200, 1200), paths=Paths())
def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
result = enlarge_picture(picture, "emulsion-4x", ({times} * {side}, {times} * {side}), paths=Paths())
above = round(memory("VmHWM") - before, 2)
print(json.dumps({{"megapixels": round(result.width * result.height / 1e6), "GiB above the model": above}}))
"""


@BENCHMARKS.register("upscale")
def upscale(setting: Setting) -> Iterable[Row]:
    """A picture of `--size` by either embedded upscaler, and by Lanczos; then a result of 64 megapixels by two ways."""
    import numpy as np
    from PIL import Image

    from webui.paths import Paths
    from webui.upscalers.enlarge import enlarge_picture

    pixels = np.random.default_rng(0).integers(0, 256, (setting.size, setting.size, 3), np.uint8)
    picture, paths = Image.fromarray(pixels), Paths()
    samples: dict[str, list[Sample]] = {}
    for name, scale in (("emulsion-2x", 2), ("emulsion-4x", 4), ("Lanczos", 4)):
        size = (setting.size * scale, setting.size * scale)
        case = f"{name}, {setting.size} → {size[0]} px"
        work = partial(enlarge_picture, picture, name, size, paths=paths)
        work()  # the first call loads the model
        samples[case] = [timed(work) for _ in range(setting.repeats)]
    for times, side in ((4, SIDE), (3, round(SIDE * 4 / 3))):
        script = LARGE.format(threads=setting.threads, side=side, times=times)
        samples[f"{times}-fold to 64 MP by emulsion-4x"] = [timed(partial(facts_of, script))]
    return rows("upscale", samples)


def facts_of(script: str) -> dict[str, Any]:
    """What a Python process of its own prints last, as JSON."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))
