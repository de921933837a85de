"""The X/Y/Z plot: every combination of the values of up to three axes, laid out as grids with legends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell, Draw, Made, Option, Script, Sheet
from webui.request import GenerationRequest, replace
from webui.scripts.axes import AXES, Axis, axes_of, find_axis
from webui.scripts.values import join_list

TITLE = "X/Y/Z plot"
DIRECTIONS = ("x", "y", "z")
MOST_CELLS = 100_000
SEEDS = ("Seed", "Var. seed")
_NAMES = tuple(axis.name for axis in AXES)


def _options() -> tuple[Option, ...]:
    axes = []
    for direction, usual in zip(DIRECTIONS, ("Seed", "Nothing", "Nothing"), strict=True):
        letter = direction.upper()
        axes += [
            Option(f"{direction}_type", f"{letter} type", usual, choices=_NAMES),
            Option(f"{direction}_values", f"{letter} values", "", help="a, b · 1-5 · 1-9 (+2) · 0-1 [5]"),
            Option(f"{direction}_values_dropdown", f"{letter} values, chosen", ""),  # A1111's second field for names
        ]
    return (
        *axes,
        Option("draw_legend", "Draw legend", True),
        Option("include_lone_images", "Include lone images", True, help="Show the cells' pictures beside the grid."),
        Option("include_sub_grids", "Include sub-grids", False, help="One more grid for each value of Z."),
        Option("no_fixed_seeds", "Keep -1 for seeds", False, help="A random seed for every cell."),
        Option("vary_seeds_x", "Vary seeds for X", False, help="The seed rises by one with each column."),
        Option("vary_seeds_y", "Vary seeds for Y", False, help="The seed rises with each row."),
        Option("vary_seeds_z", "Vary seeds for Z", False, help="The seed rises with each sub-grid."),
        Option("margin_size", "Grid margins", 0, minimum=0, maximum=500, step=2, help="Pixels between pictures."),
        Option("csv_mode", "Names as text", False),  # A1111 shows names as a text field then; both fields are read here
    )


def read_axes(arguments: Mapping[str, Any]) -> list[tuple[Axis, list[Any]]]:
    """The three axes with their values. Raises InvalidRequest."""
    axes = []
    for direction in DIRECTIONS:
        axis = find_axis(arguments[f"{direction}_type"])
        text = arguments[f"{direction}_values"] or arguments[f"{direction}_values_dropdown"]
        axes.append((axis, [""] if axis.name == "Nothing" else axis.read(text)))
    return axes


def plan(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """The cells, column by column, row by row, sub-grid by sub-grid. Raises InvalidRequest."""
    axes = read_axes(arguments)
    if not arguments["no_fixed_seeds"]:
        request = _with_seeds(request, draw)
        axes = [(axis, _fixed(axis, values, draw)) for axis, values in axes]
    request = replace(request, batch_size=1, count=1)
    counts = [len(values) for _, values in axes]
    if math.prod(counts) > MOST_CELLS:
        raise InvalidRequest(f"The plot has {math.prod(counts)} cells.", f"At most {MOST_CELLS} are possible.")
    cells = []
    for z, y, x in itertools.product(*(range(count) for count in reversed(counts))):
        made, labels = request, []
        settings: dict[str, Any] = {}
        for (axis, values), index in zip(axes, (x, y, z), strict=True):
            made = axis.apply(made, values[index], values)
            settings |= _setting(values[index]) if axis.kind == "setting" else {}
            labels.append(axis.label(values[index]))
        shift = x * arguments["vary_seeds_x"]
        shift += y * arguments["vary_seeds_y"] * (counts[0] if arguments["vary_seeds_x"] else 1)
        rows = counts[1] if arguments["vary_seeds_y"] else 1
        shift += z * arguments["vary_seeds_z"] * (counts[0] if arguments["vary_seeds_x"] else 1) * rows
        if shift and made.seed >= 0:
            made = replace(made, seed=made.seed + shift)
        cells.append(Cell(made, tuple(labels), (x, y, z), settings))
    return cells


def _with_seeds(request: GenerationRequest, draw: Draw) -> GenerationRequest:
    seed = draw() if request.seed < 0 else request.seed
    return replace(request, seed=seed, variation_seed=draw() if request.variation_seed < 0 else request.variation_seed)


def _fixed(axis: Axis, values: list[Any], draw: Draw) -> list[Any]:
    return [draw() if value < 0 else value for value in values] if axis.name in SEEDS else values


def _setting(text: str) -> dict[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise InvalidRequest(f"{text!r} changes no setting.", "Wanted: name=value, such as eta_ancestral=0.5.")
    return {name.strip(): value.strip()}


def assemble(made: Sequence[Made], arguments: Mapping[str, Any]) -> list[Sheet]:
    """The grid of all cells, and on wish one of each sub-grid."""
    from webui.scripts import sheet

    columns, rows, pages = ([*dict.fromkeys(_heads(made, direction))] for direction in range(3))
    tables = [
        [[_content(made, (x, y, z)) for x in range(len(columns))] for y in range(len(rows))] for z in range(len(pages))
    ]
    files = [one.picture for one in made if one.picture is not None]
    layout = sheet.layout(files, len(made), arguments["margin_size"], arguments["draw_legend"])
    heads = [label for _, label in columns], [label for _, label in rows]
    grids = [sheet.table(table, *heads, layout) for table in tables]
    fields = infotext_fields(made, arguments)
    sheets = [Sheet("xyz_grid", sheet.page(grids, [label for _, label in pages], layout), fields, layout.notes)]
    if arguments["include_sub_grids"] and len(grids) > 1:
        sheets += [Sheet("xyz_sub_grid", grid, fields) for grid in grids]
    return sheets


def _heads(made: Sequence[Made], direction: int) -> list[tuple[int, str]]:
    """Places along a direction with their labels, in order; values that are equal stand apart by place."""
    return sorted({one.cell.place[direction]: one.cell.labels[direction] for one in made}.items())


def _content(made: Sequence[Made], place: tuple[int, int, int]) -> Path | str:
    one = next(one for one in made if one.cell.place == place)
    return one.picture if one.picture is not None else one.problem


def infotext_fields(made: Sequence[Made], arguments: Mapping[str, Any]) -> dict[str, str]:
    """What A1111 writes into the infotext of such a grid."""
    fields = {"Script": TITLE}
    for index, direction in enumerate(DIRECTIONS):
        axis = find_axis(arguments[f"{direction}_type"])
        if axis.name == "Nothing":
            continue
        letter = direction.upper()
        fields[f"{letter} Type"] = axis.name
        fields[f"{letter} Values"] = arguments[f"{direction}_values"] or arguments[f"{direction}_values_dropdown"]
        if axis.name in SEEDS and not arguments["no_fixed_seeds"]:
            seeds = [label.rpartition(" ")[2] for _, label in _heads(made, index)]
            fields[f"Fixed {letter} Values"] = join_list(seeds)
    return fields


def from_fields(fields: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """The arguments that the fields of an infotext stand for, and the names of those fields. Seeds are as they were."""
    given, read = {f"{direction}_type": "Nothing" for direction in DIRECTIONS}, set()
    for direction in DIRECTIONS:
        letter = direction.upper()
        names = [f"{letter} Type", f"{letter} Values", f"Fixed {letter} Values"]
        read |= fields.keys() & set(names)
        if fields.get(names[0]) in _NAMES:
            given[f"{direction}_type"] = fields[names[0]]
            given[f"{direction}_values"] = fields.get(names[2]) or fields.get(names[1], "")
    return given, read


def from_positions(arguments: Sequence[Any], tab: str) -> dict[str, Any]:
    """A1111's API names axes by their number in the menu of the tab, and gives chosen names as a list."""
    given: dict[str, Any] = {}
    for option, value in zip(SCRIPT.options, arguments, strict=False):
        if option.key.endswith("_type") and isinstance(value, int) and not isinstance(value, bool):
            axes = axes_of(tab)
            if not 0 <= value < len(axes):
                raise InvalidRequest(f"There is no axis number {value}.", f"From 0 to {len(axes) - 1}.")
            value = axes[value].name
        elif option.key.endswith("_dropdown"):
            value = join_list([str(one) for one in value]) if isinstance(value, list | tuple) else value or ""
        given[option.key] = value
    return given


SCRIPT = Script(_options(), plan, assemble)
SCRIPTS.register(TITLE, "xyz", "X/Y plot")(SCRIPT)
