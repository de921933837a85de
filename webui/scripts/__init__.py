"""Scripts: many jobs from one request. A script is data: options, a plan, a way to lay its pictures out. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest
from webui.extend import SCRIPTS, Cell, Draw, Made, NamedFile, Option, Script, Sheet, option_values
from webui.request import GenerationRequest

# isort: off
# the order of these imports is the order in which scripts are shown
from webui.scripts import xyz, matrix, lines, loopback, batch  # noqa: F401

# isort: on
from webui.scripts.batch import MOST_FILES, ONE_PIXEL, with_place_for_pictures

__all__ = [
    "ONE_PIXEL",
    "SCRIPTS",
    "Cell",
    "Draw",
    "Made",
    "Script",
    "Sheet",
    "arguments_of",
    "from_infotext",
    "from_positions",
    "planned",
    "tab_of",
    "with_place_for_pictures",
]


def arguments_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of a script, given or by default, checked. Raises InvalidRequest.

    Texts are read as numbers where numbers are wanted, and choices are found whatever their case.
    """
    script, shown = SCRIPTS[name], SCRIPTS.find(name).name
    known = {option.key: option for option in script.options}
    return option_values(shown, script.options, {key: _in_kind(known.get(key), value) for key, value in given.items()})


def planned(
    name: str, request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw, find: Callable[[str], Path]
) -> list[Cell]:
    """The cells of a script. `find("blob:…")` is the file of a picture that was sent.

    Raises what the script's plan and `find` raise, and InvalidRequest for more pictures than MOST_FILES.
    """
    script = SCRIPTS[name]
    sent = {option.key: _sent(option, arguments[option.key], find) for option in script.options if option.pictures}
    return list(script.plan(request, {**arguments, **sent}, draw))


def from_positions(name: str, arguments: Sequence[Any], tab: str) -> dict[str, Any]:
    """The arguments of a script as A1111's API gives them: by position; what is missing has its default."""
    script = SCRIPTS[name]
    if len(arguments) > len(script.options):
        raise InvalidRequest(f"{name} was given {len(arguments)} arguments.", f"It takes {len(script.options)}.")
    if script is xyz.SCRIPT:
        return arguments_of(name, xyz.from_positions(arguments, tab))
    return arguments_of(name, {option.key: value for option, value in zip(script.options, arguments, strict=False)})


def from_infotext(fields: Mapping[str, str]) -> tuple[dict[str, Any] | None, set[str]]:
    """{"script", "arguments"} of a plot's infotext, or None, and the names of the fields that say so."""
    if fields.get("Script") != xyz.TITLE:
        return None, set()
    arguments, read = xyz.from_fields(fields)
    return {"script": xyz.TITLE, "arguments": arguments}, read | {"Script"}


def _sent(option: Option, text: str, find: Callable[[str], Path]) -> tuple[NamedFile, ...]:
    """The files of an option of pictures; each line is "blob:…" and what its owner calls it."""
    pictures = [line.strip().partition(" ") for line in text.splitlines() if line.strip()]
    if len(pictures) > MOST_FILES:
        raise InvalidRequest(f"{option.label}: {len(pictures)} pictures.", f"At most {MOST_FILES} are taken.")
    return tuple(NamedFile(name or f"{number}", find(blob)) for number, (blob, _, name) in enumerate(pictures, 1))


def tab_of(mode: str) -> str:
    """The tab in whose list a script stands, of one of the page's modes."""
    return "img2img" if mode in ("img2img", "inpaint") else "txt2img"


def _in_kind(option: Option | None, value: Any) -> Any:
    """A value in the type of its option where it can be read as such; `Option.check` refuses the others."""
    if option is None:
        return value
    if isinstance(option.default, str):
        if option.choices and isinstance(value, str):
            return next((choice for choice in option.choices if choice.casefold() == value.strip().casefold()), value)
        return value
    if isinstance(value, str):
        return option.read(value.strip())
    if isinstance(option.default, bool) and value in (0, 1):
        return bool(value)
    if isinstance(option.default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
