"""What `models download` and `models merge` do, and their options."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from webui.errors import InvalidRequest
from webui.paths import MODEL_FOLDERS, Paths
from webui.settings import SettingsStore

SHOWN_EVERY = 0.2  # seconds between two lines of progress


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Options of `models download`."""
    group = parser.add_argument_group("download", "models download ADDRESS, or OWNER/NAME[/FILE][@REVISION] of a hub")
    about = f"folder: {', '.join(MODEL_FOLDERS)}; default: what the file turns out to be"
    group.add_argument("--kind", default="", metavar="KIND", help=about)
    group.add_argument("--sha256", default="", metavar="DIGITS", help="the checksum that the file should have")


def add_merge_options(parser: argparse.ArgumentParser) -> None:
    """Options of `models merge`."""
    group = parser.add_argument_group("merge", "models merge A [B [C]] --out NAME; A is kept where nothing is merged")
    about = "Weighted sum, Add difference, Train difference, Cosine A, Cosine B, No interpolation"
    group.add_argument("--method", metavar="NAME", help=f"{about}; default: by the number of models")
    group.add_argument("--alpha", type=float, default=0.5, metavar="NUMBER", help="strength; default: 0.5")
    about = "one strength for each block, with commas: 25 (SD 1 and 2) or 19 (XL); one more in front is for the rest"
    group.add_argument("--blocks", default="", metavar="NUMBERS", help=about)
    group.add_argument("--vae", default="", metavar="NAME", help="a VAE to bake in")
    about = "a LoRA to bake in, as name:strength or name:strength:text (may be repeated)"
    group.add_argument("--lora", action="append", default=[], metavar="NAME:STRENGTH", help=about)
    about = "of the new file: keep, fp32, fp16, bf16 or fp8; default: fp16"
    group.add_argument("--precision", dest="save_as", default="fp16", metavar="TYPE", help=about)
    group.add_argument("--discard", default="", metavar="PATTERN", help="leave out tensors whose names this finds")
    group.add_argument("--drop-metadata", action="store_true", help="do not take over what A says about itself")
    group.add_argument("--no-recipe", action="store_true", help="do not note what it was made of")
    group.add_argument("--out", default="", metavar="NAME", help="name of the new checkpoint")


def download_model(options: argparse.Namespace, paths: Paths) -> int:
    """Fetch one file and print where it is."""
    from webui.library.download import Place, download, read_wish

    if len(options.names) != 1:
        raise InvalidRequest(f"{len(options.names)} addresses were given.", "Wanted: models download ADDRESS.")
    store = SettingsStore(paths)
    wish = read_wish(options.names[0], options.kind, options.sha256)
    done = download(wish, Place(paths, store.settings["hub_endpoint"], private=True), _bytes_shown())
    _end_line()
    for note in done.notes:
        print(note, file=sys.stderr)
    if options.json:
        told = {"path": str(done.path), "kind": done.kind, "sha256": done.sha256, "size": done.size}
        print(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        print(done.path)
    return 0


def merge_models(options: argparse.Namespace, paths: Paths) -> int:
    """Merge checkpoints and print where the result is."""
    from webui.engine.catalogue import open_catalogue
    from webui.merging.recipe import read_recipe
    from webui.workers.tasks.merge import merge_named

    usual = {1: "No interpolation", 2: "Weighted sum", 3: "Add difference"}
    recipe = read_recipe(
        {
            "method": options.method or usual.get(len(options.names), "Weighted sum"),
            "models": options.names,
            "name": options.out,
            "alpha": options.alpha,
            "blocks": options.blocks,
            "vae": options.vae,
            "loras": options.lora,
            "precision": options.save_as,
            "discard": options.discard,
            "copy_metadata": not options.drop_metadata,
            "write_recipe": not options.no_recipe,
        }
    )
    merged = merge_named(recipe, open_catalogue(SettingsStore(paths).settings), paths, _steps_shown())
    _end_line()
    for note in merged.notes:
        print(note, file=sys.stderr)
    if options.json:
        print(json.dumps({"path": str(merged.path), "notes": merged.notes}, ensure_ascii=False, indent=1))
    else:
        print(merged.path)
    return 0


def _bytes_shown() -> Callable[[int, int | None], None]:
    line = _Line()

    def show(done: int, whole: int | None) -> None:
        of = f" of {whole / 2**20:.0f} MB, {100 * done / whole:.0f} %" if whole else " MB"
        line.show(f"{done / 2**20:.0f}{of}", done == whole)

    return show


def _steps_shown() -> Callable[[str, int, int], None]:
    line = _Line()
    return lambda stage, step, steps: line.show(f"{stage} {step + 1} of {steps}", step + 1 == steps)


class _Line:
    """A line of the terminal that is written over; nothing where nobody watches."""

    def __init__(self) -> None:
        self._last = 0.0

    def show(self, text: str, at_once: bool) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and (at_once or now - self._last > SHOWN_EVERY):
            self._last = now
            print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
