"""The extras job: one picture, several, or a folder of them, enlarged and saved with what they were made from.

Values: `images` (base64) with their `names`, or `folder`; `options` (see upscalers/extras.py); `extensions`, the
options of those that shall edit the results; `save` False keeps results out of the outputs; `out` is a folder for them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import Cancelled, EmulsionError, FileError, InvalidRequest
from webui.imaging.kinds import SUFFIXES
from webui.upscalers.extras import check_names, enhance, postprocessing_text, read_options, with_fields

if TYPE_CHECKING:
    from PIL import Image

    from webui.engine.hooks import HookChain
    from webui.workers.tasks import TaskJob

DEFAULTS: dict[str, Any] = {"images": [], "names": [], "folder": "", "out": "", "options": {}, "extensions": {}}
DEFAULTS |= {"save": True}


@dataclass(frozen=True)
class Source:
    """One picture to work on. `read` gives the bytes of its file."""

    name: str  # of the file, without suffix; empty where it has none
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Texts:
    """What a source says besides its pixels, and its result says too."""

    infotext: str
    others: Mapping[str, str]  # further texts of a PNG by keyword
    profile: bytes  # the ICC profile of its colours; empty where it has none that fits red, green, blue


class _Skipped(Exception):
    """Somebody asked to leave this picture and go on with the next."""


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, complete. Raises InvalidRequest."""
    for name, value in values.items():
        if name not in DEFAULTS:
            raise InvalidRequest(f"There is no field {name!r}.", f"Known: {', '.join(DEFAULTS)}.")
        kind = type(DEFAULTS[name])
        if not isinstance(value, Mapping if kind is dict else kind):
            raise InvalidRequest(f"{name} is {value!r:.60}.", f"A {kind.__name__} was wanted.")
    whole = {**DEFAULTS, **values}
    if not all(isinstance(one, str) for one in (*whole["images"], *whole["names"])):
        raise InvalidRequest("images and names hold something else than texts.", "Base64 texts were wanted.")
    if bool(whole["images"]) == bool(whole["folder"]):
        raise InvalidRequest("There is no picture." if not whole["images"] else "There are pictures and a folder.")
    read_options(whole["options"])
    return whole


def run(values: Mapping[str, Any], job: TaskJob) -> None:
    """Work on all pictures. In a batch, files that cannot be read become notes."""
    work_on(list(sources(values)), values, job)


