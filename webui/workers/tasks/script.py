"""The script job: many requests made from one, each through the engine, and what is laid out of their pictures.

Values: `script` (a name), its `arguments`, and the `request` that it starts from. A cell that fails leaves a note and
an empty place; finished cells are kept until the whole is complete, so the same job goes on where it was.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from webui.captioning.names import find_captioner
from webui.errors import Cancelled, EmulsionError, FileError, InvalidRequest
from webui.extend import Cell, Made, Sheet
from webui.infotext_format import write_fields
from webui.limits import hold, limits_of
from webui.request import SEED_MAXIMUM, GenerationRequest, from_dict, replace
from webui.request import check as check_request
from webui.scripts import SCRIPTS, arguments_of, planned
from webui.scripts.work import Cost, cost, names, pictures, work, work_order
from webui.workers import blobs
from webui.workers.blobs import Blobs
from webui.workers.kept import Kept

if TYPE_CHECKING:
    from webui.engine.session import Session
    from webui.workers.tasks import TaskJob

log = logging.getLogger(__name__)

FOLDER = "scripts"  # in the data folder
PNG_PIXELS = 16_000_000  # a larger sheet is saved as JPEG
# Sections of settings that can change a picture or what is kept beside it.
_ABOUT_PICTURES = ("model", "prompts", "sampling", "img2img", "saving", "copies")

# request, session, report, control, scratch folder: makes the pictures of one request
Make: TypeAlias = Callable[[GenerationRequest, "Session", Callable[..., None], Any, Path], None]


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, complete. Raises InvalidRequest."""
    unknown = sorted(set(values) - {"script", "arguments", "request"})
    if unknown:
        raise InvalidRequest(f"There is no field {unknown[0]!r}.", "Known: script, arguments, request.")
    name, given = values.get("script"), values.get("arguments", {})
    if not isinstance(name, str) or not isinstance(given, Mapping):
        raise InvalidRequest("The job names no script.", "Wanted: script, a name, and arguments, an object.")
    arguments = arguments_of(name, given)
    request = check_request(from_dict(values.get("request", {})))
    script = SCRIPTS.find(name)
    if not script.value.own_pictures:  # those look into files, which takes a while
        script.value.plan(request, arguments, lambda: 0)
    return {"script": script.name, "arguments": arguments, "request": dataclasses.asdict(request)}


def run(values: Mapping[str, Any], job: TaskJob, make: Make | None = None) -> None:
    """Make all cells, then the sheets. Raises what is wrong with the whole; a cell's own failure becomes a note."""
    from webui.workers.generate import make_pictures

    key = _key(values, from_dict(values["request"]), job.session)
    with contextlib.closing(Kept(job.session.settings.paths.data / FOLDER, key)) as kept:
        whole = _Run(values, job, make or make_pictures, kept)
        try:
            whole.everything()
        except Cancelled:
            whole.tell_what_is_kept()
            raise


def limited(found: Cost, limit: int) -> None:
    """Raises InvalidRequest for more pictures than the settings allow."""
    if found.pictures > limit:
        raise InvalidRequest(
            f"The script would make {found.pictures} pictures.",
            f"At most {limit} are allowed by the setting script_limit.",
            "Choose fewer values, or raise the limit.",
        )


