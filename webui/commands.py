"""What `generate`, `extras` and `models` do: the engine without the server, and the catalogue in a terminal."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import EmulsionError, InvalidRequest
from webui.infotext import request_to_infotext
from webui.pass_options import with_pass_options
from webui.paths import Paths
from webui.request import GenerationRequest, check, from_json
from webui.script_options import run_script
from webui.settings import SettingsStore

if TYPE_CHECKING:
    from webui.families.base import ModelFacts

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif")
REQUEST_FIELDS = (  # options of `generate` that are fields of the request by the same name
    "prompt",
    "negative_prompt",
    "seed",
    "variation_seed",
    "variation_strength",
    "noise_source",
    "batch_size",
    "count",
    "checkpoint",
    "vae",
    "clip_skip",
)


def generate(options: argparse.Namespace, paths: Paths, device: str, precision: str) -> int:
    """Make the pictures of one request in this process; print their paths, or one JSON object."""
    began = time.monotonic()
    store = SettingsStore(paths)
    if store.problem:
        print(store.problem, file=sys.stderr)
    from webui.engine.catalogue import open_catalogue
    from webui.engine.extensions import load_extensions, registries

    catalogue = open_catalogue(store.settings)
    extensions = load_extensions([paths.program / "extensions"], registries())
    if options.out is not None and not options.script:
        is_picture(options.out)  # before minutes of work
    start = read_request(options.request)
    checkpoint = options.checkpoint or (start.checkpoint if start else None)
    facts = catalogue.facts(catalogue.find(checkpoint))
    request = build_request(options, facts, store.settings.everything(), start)
    if options.script:
        from webui.engine.session import Session

        return run_script(options, request, Session(store.settings, catalogue, extensions, device, precision), began)
    from webui.engine.plan import make_plan

    plan = make_plan(request, catalogue, extensions)  # a wrong name fails here, before anything is loaded
    from webui.engine.run import run
    from webui.engine.session import Session

    session = Session(store.settings, catalogue, extensions, device, precision)
    shown = sys.stderr.isatty() and not options.quiet
    results = run(plan, session, show_progress if shown else show_notes)
    pictures = [
        {
            "path": str(path),
            "seed": result.seed,
            "width": result.image.width,
            "height": result.image.height,
            "infotext": result.infotext,
        }
        for result, path in zip(results, save_all(results, options.out, store.settings.everything()))
    ]
    if shown:
        print(file=sys.stderr)
    if options.json:
        seconds = round(time.monotonic() - began, 3)
        print(json.dumps({"images": pictures, "seconds": seconds}, ensure_ascii=False, indent=1))
    else:
        for picture in pictures:
            print(picture["path"])
    return 0


def read_request(file: str | None) -> GenerationRequest | None:
    """The request in a JSON file, or on the standard input for "-". Raises InvalidRequest."""
    if file is None:
        return None
    try:
        return from_json(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The request in {file} cannot be read: {error}.") from None


def build_request(
    options: argparse.Namespace,
    facts: ModelFacts,
    settings: Mapping[str, Any],
    start: GenerationRequest | None = None,
) -> GenerationRequest:
    """The request that the options describe. Raises InvalidRequest for values that no model could serve.

    Without `start`, what is not given is what the checkpoint's family recommends, at its native size."""
    given = {name: getattr(options, name) for name in REQUEST_FIELDS if getattr(options, name) is not None}
    if start is None:
        from webui.engine.recommended import recommended

        start = recommended(facts, settings)
    first, *others = start.passes
    changes = {name: getattr(options, name) for name in ("steps", "sampler", "schedule")}
    changes |= {"width": options.width or options.height, "height": options.height or options.width}
    first = dataclasses.replace(first, **{name: value for name, value in changes.items() if value is not None})
    if options.cfg is not None:
        first = dataclasses.replace(first, guidance=dataclasses.replace(first.guidance, scale=options.cfg))
    passes = with_pass_options((first, *others), options, facts, settings)
    save = start.save and options.out is None
    return check(dataclasses.replace(start, **given, passes=passes, save=save))


def show_progress(event: Mapping[str, Any]) -> None:
    """Write the step to the terminal, over the one before."""
    if event["type"] == "progress":
        batch = f"{event['batch'] + 1} of {event['batches']}: " if event["batches"] > 1 else ""
        print(f"\r{batch}{event['step']}/{event['steps']} ", end="", file=sys.stderr, flush=True)
    else:
        show_notes(event)


