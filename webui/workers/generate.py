"""The engine that a worker runs: requests through `webui.engine`. Importing this module imports torch."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from webui.engine.catalogue import SHORT_HASH, CheckpointFile, open_catalogue
from webui.engine.extensions import Extensions, load_extensions, registries
from webui.engine.memory import graphics_memory, is_out_of_memory, resident_memory
from webui.engine.output import save_grid, version
from webui.engine.plan import Plan, make_plan
from webui.engine.run import run
from webui.engine.session import Session, best_device
from webui.errors import FileError, InvalidRequest, OutOfMemory
from webui.extend import Registries
from webui.imaging.metadata import save_picture
from webui.registry import Registry
from webui.request import GenerationRequest
from webui.scripts import SCRIPTS
from webui.settings import Settings
from webui.workers.plain import WorkerSettings, from_plain
from webui.workers.tasks import TaskJob, task
from webui.workers.worker import Control


def engine(plain: Mapping[str, Any]) -> Generator:
    """What `worker.main` calls in a new process, with what `plain.to_plain` returned."""
    return Generator(plain)


class Generator:
    """Obeys `worker.Engine`: a session, the files it may load, and the extensions of this process."""

    def __init__(self, plain: Mapping[str, Any]):
        wanted = from_plain(plain)
        self._registries = dataclasses.replace(registries(), scripts=SCRIPTS)  # those of this program come first
        folder = wanted.settings.paths.program / "extensions"
        disabled = wanted.settings["disabled_extensions"]
        found = load_extensions([folder], self._registries, disabled) if wanted.extensions else Extensions()
        for field in dataclasses.fields(Registries):
            getattr(self._registries, field.name).freeze()
        catalogue = open_catalogue(wanted.settings)
        self._session = Session(wanted.settings, catalogue, found, _device(wanted), wanted.precision)

    def names(self) -> Mapping[str, Any]:
        """What can be chosen without a file of its own, built in and of extensions."""
        kinds = ("samplers", "schedules", "upscalers", "restorers")
        return {kind: _entries(getattr(self._registries, kind)) for kind in kinds}

    def facts(self) -> Mapping[str, Any]:
        """What is loaded, where, and how much memory it takes."""
        checkpoint = self._session.checkpoint
        return {
            "checkpoint": checkpoint.name if checkpoint else None,
            "device": str(self._session.device),
            "memory": resident_memory(),
            "graphics": graphics_memory(self._session.device),
        }

    def change(self, settings: Mapping[str, Any]) -> None:
        """Other settings; the loaded checkpoint stays until a job wants another one."""
        _use(self._session, from_plain(settings).settings)

    def load(self, checkpoint: str | None) -> None:
        """Make a checkpoint and the VAE of the settings the loaded ones."""
        self._session.catalogue.refresh()
        vae = self._session.settings["vae"]
        plan = make_plan(GenerationRequest(checkpoint=checkpoint, vae=vae), self._session.catalogue)
        self._session.load(plan.checkpoint, plan.vae)

    def generate(
        self, request: GenerationRequest, options: Mapping[str, Any], report: Callable[..., None], control: Control
    ) -> None:
        """Plan and run one job, with the job's own settings while it lasts."""
        with using(self._session, options.get("settings") or {}):
            make_pictures(request, self._session, report, control, Path(options["scratch"]))

    def perform(
        self,
        name: str,
        values: Mapping[str, Any],
        options: Mapping[str, Any],
        report: Callable[..., None],
        control: Control,
    ) -> None:
        """Run one job of another kind, with the job's own settings while it lasts."""
        with using(self._session, options.get("settings") or {}):
            self._session.catalogue.refresh()
            try:
                task(name).run(values, TaskJob(self._session, report, control, Path(options["scratch"])))
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler: its traceback would keep every tensor of the failed try alive.
            self._session.unload()
        raise OutOfMemory("Memory ran out.", remedy="Use a smaller size, or close other programs.")


