"""Prompt matrix: a prompt `base|a|b|…` with every choice of its parts, as a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell, Draw, Made, Option, Script, Sheet
from webui.request import GenerationRequest, replace

TITLE = "Prompt matrix"
MOST_PARTS = 12  # 4096 pictures

OPTIONS = (
    Option("put_at_start", "Put variable parts at start of prompt", False),
    Option("different_seeds", "Use different seed for each picture", False),
    Option("prompt_type", "Prompt", "positive", choices=("positive", "negative")),
    Option("variations_delimiter", "Joining char", "comma", choices=("comma", "space")),
    Option("margin_size", "Grid margins", 0, minimum=0, maximum=500, step=2, help="Pixels between pictures."),
)


def plan(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """One cell for each choice of parts: the first half of them decides the column, the others the row."""
    negative = arguments["prompt_type"] == "negative"
    base, *parts = (part.strip() for part in (request.negative_prompt if negative else request.prompt).split("|"))
    if not parts:
        raise InvalidRequest(
            f"The {arguments['prompt_type']} prompt has no parts.", "Wanted: such as a cat|red|sitting."
        )
    if len(parts) > MOST_PARTS:
        raise InvalidRequest(f"{len(parts)} parts have {2 ** len(parts)} choices.", f"At most {MOST_PARTS} are taken.")
    seed = draw() if request.seed < 0 else request.seed
    variation = draw() if request.variation_seed < 0 else request.variation_seed
    request = replace(request, seed=seed, variation_seed=variation, batch_size=1, count=1)
    delimiter = ", " if arguments["variations_delimiter"] == "comma" else " "
    across = math.ceil(len(parts) / 2)
    cells = []
    for number in range(2 ** len(parts)):
        chosen = [part for index, part in enumerate(parts) if number >> index & 1]
        words = [*chosen, base] if arguments["put_at_start"] else [base, *chosen]
        text = delimiter.join(word for word in words if word)
        changed = replace(request, **{"negative_prompt" if negative else "prompt": text})
        if arguments["different_seeds"]:
            changed = replace(changed, seed=seed + number)
        labels = tuple(
            "\n".join(part for part in half if part in chosen) or "-" for half in (parts[:across], parts[across:])
        )
        cells.append(Cell(changed, labels, (number % 2**across, number >> across, 0)))
    return cells


def assemble(made: Sequence[Made], arguments: Mapping[str, Any]) -> list[Sheet]:
    """The grid of all choices."""
    from webui.scripts import sheet

    columns = {one.cell.place[0]: one.cell.labels[0] for one in made}
    rows = {one.cell.place[1]: one.cell.labels[1] for one in made}
    contents: list[list[Path | str]] = [["" for _ in columns] for _ in rows]
    for one in made:
        contents[one.cell.place[1]][one.cell.place[0]] = one.picture or one.problem
    files = [one.picture for one in made if one.picture is not None]
    layout = sheet.layout(files, len(made), arguments["margin_size"])
    heads = [columns[index] for index in range(len(columns))], [rows[index] for index in range(len(rows))]
    grid = sheet.table(contents, heads[0], heads[1] if len(rows) > 1 else [], layout)
    return [Sheet("prompt_matrix", sheet.page([grid], [""], layout), {"Script": TITLE}, layout.notes)]


SCRIPTS.register(TITLE)(Script(OPTIONS, plan, assemble))