def show_notes(event: Mapping[str, Any]) -> None:
    """Write what people should see, such as a size that the checkpoint was not made for."""
    if event["type"] == "note":
        print(event["text"], file=sys.stderr)


def save_all(results: list[Any], out: Path | None, settings: Mapping[str, Any]) -> list[Path]:
    """Where the pictures are: the engine has saved them, unless `out` names a folder or a picture file. Those that it
    could not save go into a new folder for passing things.

    A file that `out` names is written over, as scripts expect; names in a folder are never those of other files."""
    if out is None and all(result.path for result in results):
        return [result.path for result in results]
    from webui.imaging.metadata import save_picture

    quality, lossless = settings["quality"], settings["webp_lossless"]
    out = out or Path(tempfile.mkdtemp(prefix="emulsion-"))
    if not is_picture(out):
        return [
            save_picture(r.image, out / f"{r.seed}.{settings['picture_format']}", r.infotext, None, quality, lossless)
            for r in results
        ]
    places = [out if not number else out.with_stem(f"{out.stem}-{number + 1}") for number in range(len(results))]
    for result, place in zip(results, places):
        part = place.with_stem(f".{place.stem}-{os.getpid()}")
        save_picture(result.image, part, result.infotext, None, quality, lossless).replace(place)
    return places


def is_picture(out: Path) -> bool:
    """Whether --out names a picture file rather than a folder. Raises InvalidRequest for another kind of file."""
    if out.suffix.lower() in PICTURE_SUFFIXES:
        return True
    if out.is_file() or (out.suffix and not out.is_dir()):
        wanted = f"A folder, or a file that ends in {', '.join(PICTURE_SUFFIXES)}, was wanted."
        raise InvalidRequest(f"--out names {out}.", wanted)
    return False


def extras(options: argparse.Namespace, paths: Paths, device: str, precision: str) -> int:
    """Enlarge pictures in this process; print their paths, or one JSON object. 1 if one of several failed.

    A file that `--out` names is written over, as scripts expect; names in a folder are never those of other files."""
    began = time.monotonic()
    settings = SettingsStore(paths).settings
    files = picture_files(options.files)
    to_file = options.out is not None and is_picture(options.out)
    if to_file and len(files) != 1:
        raise InvalidRequest(f"--out names one file, but there are {len(files)} pictures.", "Wanted: a folder.")
    format = options.format or (options.out.suffix[1:].lower() if to_file else None)
    if format:
        settings = settings.changed({"picture_format": format})
    from webui.engine.catalogue import open_catalogue
    from webui.engine.extensions import load_extensions, registries
    from webui.engine.session import Session
    from webui.workers.tasks import TaskJob
    from webui.workers.tasks.extras import of_file, work_on
    from webui.workers.worker import Control

    extensions = load_extensions([paths.program / "extensions"], registries())
    session = Session(settings, open_catalogue(settings), extensions, device, precision)
    report = ExtrasReport(sys.stderr.isatty() and not options.quiet)
    out = options.out.parent if to_file else options.out
    values = {"options": extras_options(options), "extensions": {}, "save": True, "out": str(out or "")}
    work_on([of_file(file) for file in files], values, TaskJob(session, report, Control(), paths.data))
    if to_file:
        report.pictures[0]["path"] = str(Path(report.pictures[0]["path"]).replace(options.out))
    if options.json:
        seconds = round(time.monotonic() - began, 3)
        print(json.dumps({"images": report.pictures, "seconds": seconds}, ensure_ascii=False, indent=1))
    else:
        for picture in report.pictures:
            print(picture["path"])
    return 0 if len(report.pictures) == len(files) else 1


def picture_files(files: Sequence[Path]) -> list[Path]:
    """The files that are named, and the pictures in the folders that are. Raises InvalidRequest where there is none."""
    from webui.workers.tasks.extras import SUFFIXES, pictures_in

    found: list[Path] = []
    for file in files:
        found += pictures_in(file) if file.is_dir() else [file]
    if not found:
        raise InvalidRequest("There is no picture.", f"Files that end in {', '.join(SUFFIXES)} were wanted.")
    return found


