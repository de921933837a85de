"""Prompts from a file or a text box: one job a line, a prompt or options such as `--prompt "a cat" --steps 9`."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from webui.diffusion.samplers import SAMPLERS, resolve_names
from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell, Draw, Option, Script
from webui.request import GenerationRequest, replace
from webui.scripts.values import split_list

TITLE = "Prompts from file or textbox"
MOST_LINES = 10_000

OPTIONS = (
    Option("iterate_seed", "Iterate seed every line", False),
    Option("same_seed", "Use same random seed for all lines", False),
    Option("position", "Insert prompts at the", "start", choices=("start", "end"), help="Of the prompt above."),
    Option("lines", "List of prompt inputs", "", help="One line a job; empty lines are left out."),
)

Change: TypeAlias = Callable[[GenerationRequest, str], GenerationRequest]


def _request(field: str, read: Callable[[str], Any]) -> Change:
    return lambda request, text: replace(request, **{field: read(text)})


def _first(read: Callable[[str], dict[str, Any]]) -> Change:
    def change(request: GenerationRequest, text: str) -> GenerationRequest:
        first, *others = request.passes
        return replace(request, passes=(dataclasses.replace(first, **read(text)), *others))

    return change


def _guidance(request: GenerationRequest, text: str) -> GenerationRequest:
    first, *others = request.passes
    guidance = dataclasses.replace(first.guidance, scale=float(text))
    return replace(request, passes=(dataclasses.replace(first, guidance=guidance), *others))


def _resize_from(side: int) -> Change:
    def change(request: GenerationRequest, text: str) -> GenerationRequest:
        size = list(request.resize_seed_from or (request.passes[0].width, request.passes[0].height))
        size[side] = int(text)
        return replace(request, resize_seed_from=tuple(size) if size[side] > 0 else None)

    return change


def _sampler(text: str) -> dict[str, Any]:
    sampler, schedule = resolve_names(text)
    return {"sampler": sampler} | ({"schedule": schedule} if schedule != "Automatic" else {})


def _sampler_number(text: str) -> dict[str, Any]:
    known = SAMPLERS.names()
    if not 0 <= int(text) < len(known):
        raise InvalidRequest(f"There is no sampler number {text}.", f"From 0 to {len(known) - 1}.")
    return {"sampler": known[int(text)]}


def _boolean(text: str) -> bool:
    return text.strip().casefold() in ("true", "1", "yes", "on")


def _faces(request: GenerationRequest, text: str) -> GenerationRequest:
    if _boolean(text):
        raise InvalidRequest("--restore_faces cannot be used: no face restorer is installed.")
    return request


def _ignored(request: GenerationRequest, text: str) -> GenerationRequest:
    return request


def _refused(request: GenerationRequest, text: str) -> GenerationRequest:
    raise InvalidRequest("A line names a folder for its pictures.", "", "They go where the settings say.")


WORDS = ("prompt", "negative_prompt")  # these take all words up to the next option
CHANGES: Mapping[str, Change] = {  # A1111's options
    "prompt": _request("prompt", str),
    "negative_prompt": _request("negative_prompt", str),
    "prompt_for_display": _ignored,
    "sd_model": _request("checkpoint", str),
    "styles": _request("styles", lambda text: tuple(split_list(text))),
    "seed": _request("seed", int),
    "subseed": _request("variation_seed", int),
    "subseed_strength": _request("variation_strength", float),
    "seed_resize_from_w": _resize_from(0),
    "seed_resize_from_h": _resize_from(1),
    "sampler_index": _first(_sampler_number),
    "sampler_name": _first(_sampler),
    "batch_size": _request("batch_size", int),
    "n_iter": _request("count", int),
    "steps": _first(lambda text: {"steps": int(text)}),
    "cfg_scale": _guidance,
    "width": _first(lambda text: {"width": int(text)}),
    "height": _first(lambda text: {"height": int(text)}),
    "restore_faces": _faces,
    "tiling": _request("tiling", _boolean),
    "do_not_save_samples": lambda request, text: replace(request, save=not _boolean(text)),
    "do_not_save_grid": _ignored,
    "outpath_samples": _refused,
    "outpath_grids": _refused,
}
_OPTION = re.compile(r"--([a-z_]+)$")


def plan(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """One cell a line. Raises InvalidRequest naming the line that cannot be read."""
    lines = [(number, line.strip()) for number, line in enumerate(arguments["lines"].splitlines(), 1) if line.strip()]
    if not lines:
        raise InvalidRequest("There is no line.", "One prompt a line was wanted.")
    if len(lines) > MOST_LINES:
        raise InvalidRequest(f"There are {len(lines)} lines.", f"At most {MOST_LINES} are read.")
    iterated = arguments["iterate_seed"] or arguments["same_seed"]
    seed = draw() if request.seed < 0 and iterated else request.seed
    cells: list[Cell] = []
    for number, line in lines:
        try:
            made = _line(replace(request, seed=seed), line, arguments["position"])
        except (ValueError, InvalidRequest) as error:
            raise InvalidRequest(f"Line {number} cannot be read: {error}") from None
        if made.seed < 0:  # drawn now, so that a plot that is continued knows it
            made = replace(made, seed=draw())
        cells.append(Cell(made, (line,), (0, len(cells), 0)))
        if arguments["iterate_seed"]:
            seed += made.batch_size * made.count
    return cells


def _line(request: GenerationRequest, line: str, position: str) -> GenerationRequest:
    if not line.startswith("--"):
        return replace(request, prompt=_joined(line, request.prompt, position))
    options = read_options(line)
    for name in WORDS:
        if name in options:
            options[name] = _joined(options[name], getattr(request, name), position)
    for name, text in options.items():
        request = CHANGES[name](request, text)
    return request


def _joined(own: str, others: str, position: str) -> str:
    return " ".join(part for part in ((own, others) if position == "start" else (others, own)) if part)


def read_options(line: str) -> dict[str, str]:
    """The options of a line by name. Raises InvalidRequest for unknown ones, ValueError for an open quotation."""
    words, options = shlex.split(line), {}
    while words:
        match = _OPTION.match(words[0])
        if match is None or match[1] not in CHANGES:
            raise InvalidRequest(f"{words[0]!r} is no option.", f"Known: {', '.join(f'--{name}' for name in CHANGES)}.")
        end = 2
        if match[1] in WORDS:
            end = next((i for i, word in enumerate(words) if i and word.startswith("--")), len(words))
        if len(words) < 2 or end < 2:
            raise InvalidRequest(f"{words[0]} has no value.")
        options[match[1]] = " ".join(words[1:end])
        words = words[end:]
    return options


SCRIPTS.register(TITLE)(Script(OPTIONS, plan))