def _device(wanted: WorkerSettings) -> str:
    """The device of this worker, with its share of what several have together. Raises InvalidRequest."""
    device = best_device() if wanted.device == "auto" and wanted.places > 1 else wanted.device
    if device == "cuda" and wanted.places > 1:
        device = f"cuda:{wanted.place}"
    if device.startswith("cuda:"):
        cards, card = torch.cuda.device_count(), torch.device(device).index
        if card >= cards:
            remedy = "Choose others with --device, or fewer with --workers."
            raise InvalidRequest(f"There is no graphics card {device}.", f"This machine has {cards}.", remedy)
        torch.cuda.set_device(card)
    if device == "cpu" and wanted.places > 1:
        _keep_to(wanted.place, wanted.places)
    return device


def _keep_to(place: int, places: int) -> None:
    """Keep this process to its share of the cores, with as many threads as a worker that has them all.

    Sums are split between threads (group norms are), so with fewer of them the last bits of a picture would differ.
    """
    threads = torch.get_num_threads()
    if sys.platform == "linux":  # elsewhere the system divides the cores
        cores = sorted(os.sched_getaffinity(0))
        for task in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[place::places] or cores[place % len(cores) :][:1])
    torch.set_num_threads(threads)


@contextmanager
def using(session: Session, changes: Mapping[str, Any]) -> Iterator[None]:
    """Other settings for a while. Raises SettingsError for those that do not fit."""
    before = session.settings
    _use(session, before.changed(changes))
    try:
        yield
    finally:
        _use(session, before)


def _use(session: Session, settings: Settings) -> None:
    session.settings = settings
    session.catalogue.default = settings["checkpoint"]
    session.catalogue.vae_choices = settings["vae_choices"]


def make_pictures(
    request: GenerationRequest, session: Session, report: Callable[..., None], control: Control, scratch: Path
) -> None:
    """Plan and run a request, and report all that happens. Pictures that are not to be saved go into `scratch`."""
    plan = _plan(request, session)

    def on_event(event: Mapping[str, Any]) -> None:
        values = {name: value for name, value in event.items() if name not in ("type", "bytes", "image")}
        if event["type"] == "picture":
            values = _picture(event, values, plan, session, scratch)
        report(event["type"], event.get("bytes", b""), **values)

    made = run(plan, session, on_event, control)
    if session.settings["save_grids"] and plan.request.save and len(made) > 1:
        try:
            for path in save_grid(plan, [result.image for result in made], made[0].infotext, session):
                report("copy", path=str(path))
        except FileError as error:
            report("note", text=f"The grid was not saved. {error}")  # its pictures are there
    session.catalogue.library.mark_used(_files(plan))


def _plan(request: GenerationRequest, session: Session) -> Plan:
    session.catalogue.refresh()  # files that were added or removed meanwhile
    return make_plan(request, session.catalogue, session.extensions)


def _files(plan: Plan) -> set[CheckpointFile]:
    """Every model file that the job's pictures were made with."""
    adapters = {use.file for picture in plan.pictures for use in picture.adapters}
    embeddings = {use.file for picture in plan.pictures for use in picture.embeddings}
    return {plan.checkpoint, *([plan.vae] if plan.vae else []), *adapters, *embeddings}


def _picture(
    event: Mapping[str, Any], values: dict[str, Any], plan: Plan, session: Session, scratch: Path
) -> dict[str, Any]:
    """The message about a finished picture. One that was not to be saved goes into the job's scratch folder."""
    path, settings = event["path"], session.settings
    saved = path is not None
    if not saved:
        kind = settings["picture_format"]
        if kind == "jpg" and event["image"].mode == "RGBA":
            kind = "png"
        infotext = event["infotext"] if settings["write_infotext"] else ""
        target = scratch / f"{event['index']:04}-{event['seed']}.{kind}"
        path = save_picture(event["image"], target, infotext, kind, settings["quality"], settings["webp_lossless"])
    known = ("path", "infotext", "seed", "width", "height")
    facts = {name: value for name, value in values.items() if name not in known}
    for kind, file in (("checkpoint", plan.checkpoint), ("vae", plan.vae)):
        facts[kind] = file.stem if file else None
        facts[f"{kind}_hash"] = session.catalogue.sha256(file)[:SHORT_HASH] if file else None
    facts["version"] = f"Emulsion {version()}"
    return {**{name: values[name] for name in known}, "path": str(path), "saved": saved, "facts": facts}


def _entries(registry: Registry[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.name,
            "aliases": list(entry.aliases),
            "facts": {name: value for name, value in entry.facts.items() if _is_plain(value)},
        }
        for entry in registry
    ]


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str)