class _Run:
    """One run of one script."""

    def __init__(self, values: Mapping[str, Any], job: TaskJob, make: Make, kept: Kept):
        self.job, self.make, self.kept = job, make, kept
        self.script, self.arguments = SCRIPTS[values["script"]], dict(values["arguments"])
        request = from_dict(values["request"])
        self.save = request.save
        seeds = self.kept.draw()
        sent = Blobs(job.session.settings.paths.data / blobs.FOLDER)
        draw = partial(seeds.randrange, SEED_MAXIMUM)
        self.cells = planned(values["script"], request, self.arguments, draw, sent.path)
        limited(cost(self.cells), job.session.settings["script_limit"])
        for cell in self.cells:
            hold(cell.request, limits_of(job.session.settings))
        _check_names(self.cells, job.session)
        self.order = work_order(self.cells)
        self.made = [Made(cell) for cell in self.cells]
        self.shown = bool(self.arguments.get("include_lone_images", True))
        self.total = sum(pictures(cell.request) // cell.request.batch_size for cell in self.cells)
        self.told: set[str] = set()
        if pictures(request) > pictures(self.cells[0].request) and not self.script.every_picture:
            self.note("The script makes one picture of each cell: batch count and batch size are left out.")

    def everything(self) -> None:
        """All cells in the order of their cost, then the sheets of what there is."""
        clock, batch = _Clock(sum(work(cell.request) for cell in self.cells)), 0
        resumed = sum(self.kept.pictures(index) is not None for index in self.order)
        if resumed:
            self.note(f"{resumed} of {len(self.cells)} cells were there from last time.")
        first = ""  # the infotext of the first cell that was made
        for index in self.order:
            if self.job.control.stopping.is_set():
                break
            self.job.control.check()
            text = self._cell(index, batch, clock)
            first = first or text
            batch += self.cells[index].request.count
        self._sheets(first)
        failed = sum(bool(one.problem) for one in self.made)
        finished = sum(one.picture is not None for one in self.made)
        outcome = {"cells": len(self.cells), "made": finished, "failed": failed}
        self.job.report("outcome", values={**outcome, "work": clock.done, "seconds": clock.seconds()})
        if finished == len(self.cells):
            self.kept.done()
        elif not finished and failed:
            raise InvalidRequest(next(one.problem for one in self.made if one.problem))

    def tell_what_is_kept(self) -> None:
        """Before the end: what need not be made again."""
        there = sum(self.kept.pictures(index) is not None for index in self.order)
        if there:
            self.note(f"{there} of {len(self.cells)} cells are kept: the same job goes on from there.")

    def _cell(self, index: int, batch: int, clock: _Clock) -> str:
        """One cell, or its pictures from last time; returns the infotext of its first picture."""
        cell = self.cells[index]
        known = self.kept.pictures(index)
        if known is not None:
            self.made[index] = Made(cell, Path(known[0]["path"]))
            clock.total -= work(cell.request)
            for picture in known if self.shown else []:
                self._tell_again(picture)
            return str(known[0]["infotext"])
        report = _Report(self, cell, batch, clock)
        try:
            request = self._request(cell, batch)
            with self._settings(cell):
                scratch = self.job.scratch / f"{index:05}"
                self.make(request, self.job.session, report, self.job.control, scratch)
        except (Cancelled, BrokenPipeError):
            raise
        except EmulsionError as error:
            self._failed(index, str(error))
        except Exception as error:
            log.exception("cell %s failed", index)
            self._failed(index, f"Something unexpected went wrong: {type(error).__name__}: {error}.")
        clock.finished(work(cell.request))
        if not report.pictures:
            return ""
        self.kept.keep(index, report.pictures)
        self.made[index] = Made(cell, Path((self.kept.pictures(index) or report.pictures)[0]["path"]))
        return str(report.pictures[0]["infotext"])

    def _failed(self, index: int, problem: str) -> None:
        self.made[index] = Made(self.cells[index], None, problem)
        where = " · ".join(label for label in self.cells[index].labels if label)
        self.note(f"{where or f'Cell {index + 1}'}: {problem}")

    def _request(self, cell: Cell, batch: int) -> GenerationRequest:
        """The request with the picture that the cell starts from."""
        changes: dict[str, Any] = {}
        if isinstance(cell.start, int):
            source = self.made[cell.start].picture
            if source is None:
                raise InvalidRequest("The picture before this one is missing.")
            changes["image"] = _base64(source)
        elif cell.start is not None:
            changes["image"] = _base64(cell.start)
        if cell.mask is not None:
            changes["mask"] = _base64(cell.mask)
        request = cell.request
        if changes:
            first, *others = request.passes
            request = replace(request, passes=(dataclasses.replace(first, images=(), **changes), *others))
        return self._captioned(request, cell.caption, batch) if cell.caption else request

    def _captioned(self, request: GenerationRequest, captioner: str, batch: int) -> GenerationRequest:
        """The request whose prompt ends with what is to be seen in the picture that it starts from."""
        from webui.workers.tasks.caption import put_into_words

        (words,) = put_into_words(request.passes[0].sources[:1], captioner, self.job, batch, self.total)
        return replace(request, prompt=", ".join(part for part in (request.prompt, words) if part))

    def _settings(self, cell: Cell) -> Any:
        from contextlib import nullcontext

        if not cell.settings:
            return nullcontext()
        from webui.workers.generate import using

        return using(self.job.session, cell.settings)

    def _tell_again(self, picture: Mapping[str, Any]) -> None:
        """A picture from last time: from where it was saved, else a copy that outlives the kept one."""
        told = {name: picture[name] for name in ("infotext", "seed", "width", "height", "saved", "facts")}
        path = Path(picture["original"])
        if not (picture["saved"] and path.is_file()):
            path, told["saved"] = self.job.scratch / Path(picture["path"]).name, False
            from webui.imaging.files import place_file, read_bytes

            path = place_file(read_bytes(Path(picture["path"])), path)
        self.job.report("picture", path=str(path), **told)

    def note(self, text: str) -> None:
        """Tell something, once."""
        if text not in self.told:
            self.told.add(text)
            self.job.report("note", text=text)

    # Sheets ------------------------------------------------------------------------------------------------------

    def _sheets(self, infotext: str) -> None:
        if self.script.assemble is None or not any(one.picture for one in self.made):
            return
        self.job.report("progress", stage="save", batch=self.total - 1, batches=self.total)
        for number, sheet in enumerate(self.script.assemble(self.made, self.arguments)):
            for text in sheet.notes:
                self.note(text)
            self._deliver(sheet, infotext, {"aside": sheet.name} if number else {})

    def _deliver(self, sheet: Sheet, infotext: str, facts_told: dict[str, Any]) -> None:
        from webui.imaging.metadata import save_picture
        from webui.imaging.names import NameFacts, output_path

        settings, picture = self.job.session.settings, sheet.picture
        format = settings["picture_format"]
        if format == "png" and picture.width * picture.height > PNG_PIXELS:
            format = "jpg"
            self.note(
                f"The grid of {picture.width}×{picture.height} pixels was saved as JPEG: as PNG it would be huge."
            )
        text = ", ".join(part for part in (infotext, write_fields(sheet.fields)) if part)
        pattern = f"[number]-{sheet.name}"
        if settings["folder_per_pattern"]:
            pattern = f"{settings['folder_pattern']}/{pattern}"
        path = self.job.scratch / f"{sheet.name}.{format}"
        saved = self.save and (settings["save_grids"] or not sheet.usual)
        if saved:
            facts = NameFacts(width=picture.width, height=picture.height, basename=sheet.name)
            path = output_path(settings.paths.outputs / settings["folder_grids"], pattern, facts, f".{format}")
        written = text if settings["write_infotext"] else ""
        how = (written, format, settings["quality"], settings["webp_lossless"])
        try:
            path = save_picture(picture, path, *how)
        except FileError as error:
            if not saved:
                raise
            from webui.engine.output import not_saved

            saved, path = False, save_picture(picture, self.job.scratch / f"{sheet.name}.{format}", *how)
            self.note(not_saved(error))
        size = {"width": picture.width, "height": picture.height}
        seed = self.cells[0].request.seed
        facts_told |= {"sheet": sheet.name} | ({"usual": True} if sheet.usual else {})
        self.job.report("picture", path=str(path), infotext=text, seed=seed, **size, saved=saved, facts=facts_told)


class _Clock:
    """How long the rest will take, by the work that was done."""

    def __init__(self, total: float):
        self.total, self.done = total, 0.0
        self._began = time.monotonic()

    def finished(self, amount: float) -> None:
        """A cell of so much work is over."""
        self.done += amount

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def left(self, running: float) -> float | None:
        """Seconds to go, when `running` of the cell at hand is done; None before anything is."""
        done = self.done + running
        return self.seconds() / done * max(0.0, self.total - done) if done > 0 else None


class _Report:
    """What the engine says of one cell, told as part of the whole."""

    def __init__(self, run: _Run, cell: Cell, batch: int, clock: _Clock):
        self.run, self.batch, self.clock = run, batch, clock
        self.work, self.batches = work(cell.request), cell.request.count
        self.pictures: list[dict[str, Any]] = []

    def __call__(self, kind: str, blob: bytes = b"", **values: Any) -> None:
        """Take one event of the engine."""
        if kind == "note":
            self.run.note(values["text"])
        elif kind == "progress":
            share = (values["batch"] + min(1.0, values["step"] / max(1, values["steps"]))) / self.batches
            told = {name: values[name] for name in ("stage", "step", "steps")}
            told |= {"batch": self.batch + values["batch"], "batches": self.run.total}
            self.run.job.report("progress", **told, eta=self.clock.left(share * self.work))
        elif kind == "picture":
            self.pictures.append(values)
            if self.run.shown:
                self.run.job.report(kind, blob, **values)
        else:
            self.run.job.report(kind, blob, **values)


def _key(values: Mapping[str, Any], request: GenerationRequest, session: Session) -> dict[str, Any]:
    """All that decides what the pictures will be."""
    from webui.engine.output import version
    from webui.settings import SETTINGS

    settings = {
        name: value
        for name, value in session.settings.values.items()
        if SETTINGS.find(name).value.section in _ABOUT_PICTURES
    }
    checkpoint = session.catalogue.find(request.checkpoint).key
    return {**values, "settings": settings, "checkpoint": checkpoint, "version": version()}


def _check_names(cells: Sequence[Cell], session: Session) -> None:
    """Refuse a wrong name before minutes of work. Raises NotFound or InvalidRequest."""
    from webui.diffusion.samplers import resolve_names
    from webui.engine.enlarge import check_upscaler

    catalogue, paths = session.catalogue, session.settings.paths
    styles = catalogue.styles()
    finders: dict[str, Callable[[str], object]] = {
        "checkpoint": lambda name: catalogue.find(name or None),
        "vae": lambda name: name in ("Automatic", "None") or catalogue.find_vae(name),
        "sampler": resolve_names,
        "schedule": lambda name: resolve_names("Euler", name),
        "upscaler": lambda name: check_upscaler(name, paths),
        "captioner": lambda name: find_captioner(name, paths),
    }
    for kind, name in sorted(names(cells)):
        if kind == "style":
            if name not in styles:
                raise InvalidRequest(f"There is no style named {name!r}.", f"Known: {', '.join(styles) or 'none'}.")
        else:
            finders[kind](name)


def _base64(file: Path) -> str:
    from webui.imaging.files import read_bytes

    return base64.b64encode(read_bytes(file)).decode()