def sources(values: Mapping[str, Any]) -> Iterator[Source]:
    """The pictures that the values name. Raises FileError for a folder that is not there or has no pictures."""
    for index, image in enumerate(values["images"]):
        name = values["names"][index] if index < len(values["names"]) else ""
        yield Source(Path(name).stem, lambda image=image: decoded(image))  # type: ignore[misc]
    if values["folder"]:
        folder = Path(values["folder"]).expanduser()
        if not folder.is_dir():
            raise FileError(f"There is no folder {folder}.", "A folder of this computer was wanted.")
        files = pictures_in(folder)
        if not files:
            raise FileError(f"The folder {folder} holds no pictures.", f"Wanted: {', '.join(SUFFIXES)}.")
        yield from (of_file(file) for file in files)


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder by name, without hidden ones. Raises FileError where it cannot be read."""
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"The folder {folder} cannot be read: {error.strerror or error}.") from None
    return [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]


def of_file(file: Path) -> Source:
    """A picture file as a source."""
    from webui.imaging.files import read_bytes

    return Source(file.stem, lambda: read_bytes(file))


def work_on(pictures: list[Source], values: Mapping[str, Any], job: TaskJob) -> None:
    """Enlarge pictures one after the other; every result is reported. Raises what fails unless there are several."""
    options = read_options(values["options"])
    check_names(options, job.session.settings.paths)
    hooks = _hooks(values["extensions"], job)
    for index, source in enumerate(pictures):
        if job.control.stopping.is_set():
            break
        try:
            _one(source, index, len(pictures), values, hooks, job)
        except _Skipped:
            job.report("note", text=f"{source.name or 'A picture'} was skipped.")
        except Cancelled:
            raise
        except EmulsionError as error:
            if len(pictures) == 1:
                raise
            job.report("note", text=f"{source.name or f'Picture {index + 1}'}: {error}")


def _one(source: Source, index: int, count: int, values: Mapping[str, Any], hooks: HookChain, job: TaskJob) -> None:
    from webui.imaging.files import is_animated, load_picture
    from webui.imaging.metadata import read_metadata
    from webui.imaging.profiles import in_srgb, rgb_profile

    def check_wishes() -> None:
        job.control.check()
        if job.control.skipped.is_set():
            job.control.skipped.clear()
            raise _Skipped

    def on_progress(done: int, total: int) -> None:
        job.report("progress", stage="upscale", step=done, steps=total, batch=index, batches=count)

    job.report("progress", stage="upscale", step=0, steps=1, batch=index, batches=count)
    check_wishes()
    data = source.read()
    metadata = read_metadata(data)
    settings = job.session.settings
    loaded = load_picture(data)
    profile = rgb_profile(loaded)  # the result keeps it, as no colour is lost so
    loaded = loaded if profile else in_srgb(loaded)
    if is_animated(data):
        text = f"{source.name or 'The picture'} holds several pictures: only the first is worked on."
        job.report("note", text=text)
    picture, fields = enhance(
        loaded,
        read_options(values["options"]),
        paths=settings.paths,
        device=job.session.device,
        check=check_wishes,
        on_progress=on_progress,
    )
    picture, fields = _edited(picture, fields, index, hooks)
    items = metadata.items if metadata.format == "PNG" else {}
    others = {name: text for name, text in items.items() if name not in ("parameters", "UserComment", "postprocessing")}
    texts = Texts(metadata.infotext or "", others, profile)
    _deliver(picture, source.name, index, texts, fields, values, job)


def _deliver(
    picture: Image.Image,
    name: str,
    index: int,
    texts: Texts,
    fields: Mapping[str, str],
    values: Mapping[str, Any],
    job: TaskJob,
) -> None:
    """Save a result and report it. PNG holds the source's texts and ours apart, other formats all in one."""
    from webui.imaging.metadata import save_picture
    from webui.imaging.names import NameFacts, output_path, safe_name
    from webui.imaging.resize import flattened

    settings = job.session.settings
    format = settings["picture_format"]
    if format == "jpg" and picture.has_transparency_data:
        picture = flattened(picture)
    saved = bool(values["save"])
    if saved and values["out"]:
        path = Path(values["out"]).expanduser() / f"{safe_name(name or f'{index:05}')}.{format}"
    elif saved:
        facts = NameFacts(width=picture.width, height=picture.height, basename=name)
        pattern = "[number]-[basename]" if name else "[number]"
        if name and settings["extras_own_names"]:
            pattern = "[basename]"
        if settings["folder_per_pattern"]:
            pattern = f"{settings['folder_pattern']}/{pattern}"
        path = output_path(settings.paths.outputs / settings["folder_extras"], pattern, facts, f".{format}")
    else:
        path = job.scratch / f"{index:04}.{format}"
    text = postprocessing_text(fields)
    items = {**texts.others, **({"postprocessing": text} if text else {})} if format == "png" else {}
    infotext = texts.infotext if format == "png" else with_fields(texts.infotext, fields)
    profile = texts.profile if picture.mode in ("RGB", "RGBA") else b""
    if not settings["write_infotext"]:
        infotext, items = "", {}
    how = (infotext, format, settings["quality"], settings["webp_lossless"], items, profile)
    try:
        path = save_picture(picture, path, *how)
    except FileError as error:
        if not saved or not values["images"]:
            raise  # whole folders are not kept twice
        from webui.engine.output import not_saved

        saved, path = False, save_picture(picture, job.scratch / f"{index:04}.{format}", *how)
        job.report("note", text=not_saved(error))
    if saved:
        _small_copy(picture, path, with_fields(texts.infotext, fields), job)
    size = {"width": picture.width, "height": picture.height}
    told = {"name": name, "index": index, "postprocessing": text}
    job.report("picture", path=str(path), infotext=infotext, seed=-1, **size, saved=saved, facts=told)


def _small_copy(picture: Image.Image, path: Path, infotext: str, job: TaskJob) -> None:
    from webui.imaging.small_copy import save_small_copy

    try:
        copy = save_small_copy(picture, path, infotext, job.session.settings)
        if copy:
            job.report("copy", path=str(copy))
    except FileError as error:
        job.report("note", text=f"A copy was not saved. {error}")


def _hooks(requested: Mapping[str, Any], job: TaskJob) -> HookChain:
    """The extensions that the values name, and no others: most take part in generating, not in enlarging."""
    from webui.engine.hooks import HookChain, begin_job

    options = job.session.extensions.check(requested)
    return HookChain(begin_job([one for one in job.session.extensions if one.name in requested], options))


def _edited(
    picture: Image.Image, fields: dict[str, str], index: int, hooks: HookChain
) -> tuple[Image.Image, dict[str, str]]:
    """The picture after every extension's `edit_image`, and the fields that they added."""
    if not hooks.chain:
        return picture, fields
    import numpy as np
    import torch

    from webui.extend import PictureInfo
    from webui.imaging.convert import to_pictures

    pixels = np.asarray(picture.convert("RGB"), np.float32) / 255
    pixels, info = hooks.edit_image(pixels, PictureInfo(index, -1, fields))
    result = to_pictures(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1))[0]
    if picture.has_transparency_data and result.size == picture.size:
        result.putalpha(picture.getchannel("A"))
    return result, {name: str(value) for name, value in info.fields.items()}


def decoded(image: str) -> bytes:
    """The bytes of a picture in base64, with or without a data address before it. Raises InvalidRequest."""
    try:
        return base64.b64decode(image.partition(",")[2] if image.startswith("data:") else image, validate=True)
    except ValueError:  # binascii.Error is one
        raise InvalidRequest("A picture is not base64.", "The bytes of a picture file in base64 were wanted.") from None
