"""What starting from a picture costs beside the steps, and what large pictures cost in memory.

The autoencoder and the UNet have the size of SD 1.5. Decoding pictures is left out of the jobs, as both kinds do it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.load import AnonymousPeak
from benchmarks.measure import interleaved, rows, side_by_side
from benchmarks.model import checkpoint, our_autoencoder, tensors_of
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.engine.catalogue import open_catalogue
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import PART_TILE, Session
from webui.imaging.convert import to_tensor
from webui.nn.memory import give_memory_back
from webui.nn.tiling import decode_tiled, encode_tiled
from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import Settings
from webui.weights.canonical import VAE

STEPS = 4
GOAL_STEPS, GOAL_MEMORY, GOAL_DIFFERENCE = 1.02, 2e9, 1 / 255
COMPARED, LARGE = 1024, 4096  # sides in pixels


def picture(side: int) -> Image.Image:
    """A picture with large and small things in it."""
    small = np.random.default_rng(0).integers(0, 256, (side // 32, side // 32, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


@BENCHMARKS.register("img2img")
def img2img(setting: Setting) -> Iterable[Row]:
    """As many steps from a picture as from noise, and encoding the picture alone."""
    file = checkpoint(setting.work)
    paths = Paths(setting.work / "data", setting.work, setting.work / "outputs", {}, setting.work)
    settings = Settings(paths).changed({"live_previews": False})
    session = Session(settings, open_catalogue(settings), device="cpu", precision="bfloat16")
    buffer = io.BytesIO()
    picture(setting.size).save(buffer, "PNG")
    text, side = base64.b64encode(buffer.getvalue()).decode(), setting.size
    noise = Pass(width=side, height=side, steps=STEPS, sampler="Euler")
    image = replace(noise, source="image", image=text, denoising_strength=0.5, exact_steps=True)

    def job(step: Pass) -> Callable[[], object]:
        request = GenerationRequest("a cat", checkpoint=file.stem, seed=1, passes=(step,), save=False)
        return lambda: run(make_plan(request, session.catalogue), session)

    pixels = to_tensor(picture(side))
    session.load(session.catalogue.find(file.stem))
    session.decode = lambda latents, lean=False: torch.zeros(len(latents), 3, 8, 8)  # type: ignore[method-assign]
    cases = {"txt2img": job(noise), "img2img": job(image), "encode": lambda: session.encode_picture(pixels)}
    with torch.inference_mode():
        made = rows(f"{STEPS} steps {side}", interleaved(cases, setting.repeats))
    by_name = {row.case: row for row in made}
    for row in made:
        if row.case != "img2img":
            yield row
            continue
        whole = by_name["txt2img"].seconds + by_name["encode"].seconds
        processor = by_name["txt2img"].processor + by_name["encode"].processor
        ratios = {"to steps and encoding": row.seconds / whole, "of processor s": row.processor / processor}
        yield replace(row, facts={**ratios, "goal": GOAL_STEPS})


@BENCHMARKS.register("large", "tiled")
def large(setting: Setting) -> Iterable[Row]:
    """Peak memory of decoding a 4096² picture in tiles beyond weights and latents, and how far tiles are from none."""
    checkpoint(setting.work)
    once = replace(setting, repeats=1)
    yield from side_by_side(f"VAE {COMPARED}", {"tiled against whole": _compared}, once, warm_up=False)
    cases = {"decode": partial(_peak, True), "encode": partial(_peak, False)}
    yield from side_by_side(f"VAE in tiles {LARGE}", cases, once, warm_up=False)


def _autoencoder(setting: Setting, dtype: torch.dtype) -> Any:
    return our_autoencoder(tensors_of(checkpoint(setting.work), VAE, dtype), dtype)


def _compared(setting: Setting) -> Callable[[], dict[str, float]]:
    network = _autoencoder(setting, torch.float32)
    pixels = to_tensor(picture(COMPARED)) * 2 - 1

    def compare() -> dict[str, float]:
        latents = network.encode(pixels)
        whole, tiled = network.decode(latents), decode_tiled(network, latents, COMPARED // 16)
        # Untrained weights decode into a narrow range of tones: the difference is told in shares of the range.
        span = float(whole.max() - whole.min())
        encoded = encode_tiled(network, pixels, tile=COMPARED // 16)
        return {
            "mean difference · 255": float((tiled - whole).abs().mean()) / span * 255,
            "largest · 255": float((tiled - whole).abs().max()) / span * 255,
            "of encoding": float((encoded - latents).abs().mean() / latents.std()),
        }

    return compare


def _peak(decoding: bool, setting: Setting) -> Callable[[], dict[str, float]]:
    network = _autoencoder(setting, torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    shape = (1, 4, LARGE // 8, LARGE // 8) if decoding else (1, 3, LARGE, LARGE)
    given = torch.randn(shape, generator=generator)
    give_memory_back()

    def measure() -> dict[str, float]:
        with AnonymousPeak() as peak:
            (decode_tiled if decoding else encode_tiled)(network, given, tile=PART_TILE)
        return {"peak GB": peak.bytes / 1e9, "goal": GOAL_MEMORY / 1e9}

    return measure
