"""Batches: many pictures through img2img, each with what its own infotext says, as far as wanted.

One script takes files that were sent from a browser, the other one folders of the machine that the program runs on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from webui.errors import EmulsionError, FileError, InvalidRequest
from webui.exchange import read_picture
from webui.extend import SCRIPTS, Cell, Draw, NamedFile, Option, Script
from webui.imaging.files import picture_size
from webui.imaging.kinds import SUFFIXES
from webui.request import GenerationRequest, replace

FILES_TITLE, FOLDER_TITLE = "Batch from files", "Batch from a folder"
MOST_FILES = 10_000
USUAL_STRENGTH = 0.75  # of denoising, where nothing is said
# Stands for a picture that a request must have and that the script's own pictures replace: one white pixel.
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="

FROM_FILES = (
    Option("files", "Pictures", "", pictures=True, help="Taken in the order in which they are listed."),
    Option(
        "mask_files", "Masks", "", pictures=True, help="Of the same names, for inpainting; or one for all pictures."
    ),
)
FROM_FOLDERS = (
    Option("folder", "Input folder", "", help="A folder of this machine; its pictures are taken in order of name."),
    Option("masks", "Mask folder", "", help="Masks of the same names for inpainting; or one mask for all pictures."),
)
ABOUT_EACH = (
    Option("own_size", "Use each picture's own size", False),
    Option(
        "use_infotext", "Use the pictures' own settings", False, help="Those chosen below, where a picture says them."
    ),
    Option("prompt", "Prompt", True, help="Added behind the prompt above."),
    Option("negative_prompt", "Negative prompt", True, help="Added behind the negative prompt above."),
    Option("seed", "Seed", True),
    Option("guidance_scale", "CFG scale", True),
    Option("sampler", "Sampler", True),
    Option("steps", "Steps", True),
    Option("checkpoint", "Checkpoint", False),
)
SETTINGS_FOLDER = Option(
    "infotext_folder", "Folder of the settings", "", help="Pictures of the same names to read settings from."
)

Take: TypeAlias = Callable[[GenerationRequest, GenerationRequest], GenerationRequest]  # the job's, the picture's


def _behind(field: str) -> Take:
    def take(request: GenerationRequest, said: GenerationRequest) -> GenerationRequest:
        words = [text for text in (getattr(request, field), getattr(said, field)) if text]
        return replace(request, **{field: " ".join(words)})

    return take


def _of_pass(*fields: str) -> Take:
    def take(request: GenerationRequest, said: GenerationRequest) -> GenerationRequest:
        first, *others = request.passes
        own = {field: getattr(said.passes[0], field) for field in fields}
        return replace(request, passes=(dataclasses.replace(first, **own), *others))

    return take


def _guidance(request: GenerationRequest, said: GenerationRequest) -> GenerationRequest:
    first, *others = request.passes
    guidance = dataclasses.replace(first.guidance, scale=said.passes[0].guidance.scale)
    return replace(request, passes=(dataclasses.replace(first, guidance=guidance), *others))


TAKEN: Mapping[str, Take] = {
    "prompt": _behind("prompt"),
    "negative_prompt": _behind("negative_prompt"),
    "seed": lambda request, said: replace(request, seed=said.seed),
    "guidance_scale": _guidance,
    "sampler": _of_pass("sampler", "schedule"),
    "steps": _of_pass("steps"),
    "checkpoint": lambda request, said: replace(request, checkpoint=said.checkpoint or request.checkpoint),
}


def plan_files(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """One cell a picture that was sent. Raises InvalidRequest where there is none."""
    files, masks = arguments["files"], arguments["mask_files"]
    if not files:
        raise InvalidRequest("No picture was chosen.", "At least one was wanted.", "Choose files below.")
    return _plan(request, arguments, draw, list(files), list(masks))


def plan_folder(request: GenerationRequest, arguments: Mapping[str, Any], draw: Draw) -> list[Cell]:
    """One cell a picture of the folder. Raises FileError for a folder that is not there or empty."""
    files = pictures_in(arguments["folder"])
    return _plan(request, arguments, draw, files, pictures_in(arguments["masks"]) if arguments["masks"] else [])


def _plan(
    request: GenerationRequest,
    arguments: Mapping[str, Any],
    draw: Draw,
    files: Sequence[NamedFile],
    masks: Sequence[NamedFile],
) -> list[Cell]:
    if request.passes[0].source != "image":
        raise InvalidRequest("A batch of pictures is made in img2img.", "", "Choose that tab.")
    by_name = {Path(mask.name).stem: mask.path for mask in masks}
    seed = draw() if request.seed < 0 else request.seed
    cells = []
    for number, file in enumerate(files):
        made = replace(request, seed=seed)
        if arguments["own_size"]:
            made = _sized(made, file.path)
        if arguments["use_infotext"]:
            made = _with_settings(made, file, arguments)
        mask = masks[0].path if len(masks) == 1 else by_name.get(Path(file.name).stem)
        if masks and mask is None:
            raise FileError(f"There is no mask for {file.name}.", "One of the same name was wanted, or one for all.")
        cells.append(Cell(made, (file.name,), (0, number, 0), start=file.path, mask=mask))
    return cells


def with_place_for_pictures(request: GenerationRequest) -> GenerationRequest:
    """A request from noise as one from a picture, for cells that bring theirs."""
    first, *others = request.passes
    if first.source == "image":
        return request
    changed = dataclasses.replace(first, source="image", image=ONE_PIXEL, denoising_strength=USUAL_STRENGTH)
    return replace(request, passes=(changed, *others))


def pictures_in(name: str) -> list[NamedFile]:
    """The picture files of a folder, by name. Raises FileError where there are none."""
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise FileError(f"The folder {name!r} is not there." if name else "No folder is named.", "A folder was wanted.")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not files:
        raise FileError(f"The folder {name} holds no pictures.", f"Wanted: {', '.join(SUFFIXES)}.")
    if len(files) > MOST_FILES:
        raise FileError(f"The folder {name} holds {len(files)} pictures.", f"At most {MOST_FILES} are taken.")
    return [NamedFile(file.name, file) for file in files]


def _sized(request: GenerationRequest, file: Path) -> GenerationRequest:
    try:
        width, height = (max(16, side // 8 * 8) for side in picture_size(file))
    except EmulsionError:
        return request  # the cell will say what is wrong with the file
    first, *others = request.passes
    return replace(request, passes=(dataclasses.replace(first, width=width, height=height), *others))


def _with_settings(request: GenerationRequest, file: NamedFile, arguments: Mapping[str, Any]) -> GenerationRequest:
    source = file.path
    if arguments.get("infotext_folder"):
        folder, stem = Path(arguments["infotext_folder"]).expanduser(), Path(file.name).stem
        source = next((one for one in sorted(folder.glob(f"{stem}.*")) if one.suffix.lower() in SUFFIXES), source)
    try:
        said = read_picture(source).request
    except EmulsionError:
        said = None
    if said is None:
        return request
    for name, take in TAKEN.items():
        if arguments[name]:
            request = take(request, said)
    return request


SCRIPTS.register(FILES_TITLE)(Script((*FROM_FILES, *ABOUT_EACH), plan_files, tabs=("img2img",), own_pictures=True))
SCRIPTS.register(FOLDER_TITLE)(
    Script((*FROM_FOLDERS, *ABOUT_EACH, SETTINGS_FOLDER), plan_folder, tabs=("img2img",), own_pictures=True, local=True)
)
