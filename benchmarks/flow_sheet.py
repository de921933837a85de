"""Make docs/flow.webp, what pictures of the starter go through: `python -m benchmarks.flow_sheet [FILE]`.

Each row is one picture on its way from txt2img to extras. The seeds are the first that were tried; nothing is picked
out. The same settings are on the page.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from webui.engine.catalogue import open_catalogue
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.paths import make_paths
from webui.request import GenerationRequest, Guidance, Inpaint, Outpaint, Pass, SoftInpaint
from webui.scripts.sheet import Layout, table
from webui.settings import Settings
from webui.upscalers.enlarge import enlarge_picture

FILE = Path(__file__).resolve().parents[1] / "docs" / "flow.webp"
SIDE, CELL = 128, 192  # pixels of the starter's pictures, and of one place in the sheet
LOOK = "flat style, light blue background"
ROWS = (  # seed, what is made, what img2img makes of it, what is painted in its middle
    (1, "red apple", "watermelon", "ghost"),
    (2, "panda", "cat face", "robot"),
    (3, "house", "automobile", "rocket"),
    (4, "pizza", "sunflower", "star"),
)
COLUMNS = ("txt2img", "img2img", "the mask", "inpaint", "soft inpainting", "outpainting", "hires fix x1.5", "extras x4")
FIRST = Pass(width=SIDE, height=SIDE, steps=25, sampler="DPM++ 2M", guidance=Guidance(scale=5.0))


def main(file: Path = FILE) -> None:
    """Make every picture, and one sheet of all."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        settings = Settings(make_paths(folder)).changed({"live_previews": False})
        session = Session(settings, open_catalogue(settings), device="cpu")
        rows: list[list[Path]] = []
        for seed, *names in ROWS:
            rows.append([])
            for number, picture in enumerate(way(session, seed, *names)):
                cell = Path(folder) / f"{seed}-{number}.png"
                fitted(picture).save(cell)
                rows[-1].append(cell)
        sheet = table(rows, COLUMNS, [f"{row[1]}, seed {row[0]}" for row in ROWS], Layout((CELL, CELL), margin=6))
    sheet.save(file, quality=90, method=6)


def way(session: Session, seed: int, name: str, other: str, painted: str) -> Iterable[Image.Image]:
    """The pictures of one row."""

    def make(name: str, *passes: Pass) -> Image.Image:
        request = GenerationRequest(f"{name}, {LOOK}" if name else "", seed=seed, passes=passes, save=False)
        return run(make_plan(request, session.catalogue), session)[0].image.convert("RGB")

    made, mask = make(name, FIRST), disk()
    start = replace(FIRST, source="image", image=encoded(made), denoising_strength=0.85)
    repaint = replace(start, mask=encoded(mask), denoising_strength=0.95)
    soft = Inpaint(mask_blur=(10, 10), soft=SoftInpaint())
    wide = Outpaint(left=32, right=32)
    yield made
    yield make(other, start)
    yield shown(made, mask)
    yield make(painted, replace(repaint, inpaint=Inpaint(mask_blur=(4, 4), masked_content="fill")))
    yield make(painted, replace(repaint, inpaint=soft))
    beside = Inpaint(mask_blur=(8, 8), masked_content="fill")
    # Without a prompt the ground goes on; with one there would be a second thing beside the first.
    yield make("", replace(start, width=SIDE + 64, outpaint=wide, denoising_strength=0.8, inpaint=beside))
    # The starter knows things at 128 pixels only: a little larger, and not too much anew.
    side = SIDE * 3 // 2
    yield make(
        name,
        FIRST,
        replace(FIRST, source="previous", width=side, height=side, upscaler="emulsion-2x", denoising_strength=0.15),
    )
    yield enlarge_picture(made, "emulsion-4x", (4 * SIDE, 4 * SIDE), paths=session.settings.paths, device="cpu")


def disk() -> Image.Image:
    """A mask over the thing in the middle."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).ellipse((6, 6, SIDE - 6, SIDE - 6), fill=255)
    return mask


def shown(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with the mask over it in a colour, as a canvas shows it."""
    return Image.composite(Image.blend(picture, Image.new("RGB", picture.size, "#7c5cff"), 0.55), picture, mask)


def fitted(picture: Image.Image) -> Image.Image:
    """The whole picture in one place of the sheet."""
    scale = CELL / max(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    place = Image.new("RGB", (CELL, CELL), "white")
    place.paste(small, ((CELL - small.width) // 2, (CELL - small.height) // 2))
    return place


def encoded(picture: Image.Image) -> str:
    """A picture as base64, as requests carry it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main(*(Path(name) for name in sys.argv[1:]))
