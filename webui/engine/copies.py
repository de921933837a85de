"""What can be kept beside a finished picture: what it was on its way, its mask, and what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from webui.engine.output import infotext_facts, infotext_of, target
from webui.engine.pictures import picture_bytes
from webui.engine.plan import PicturePlan
from webui.engine.surroundings import Stage, Surroundings
from webui.errors import FileError
from webui.imaging.files import open_picture, place_file
from webui.imaging.metadata import save_picture
from webui.imaging.resize import stretched

# How A1111 calls these copies: what its file names end with.
BEFORE_HIRES, BEFORE_COLOURS = "before-highres-fix", "before-color-correction"
MASK, COMPOSITE = "mask", "mask-composite"
_WISHES = {MASK: ("save_masks", "return_masks"), COMPOSITE: ("save_mask_composites", "return_mask_composites")}


def keep_stage(
    given: Surroundings, pictures: Sequence[PicturePlan], number: int, name: str, images: Sequence[Image.Image]
) -> None:
    """Remember what pictures are after pass `number`, until `save_stages`; a second try takes the first one's place."""
    for picture, image in zip(pictures, images, strict=True):
        given.stages[picture.index, name] = Stage(image, number, matched=name != BEFORE_COLOURS)


def save_stages(given: Surroundings, picture: PicturePlan, path: Path | None) -> None:
    """Write the remembered stages of a picture beside its file, or where that would be: it may never be finished.

    Their infotexts say how to make what they show. What cannot be saved becomes a note.
    """
    session, plan = given.session, given.plan
    for index, name in [key for key in given.stages if key[0] == picture.index]:
        stage = given.stages.pop((index, name))
        infotext = infotext_of(plan, picture, session, infotext_facts(plan, session, picture), stage)
        place = path or target(plan, picture, stage.image, session)
        _save(given, stage.image, place, name, infotext)


def save_and_send_masks(
    given: Surroundings, picture: PicturePlan, image: Image.Image, infotext: str, path: Path | None
) -> None:
    """Save the mask of a finished picture and what was painted in it, and report them as pictures of their own, each
    where the settings want it."""
    settings = given.session.settings
    for name, made in _masks(given, picture, image):
        save, send = _WISHES[name]
        place = _save(given, made, path, name, infotext) if path and settings[save] else None
        if settings[send]:
            facts = {"seed": picture.seed, "variation_seed": picture.variation_seed, "index": picture.index}
            facts |= {"width": made.width, "height": made.height}
            told = {"path": str(place) if place else None, "image": made, "infotext": infotext, "aside": name}
            given.report.picture(**told, **facts)


def _masks(given: Surroundings, picture: PicturePlan, image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    count = len(given.plan.passes[0].settings.sources)
    source = given.sources.get((0, picture.index % count)) if count else None
    if source is None or source.paste is None:
        return
    mask = stretched(source.paste.mask, image.size)
    composite = image.convert("RGB")
    composite.putalpha(mask)
    yield MASK, mask
    yield COMPOSITE, composite


def save_source(given: Surroundings, picture: PicturePlan) -> None:
    """Keep the file that the picture was made from, once, under what its infotext calls "Init image hash"."""
    settings, sources = given.session.settings, given.plan.passes[0].settings.sources
    number = picture.index % len(sources) if sources else 0
    if not settings["save_sources"] or not given.plan.request.save or (0, number) not in given.sources:
        return
    data = picture_bytes(sources[number])
    kind = (open_picture(data).format or "PNG").lower().replace("jpeg", "jpg")
    folder = settings.paths.outputs / settings["folder_sources"]
    path = folder / f"{given.sources[0, number].fingerprint}.{kind}"
    if not path.exists():
        _told(given, lambda: place_file(data, path))


def _save(given: Surroundings, image: Image.Image, path: Path, name: str, infotext: str) -> Path | None:
    """Write a copy under the name of the picture at `path` and its own; where that format loses it, as PNG."""
    settings = given.session.settings
    format = "png" if image.mode == "RGBA" and settings["picture_format"] == "jpg" else settings["picture_format"]
    written = infotext if settings["write_infotext"] else ""
    place = path.with_name(f"{path.stem}-{name}.{format}")
    how = (format, settings["quality"], settings["webp_lossless"])
    return _told(given, lambda: save_picture(image, place, written, *how))


def _told(given: Surroundings, write: Callable[[], Path]) -> Path | None:
    """Write a copy and report it, or why it could not be written."""
    try:
        path = write()
        given.report.copy(path)
        return path
    except FileError as error:
        given.report.note(f"A copy was not saved. {error}")
        return None
