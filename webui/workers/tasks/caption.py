"""The captioning job: pictures into words. Values: `images` (base64) and `captioner` (a name, "" the first one;
"clip" and "deepdanbooru" as A1111's clients ask). The outcome has `captions`, one a picture, and the `captioner`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from webui.captioning.names import find_captioner
from webui.errors import InvalidRequest

if TYPE_CHECKING:
    from webui.workers.tasks import TaskJob

DEFAULTS: dict[str, Any] = {"images": [], "captioner": ""}


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, complete. Raises InvalidRequest."""
    for name, value in values.items():
        if name not in DEFAULTS:
            raise InvalidRequest(f"There is no field {name!r}.", f"Known: {', '.join(DEFAULTS)}.")
        if not isinstance(value, type(DEFAULTS[name])):
            raise InvalidRequest(f"{name} is {value!r:.60}.", f"A {type(DEFAULTS[name]).__name__} was wanted.")
    whole = {**DEFAULTS, **values}
    if not whole["images"] or not all(isinstance(one, str) for one in whole["images"]):
        raise InvalidRequest("There is no picture.", "images: a list of base64 texts.")
    return whole


def run(values: Mapping[str, Any], job: TaskJob) -> None:
    """Describe the pictures one by one. Raises NotFound with what to do where no captioner is installed."""
    captions = put_into_words(values["images"], values["captioner"], job)
    captioner = find_captioner(values["captioner"], job.session.settings.paths)
    job.report("outcome", values={"captions": captions, "captioner": captioner.name})


def put_into_words(
    images: Sequence[str], name: str, job: TaskJob, batch: int = 0, batches: int | None = None
) -> list[str]:
    """A caption of each picture (base64) by the captioner of a name. Raises as `run`.

    `batch` and `batches`: where the first one stands in a job that does more than this.
    """
    from webui.captioning.loading import load_captioner
    from webui.imaging.files import load_picture
    from webui.imaging.profiles import in_srgb
    from webui.workers.tasks.extras import decoded

    captioner = find_captioner(name, job.session.settings.paths)
    pictures = [in_srgb(load_picture(decoded(image))) for image in images]
    whole = len(pictures) if batches is None else batches
    job.report("progress", stage="load", step=0, steps=1, batch=batch, batches=whole)
    describe = load_captioner(captioner, job.session.device)
    captions = []
    for index, picture in enumerate(pictures, batch):
        job.control.check()
        job.report("progress", stage="caption", step=0, steps=1, batch=index, batches=whole)
        captions.append(describe(picture))
    return captions
