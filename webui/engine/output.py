"""From decoded numbers to a picture file with its infotext, and from an infotext back to a request."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from webui.engine import adapters, aesthetic, embeddings
from webui.engine.catalogue import Catalogue, CheckpointFile
from webui.engine.control import Reporter
from webui.engine.extensions import Extensions
from webui.engine.plan import PicturePlan, Plan, picture_request
from webui.engine.session import Session
from webui.engine.surroundings import Stage
from webui.environment import program_version
from webui.errors import FileError
from webui.extend import PictureInfo
from webui.imaging.convert import to_pictures
from webui.imaging.files import place_file
from webui.imaging.grid import grid_rows, sheet
from webui.imaging.metadata import save_picture
from webui.imaging.names import NameFacts, output_path, request_facts
from webui.imaging.small_copy import save_small_copy
from webui.infotext import infotext_to_request, request_to_infotext
from webui.request import GenerationRequest, replace


def finish(
    plan: Plan,
    picture: PicturePlan,
    pixels: np.ndarray,
    session: Session,
    report: Reporter,
    source_hash: str | None = None,
) -> tuple[Image.Image, str, Path | None]:
    """Run the picture hooks over `pixels` [H, W, 3] in [0, 1], write the infotext, save if it is wanted.

    `source_hash` tells which picture it was made from. `report` is told why it could not be saved: minutes of work
    are not given up for a full disk.

    Returns picture, infotext and path (None when it was not saved). Raises ExtensionError.
    """
    facts = infotext_facts(plan, session, picture) | ({"Init image hash": source_hash} if source_hash else {})
    info = PictureInfo(picture.index, picture.seed, facts)
    pixels, info = plan.hooks.edit_image(pixels, info)
    image = to_pictures(torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(2, 0, 1))[0]

    infotext = infotext_of(plan, picture, session, info.fields)
    try:
        path = save(plan, picture, image, infotext, session) if plan.request.save else None
    except FileError as error:
        report.note(not_saved(error))
        return image, infotext, None
    try:
        if path and (copy := save_small_copy(image, path, infotext, session.settings)):
            report.copy(copy)
    except FileError as error:
        report.note(f"A copy was not saved. {error}")
    return image, infotext, path


def infotext_of(
    plan: Plan, picture: PicturePlan, session: Session, fields: Mapping[str, Any], stage: Stage | None = None
) -> str:
    """The infotext of a finished picture, or of what it was at a stage on its way."""

    def named(file: CheckpointFile) -> str:
        return f"{file.stem} [{session.catalogue.sha256(file)[:10]}]"

    request = picture_request(plan, picture, named)
    if stage is not None:
        *before, last = request.passes[: stage.after + 1]
        last = dataclasses.replace(last, match_colours=last.match_colours and stage.matched)
        request = replace(request, passes=(*before, last))
    return request_to_infotext(request, fields, version())


def not_saved(error: FileError) -> str:
    """What is said of a picture that had to stay among those that nobody asked to save."""
    return f"{error} The picture was not saved there, but is kept elsewhere for some hours."


def infotext_facts(plan: Plan, session: Session, picture: PicturePlan) -> dict[str, Any]:
    """Infotext fields beside the request's own: hashes, and what extensions were told."""
    facts: dict[str, Any] = {"Model hash": session.catalogue.sha256(plan.checkpoint)[:10]}
    if plan.vae is not None:
        facts["VAE hash"] = session.catalogue.sha256(plan.vae)[:10]
    facts |= adapters.infotext_hashes(picture.adapters, session.catalogue)
    facts |= embeddings.infotext_hashes(picture.embeddings, session.catalogue)
    facts |= aesthetic.infotext_hashes(plan.request.aesthetic, session.catalogue)
    return facts | session.extensions.infotext_fields(plan.request.extensions)


