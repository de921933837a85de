"""`generate --script`: many pictures from one request, in a terminal."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import InvalidRequest
from webui.request import GenerationRequest

if TYPE_CHECKING:
    from webui.engine.session import Session


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """`--script NAME --script-arg KEY=VALUE …`."""
    script = parser.add_argument_group("script")
    script.add_argument("--script", metavar="NAME", help='such as "X/Y/Z plot"; "list" shows all and what they take')
    about = "one argument of the script, such as x_type=Steps (may be repeated)"
    script.add_argument("--script-arg", metavar="KEY=VALUE", action="append", default=[], help=about)


def list_scripts() -> int:
    """Print the scripts with their arguments."""
    from webui.scripts import SCRIPTS

    for entry in SCRIPTS:
        print(f"{entry.name} ({', '.join(entry.value.tabs)})")
        for option in entry.value.options:
            choices = f": {', '.join(option.choices)}" if 0 < len(option.choices) < 9 else ""
            print(f"  {option.key}={option.default}  {option.label}{choices}")
    return 0


def read_arguments(name: str, pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments of a script from KEY=VALUE. Raises InvalidRequest."""
    from webui.scripts import arguments_of

    given = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise InvalidRequest(f"--script-arg {pair!r} has no value.", "Wanted: KEY=VALUE, such as x_type=Steps.")
        given[key.strip()] = value
    return arguments_of(name, given)


def run_script(options: argparse.Namespace, request: GenerationRequest, session: Session, began: float) -> int:
    """Make the pictures of a script in this process; print their paths, or one JSON object. 1 if a cell failed."""
    from webui.imaging.files import place_file
    from webui.scripts import SCRIPTS, with_place_for_pictures
    from webui.workers.tasks import TaskJob
    from webui.workers.tasks.script import check, run
    from webui.workers.worker import Control

    if options.out is not None and options.out.suffix and not options.out.is_dir():
        raise InvalidRequest(f"--out names the file {options.out}.", "A folder for several was wanted.")
    arguments = read_arguments(options.script, options.script_arg)
    if SCRIPTS[options.script].own_pictures:
        request = with_place_for_pictures(request)
    values = check({"script": options.script, "arguments": arguments, "request": dataclasses.asdict(request)})
    report = _Report(sys.stderr.isatty() and not options.quiet, session.settings["save_grids"])
    with tempfile.TemporaryDirectory(prefix="emulsion-") as scratch:
        run(values, TaskJob(session, report, Control(), Path(scratch)))
        for number, picture in enumerate(report.pictures):
            path = Path(picture["path"])
            if options.out is not None:
                name = f"{number:04}-{picture.pop('sheet') or picture['seed']}{path.suffix}"
                picture["path"] = str(place_file(path.read_bytes(), options.out / name))
            else:
                del picture["sheet"]
    if options.json:
        seconds = round(time.monotonic() - began, 3)
        told = {"images": report.pictures, "seconds": seconds, **report.outcome}
        print(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        for picture in report.pictures:
            print(picture["path"])
    return 1 if report.outcome.get("failed") else 0


class _Report:
    """What the script job says, in a terminal."""

    def __init__(self, shown: bool, grids: bool):
        self.shown, self.grids = shown, grids
        self.pictures: list[dict[str, Any]] = []
        self.outcome: dict[str, Any] = {}

    def __call__(self, kind: str, blob: bytes = b"", **values: Any) -> None:
        """Keep pictures; write notes and progress."""
        if kind == "picture":
            if values["facts"].get("usual") and not self.grids:
                return
            told = {name: values[name] for name in ("path", "seed", "width", "height", "infotext")}
            self.pictures.append(told | {"sheet": values["facts"].get("sheet", "")})
        elif kind == "note":
            print(values["text"], file=sys.stderr)
        elif kind == "outcome":
            self.outcome = {name: values["values"][name] for name in ("cells", "made", "failed")}
        elif kind == "progress" and self.shown and "step" in values:
            whole = f"{values['batch'] + 1} of {values['batches']}: {values['step']}/{values['steps']} "
            print(f"\r{whole}", end="", file=sys.stderr, flush=True)
