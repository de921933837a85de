"""The extras job: pictures in, pictures out, with what they were made from."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from tests.imaging.pictures import grey_profile
from tests.upscalers.networks import paths_with
from webui.engine.extensions import ExtensionEntry, Extensions
from webui.errors import Cancelled, DamagedFile, FileError, InvalidRequest, NotFound
from webui.extend import Extension, JobHooks, Option, PictureInfo
from webui.imaging.metadata import encode_picture, read_metadata
from webui.settings import Settings
from webui.workers.tasks import TaskJob, extras
from webui.workers.worker import Control

INFOTEXT = "a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 24x16"
DOUBLE = {"upscaler": "Nearest", "scale": 2}
TEXT = "Postprocess upscale by: 2, Postprocess upscaler: Nearest"


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8))


def encoded(**how):
    return base64.b64encode(encode_picture(picture(), INFOTEXT, **how)).decode()


class Invert(JobHooks):
    def edit_image(self, image, info):
        return 1 - image, PictureInfo(info.index, info.seed, {**info.fields, "Inverted": "yes"})


class Inverting(Extension):
    name = "invert"
    options = (Option("strength", "Strength", 1.0, 0, 1),)

    def begin(self, options):
        return Invert() if options["strength"] else None


@pytest.fixture
def job(tmp_path):
    reports = []
    session = SimpleNamespace(
        settings=Settings(paths_with(tmp_path)),
        device=torch.device("cpu"),
        extensions=Extensions([ExtensionEntry("invert", None, Inverting())]),
    )
    report = lambda kind, blob=b"", **values: reports.append({"kind": kind, **values})  # noqa: E731
    job = TaskJob(session, report, Control(), tmp_path / "scratch")
    job.scratch.mkdir()
    return job, lambda kind: [one for one in reports if one["kind"] == kind]


def done(job, **values):
    task, reports = job
    extras.run(extras.check(values), task)
    return reports("picture")


def test_a_picture_is_saved_with_its_infotext_and_what_was_done(job, tmp_path):
    (result,) = done(job, images=[encoded()], names=["my cat.png"], options=DOUBLE)
    assert (result["width"], result["height"], result["saved"], result["seed"]) == (48, 32, True, -1)
    path = tmp_path / "outputs" / "extras"
    assert result["path"].startswith(str(path)) and result["path"].endswith("-my cat.png")
    assert read_metadata(Path(result["path"])).items == {"parameters": INFOTEXT, "postprocessing": TEXT}
    assert Image.open(result["path"]).tobytes() == picture().resize((48, 32), Image.NEAREST).tobytes()
    assert result["infotext"] == INFOTEXT and result["facts"]["postprocessing"] == TEXT


def test_a_format_with_room_for_one_text_gets_both_in_one(job):
    task, _ = job
    task.session.settings = task.session.settings.changed({"picture_format": "webp"})
    (result,) = done(job, images=[encoded(format="jpg")], options=DOUBLE)
    assert read_metadata(Path(result["path"])).infotext == f"{INFOTEXT}, {TEXT}"


def test_other_texts_of_a_png_are_taken_along(job):
    source = encode_picture(picture(), INFOTEXT, items={"workflow": "{}", "postprocessing": "old"})
    (result,) = done(job, images=[base64.b64encode(source).decode()], options=DOUBLE)
    items = read_metadata(Path(result["path"])).items
    assert items == {"parameters": INFOTEXT, "workflow": "{}", "postprocessing": TEXT}


def test_what_is_not_to_be_saved_lies_in_the_scratch_folder(job, tmp_path):
    (result,) = done(job, images=[encoded()], options=DOUBLE, save=False)
    assert not result["saved"] and result["path"].startswith(str(tmp_path / "scratch"))
    assert not (tmp_path / "outputs").exists()


def test_a_folder_goes_in_and_another_comes_out_under_the_same_names(job, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(encode_picture(picture()))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    results = done(job, folder=str(tmp_path / "in"), out=str(tmp_path / "out"), options=DOUBLE)
    assert [one["path"] for one in results] == [str(tmp_path / "out" / name) for name in ("a.png", "b.png")]
    (note,) = job[1]("note")
    assert "broken: The picture cannot be read" in note["text"]
    again = done(job, folder=str(tmp_path / "in"), out=str(tmp_path / "out"), options=DOUBLE)
    assert again[-1]["path"] == str(tmp_path / "out" / "b-1.png")


def test_a_folder_without_pictures_is_told(job, tmp_path):
    with pytest.raises(FileError, match=r"There is no folder .*nowhere"):
        done(job, folder=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no pictures"):
        done(job, folder=str(tmp_path / "empty"))


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "avif"])
def test_the_meaning_of_colours_is_taken_along(job, format):
    task, _ = job
    task.session.settings = task.session.settings.changed({"picture_format": format})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = base64.b64encode(encode_picture(picture(), profile=profile)).decode()
    coloured, grey = done(job, images=[source, grey_with(profile)], options=DOUBLE)
    assert Image.open(coloured["path"]).info["icc_profile"] == profile
    assert "icc_profile" not in Image.open(grey["path"]).info


def test_greys_of_another_profile_become_ordinary_ones(job):
    data = encode_picture(Image.new("L", (8, 8), 100), profile=grey_profile(1.0))
    (result,) = done(job, images=[base64.b64encode(data).decode()], options=DOUBLE)
    made = Image.open(result["path"])
    assert made.mode == "L" and "icc_profile" not in made.info
    assert abs(made.getpixel((0, 0)) - 255 * (1.055 * (100 / 255) ** (1 / 2.4) - 0.055)) <= 2  # light as it is, in sRGB


def grey_with(profile):
    return base64.b64encode(encode_picture(picture().convert("L"), profile=profile)).decode()


def test_of_an_animation_the_first_picture_is_taken_and_that_is_told(job):
    file = io.BytesIO()
    picture().save(file, "WEBP", save_all=True, append_images=[Image.new("RGB", (24, 16))], lossless=True)
    (result,) = done(job, images=[base64.b64encode(file.getvalue()).decode()], names=["cat.webp"], options=DOUBLE)
    assert Image.open(result["path"]).tobytes() == picture().resize((48, 32), Image.NEAREST).tobytes()
    assert job[1]("note")[0]["text"] == "cat holds several pictures: only the first is worked on."


def test_a_single_picture_that_cannot_be_read_fails_the_job(job):
    with pytest.raises(DamagedFile):
        done(job, images=[base64.b64encode(b"no picture").decode()])
    with pytest.raises(InvalidRequest, match="not base64"):
        done(job, images=["?"])


def test_a_wrong_upscaler_fails_before_any_picture_is_read(job):
    with pytest.raises(NotFound, match="no upscaler named"):
        done(job, images=["?"], options={"upscaler": "gone"})


def test_extensions_edit_results_when_the_job_names_them(job):
    plain, inverted = done(job, images=[encoded()]), done(job, images=[encoded()], extensions={"invert": {}})
    wanted = 255 - np.asarray(Image.open(plain[0]["path"]), int)
    assert abs(np.asarray(Image.open(inverted[1]["path"]), int) - wanted).max() <= 1
    assert inverted[1]["facts"]["postprocessing"] == "Inverted: yes"


def test_a_job_can_be_interrupted_skipped_and_stopped(job):
    task, reports = job
    task.control.skipped.set()
    assert len(done(job, images=[encoded(), encoded()], options=DOUBLE)) == 1
    assert "was skipped" in reports("note")[0]["text"]
    task.control.stopping.set()
    assert len(done(job, images=[encoded()], options=DOUBLE)) == 1
    task.control.stopping.clear()
    task.control.interrupted.set()
    with pytest.raises(Cancelled):
        done(job, images=[encoded()], options=DOUBLE)


def test_progress_tells_the_picture_and_its_tiles(job):
    done(job, images=[encoded(), encoded()], options=DOUBLE)
    assert [(one["batch"], one["batches"], one["step"]) for one in job[1]("progress")] == [(0, 2, 0), (1, 2, 0)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "There is no picture"),
        ({"images": ["x"], "folder": "y"}, "pictures and a folder"),
        ({"images": "x"}, "images is 'x'. A list"),
        ({"images": [1]}, "Base64 texts"),
        ({"images": ["x"], "options": {"scale": 0}}, "scale is 0.0"),
        ({"images": ["x"], "size": 1}, "no field 'size'"),
    ],
)
def test_wrong_values_are_refused(values, told):
    with pytest.raises(InvalidRequest, match=told):
        extras.check(values)


def test_checking_loads_no_torch():
    code = (
        "import sys; from webui.workers.tasks import task\n"
        "task('extras').check({'images': ['x']}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_result_that_cannot_be_saved_is_kept_and_the_reason_told(job, tmp_path):
    task, told = job
    outputs = task.session.settings.paths.outputs
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / "blocked").write_bytes(b"")
    task.session.settings = task.session.settings.changed({"folder_extras": "blocked"})
    (result,) = done(job, images=[encoded()], options=DOUBLE)
    assert not result["saved"] and Image.open(result["path"]).size == (48, 32)
    assert "blocked" in told("note")[0]["text"] and "kept elsewhere" in told("note")[0]["text"]


def test_a_result_keeps_the_name_of_its_source_where_that_is_wanted_and_has_a_small_copy(job):
    task, _ = job
    wanted = {"folder_per_pattern": False, "use_original_name_batch": True, "export_for_4chan": True}
    task.session.settings = task.session.settings.changed({**wanted, "target_side_length": 64})
    (result,) = done(job, images=[encoded()], names=["cat.webp"], options=DOUBLE | {"scale": 4})
    path = Path(result["path"])
    assert path.name == "cat.png" and Image.open(path).size == (96, 64)
    copy = path.with_suffix(".jpg")
    assert Image.open(copy).size == (64, 43) and "Postprocess upscaler: Nearest" in read_metadata(copy).infotext