def extras_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `extras` as those of its job."""
    work = {name: getattr(options, name) for name in ("upscaler", "scale", "max_side", "upscaler_2", "visibility_2")}
    if options.width or options.height:
        size = {"width": options.width or options.height, "height": options.height or options.width}
        work |= {"mode": "to", "crop": not options.no_crop, **size}
    return work


class ExtrasReport:
    """What the extras job says, in a terminal."""

    def __init__(self, shown: bool):
        self.shown = shown
        self.pictures: list[dict[str, Any]] = []

    def __call__(self, kind: str, blob: bytes = b"", **values: Any) -> None:
        """Keep pictures; write notes and progress."""
        if kind == "picture":
            told = {"postprocessing": values["facts"]["postprocessing"]}
            self.pictures.append({name: values[name] for name in ("path", "width", "height", "infotext")} | told)
        elif kind == "note":
            print(values["text"], file=sys.stderr)
        elif kind == "progress" and self.shown:
            batch = f"{values['batch'] + 1} of {values['batches']}: " if values["batches"] > 1 else ""
            end = "\n" if values["step"] == values["steps"] else ""
            print(f"\r{batch}{values['step']}/{values['steps']} ", end=end, file=sys.stderr, flush=True)


def picture_info(files: list[Path], as_json: bool) -> int:
    """Print what pictures, or workflows, say of how they were made. The exit code is 1 if one of them says nothing."""
    from webui.exchange import read_document
    from webui.imaging.files import read_bytes

    infos = {}
    for file in files:
        try:
            infos[file] = read_document(read_bytes(file))
        except EmulsionError as error:
            if len(files) == 1:
                raise
            print(for_terminal(f"{file}: {error}"), file=sys.stderr)
    if as_json:
        rows = [{"file": str(file), **info.plain()} for file, info in infos.items()]
        print(json.dumps(rows[0] if len(files) == 1 else rows, indent=1))
    for file, info in [] if as_json else infos.items():
        lines = [f"{file}: {info.format}, {info.width}×{info.height}, {info.program or 'no known program'}"]
        lines += [request_to_infotext(info.request)] if info.request else [f"{n}: {t}" for n, t in info.items.items()]
        if info.request and info.postprocessing:
            lines.append(", ".join(f"{name}: {value}" for name, value in info.postprocessing.items()))
        lines += [f"not translated: {entry.name} ({entry.value}): {entry.reason}" for entry in info.left_out]
        print("\n".join(map(for_terminal, lines)))
    return 0 if len(infos) == len(files) and all(info.request is not None for info in infos.values()) else 1


def for_terminal(text: str) -> str:
    """A text from a file without what a terminal would obey or cannot show."""
    return "".join(c if c in "\n\t" or (c.isprintable() and not c.isspace()) or c == " " else "\ufffd" for c in text)


def list_models(paths: Paths, as_json: bool) -> int:
    """Print the checkpoints with their families."""
    from webui.engine.catalogue import open_catalogue

    catalogue = open_catalogue(SettingsStore(paths).settings)
    catalogue.library.read_pending("checkpoints")
    rows: list[dict[str, Any]] = []
    for file in catalogue.checkpoints():
        row: dict[str, Any] = {"title": file.title, "path": str(file.path), "size": file.size, "sha256": file.sha256}
        try:
            facts = catalogue.facts(file)
            rows.append({**row, "family": facts.label, "native_size": facts.native_size, "problem": None})
        except EmulsionError as error:
            rows.append({**row, "family": None, "native_size": None, "problem": str(error)})
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif not rows:
        print(f"There is no checkpoint in {paths.models}. Put a .safetensors file there.")
    for row in [] if as_json else rows:
        print(f"{row['title']}  {row['size'] / 2**20:.0f} MB  {row['family'] or row['problem']}")
    return 0


def inspect_model(file: Path, as_json: bool) -> int:
    """Print what one file holds, read off its header alone. The exit code is 1 if nothing here can use it."""
    from webui import families
    from webui.weights.header import read_header

    header = read_header(file)
    types = collections.Counter(str(info.dtype) for info in header.tensors.values())
    described: dict[str, Any] = {
        "file": str(file),
        "container": header.container,
        "tensors": len(header.tensors),
        "types": dict(types.most_common()),
        "metadata": {str(key): str(value)[:200] for key, value in header.metadata.items()},
    }
    try:
        facts = families.facts(header)
        described |= {
            "family": facts.label,
            "variant": facts.variant,
            "prediction": facts.prediction,
            "native_size": facts.native_size,
            "parts": list(facts.parts),
        }
    except EmulsionError as error:
        from webui.adapters.inspection import describe

        described |= describe(header) or {"problem": str(error)}
    if as_json:
        print(json.dumps(described, ensure_ascii=False, indent=1))
    else:
        for name, value in described.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key}: {inner}" for key, inner in value.items()) or "none"
            print(f"{name.replace('_', ' '):12} {(', '.join(value) or 'none') if isinstance(value, list) else value}")
    return 1 if "problem" in described else 0