def save(plan: Plan, picture: PicturePlan, image: Image.Image, infotext: str, session: Session) -> Path:
    """Write the picture where the settings want it, whole or not at all. Raises FileError."""
    settings, path = session.settings, target(plan, picture, image, session)
    written = infotext if settings["write_infotext"] else ""
    format = settings["picture_format"]
    path = save_picture(image, path, written, format, settings["quality"], settings["webp_lossless"])
    if settings["infotext_files"]:
        place_file(infotext.encode("utf-8", "replace"), path.with_suffix(".txt"))
    return path


def target(plan: Plan, picture: PicturePlan, image: Image.Image, session: Session) -> Path:
    """Where the settings want the picture."""
    settings = session.settings
    kind = "img2img" if plan.request.passes[0].source == "image" else "txt2img"
    facts = _name_facts(plan, picture, image, session)
    pattern = settings["name_pattern"]
    if settings["folder_per_pattern"]:
        pattern = f"{settings['folder_pattern']}/{pattern}"
    folder = settings.paths.outputs / settings[f"folder_{kind}"]
    return output_path(folder, pattern, facts, f".{settings['picture_format']}")


def save_grid(plan: Plan, pictures: Sequence[Image.Image], infotext: str, session: Session) -> list[Path]:
    """One more file, with all pictures of a job and the first one's infotext, and its small copy where one is wanted.

    Raises FileError."""
    settings = session.settings
    image = sheet(pictures, rows=grid_rows(settings["grid_rows"], plan.request.batch_size))
    facts = _name_facts(plan, plan.pictures[0], image, session)
    format = settings["picture_format"]
    folders, _, name = settings["name_pattern"].rpartition("/") if settings["grid_name_pattern"] else ("", "", "[seed]")
    parts = (settings["folder_pattern"] if settings["folder_per_pattern"] else "", folders, f"grid-{name}")
    pattern = "/".join(part for part in parts if part)
    path = output_path(settings.paths.outputs / settings["folder_grids"], pattern, facts, f".{format}")
    written = infotext if settings["write_infotext"] else ""
    path = save_picture(image, path, written, format, settings["quality"], settings["webp_lossless"])
    copy = save_small_copy(image, path, infotext, settings)
    return [path, copy] if copy else [path]


def _name_facts(plan: Plan, picture: PicturePlan, image: Image.Image, session: Session) -> NameFacts:
    seeds = [one.seed for one in plan.pictures]
    return request_facts(
        plan.request,
        picture.index,
        styles=plan.asked.styles,
        prompt_no_styles=plan.asked.prompt,
        seed=picture.seed,
        seed_first=seeds[0],
        seed_last=seeds[-1],
        model_name=plan.checkpoint.stem,
        model_hash=session.catalogue.sha256(plan.checkpoint)[:10],
        vae_filename=plan.vae.stem if plan.vae else "",
        image_hash=hashlib.sha256(image.tobytes()).hexdigest(),
        job_time=plan.made,
    )


def read_request(
    infotext: str, extensions: Extensions, catalogue: Catalogue | None = None
) -> tuple[GenerationRequest, dict[str, str]]:
    """The request of an infotext with the options of extensions, and the fields that nothing here knows.

    With a catalogue, LoRAs that were renamed since are found by their hashes.
    """
    request, rest = infotext_to_request(infotext)
    if catalogue is not None:
        request = replace(request, prompt=adapters.with_present_names(request.prompt, rest, catalogue))
        request = aesthetic.with_present_name(request, rest, catalogue)
    options = extensions.read_fields(rest)
    known = {option.infotext_key for extension in extensions for option in extension.options}
    if request.checkpoint and "Model hash" in rest:  # of several files of one name, the one that drew the picture
        request = replace(request, checkpoint=f"{request.checkpoint} [{rest.pop('Model hash')}]")
    return replace(request, extensions=options), {key: value for key, value in rest.items() if key not in known}


@cache
def version() -> str:
    """The program's version, from pyproject.toml."""
    return program_version()
