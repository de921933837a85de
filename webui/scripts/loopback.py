"""Loopback: a picture goes through img2img again and again, each time from the one before."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell, Draw, Made, Option, Script, Sheet
from webui.request import GenerationRequest, replace

TITLE = "Loopback"
CURVES = ("Aggressive", "Linear", "Lazy")
CAPTIONS = ("None", "CLIP", "DeepBooru")  # A1111's words: nothing, a sentence, tags

OPTIONS = (
    Option("loops", "Loops", 4, minimum=1, maximum=32, step=1),
    Option("final_denoising_strength", "Final denoising strength", 0.5, minimum=0.0, maximum=1.0, step=0.01),
    Option("denoising_curve", "Denoising strength curve", "Linear", choices=CURVES),
    Option("append_interrogation", "Append interrogated prompt at each iteration", "None", choices=CAPTIONS),
)


def strength_at(loop: int, loops: int, first: float, last: float, curve: str) -> float:
    """The denoising strength of a loop, counted from 0: from the first to the last one along a curve (A1111's)."""
    if loops == 1:
        return first
    way = loop / (loops - 1)
    if curve == "Aggressive":
        way = math.sin(way * math.pi / 2)
    elif curve == "Lazy":
        way = 1 - math.cos(way * math.pi / 2)
    return first + (last - first) * way


def plan(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """One chain of cells for each picture of the request; the seed rises with every loop.

    What is below a mask is filled for the first loop alone: the others go on from what that one made of it. Colours are
    those of the first picture in every loop, as A1111 has them: else they would drift with each.
    """
    first, *others = request.passes
    if first.source != "image":
        raise InvalidRequest("Loopback needs a picture to start from.", "", "Use it in img2img.")
    if first.match_colours and first.sources and first.colours_of is None:
        first = dataclasses.replace(first, colours_of=first.sources[0])
    caption = arguments["append_interrogation"]
    seed, loops = draw() if request.seed < 0 else request.seed, arguments["loops"]
    cells: list[Cell] = []
    for chain in range(request.count * request.batch_size):
        for loop in range(loops):
            strength = strength_at(
                loop,
                loops,
                first.denoising_strength,
                arguments["final_denoising_strength"],
                arguments["denoising_curve"],
            )
            step = dataclasses.replace(first, denoising_strength=round(strength, 6))
            if loop:
                step = dataclasses.replace(step, inpaint=dataclasses.replace(step.inpaint, masked_content="original"))
            made = replace(request, passes=(step, *others), seed=seed + len(cells), batch_size=1, count=1)
            labels = (f"Loop {loop + 1}", f"Picture {chain + 1}")
            start = len(cells) - 1 if loop else None
            words = "" if caption == "None" else caption
            cells.append(Cell(made, labels, (loop, chain, 0), start=start, caption=words))
    return cells


def assemble(made: Sequence[Made], arguments: Mapping[str, Any]) -> list[Sheet]:
    """The loops side by side, one row for each chain, when there are several pictures."""
    from webui.scripts import sheet

    files = [one.picture for one in made if one.picture is not None]
    if len(files) < 2:
        return []
    loops = arguments["loops"]
    rows = [[one.picture or one.problem for one in made[start : start + loops]] for start in range(0, len(made), loops)]
    layout = sheet.layout(files, len(made), legend=False)
    grid = sheet.table(rows, [""] * loops, [""] * len(rows), layout)
    return [Sheet("loopback", sheet.page([grid], [""], layout), notes=layout.notes, usual=True)]


SCRIPTS.register(TITLE)(Script(OPTIONS, plan, assemble, tabs=("img2img",), every_picture=True))
