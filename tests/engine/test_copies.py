"""What is kept beside a finished picture: what it was before, its mask, what it was made from, and a small JPEG."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.pictures import as_base64, noise_picture, pixels
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.errors import Cancelled
from webui.extend import JobHooks
from webui.imaging.metadata import read_metadata
from webui.request import Pass, replace

HIRES = Pass(source="previous", width=96, height=96, steps=2, sampler="Euler", denoising_strength=0.5)


@pytest.fixture
def outputs(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty outputs folder; `outputs(**settings)` changes settings for the test."""
    before = session.settings

    def change(**changes) -> Path:
        paths = dataclasses.replace(before.paths, outputs=tmp_path)
        session.settings = dataclasses.replace(before, paths=paths).changed({"folder_per_pattern": False} | changes)
        return tmp_path

    yield change
    session.settings = before


def hires(wanted, **fields):
    request = wanted(**fields)
    return replace(request, passes=(*request.passes, HIRES))


def painted(wanted, **fields):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    source = {"source": "image", "image": as_base64(noise_picture()), "mask": as_base64(mask)}
    return wanted(**source, denoising_strength=0.9, **fields)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())


def test_nothing_is_kept_beside_a_picture_unless_that_is_wanted(make, wanted, outputs):
    folder = outputs()
    make(hires(wanted))
    make(painted(wanted, match_colours=True))
    assert names(folder) == ["img2img/00000-5.png", "txt2img/00000-5.png"]
    assert not any("aside" in event for event in make.events)


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_the_picture_before_hires_fix_is_the_one_that_its_infotext_makes(make, wanted, outputs, session, upscaler):
    folder = outputs(save_before_hires=True)
    request = hires(wanted, batch_size=2)
    last = dataclasses.replace(HIRES, upscaler=upscaler)
    make(replace(request, passes=(request.passes[0], last)))
    first = ["00000-5-before-highres-fix.png", "00000-5.png"]
    assert names(folder / "txt2img") == [*first, "00001-6-before-highres-fix.png", "00001-6.png"]
    copy = folder / "txt2img" / "00001-6-before-highres-fix.png"
    again, _ = read_request(read_metadata(copy).infotext, session.extensions, session.catalogue)
    assert len(again.passes) == 1 and again.seed == 6
    (made,) = make(replace(again, save=False))
    assert np.abs(pixels(made.image).astype(int) - pixels(Image.open(copy)).astype(int)).max() <= 1


def test_a_picture_that_is_enlarged_afterwards_is_not_kept_twice(make, wanted, outputs):
    folder = outputs(save_before_hires=True)
    make(hires(wanted, source="image", image=as_base64(noise_picture()), denoising_strength=0.0))
    assert names(folder) == ["img2img/00000-5.png"]


class Ending(JobHooks):
    """Fails in the second pass."""

    def edit_start(self, start):
        if start.pass_index:
            raise Cancelled("The job was interrupted.")
        return start


def test_the_picture_before_hires_fix_outlives_an_interrupted_hires_fix(make, wanted, outputs):
    folder = outputs(save_before_hires=True)
    with pytest.raises(Cancelled):
        make(hires(wanted), hooks=[Ending()])
    assert names(folder) == ["txt2img/00000-5-before-highres-fix.png"]


def test_the_picture_before_its_colours_are_matched_is_kept_with_its_mask_obeyed(make, wanted, outputs):
    folder = outputs(save_before_colours=True)
    (made,) = make(painted(wanted, match_colours=True))
    (plain,) = make(painted(wanted, save=False))
    copy = folder / "img2img" / "00000-5-before-color-correction.png"
    assert np.array_equal(pixels(Image.open(copy)), pixels(plain.image))
    assert not np.array_equal(pixels(made.image), pixels(plain.image))
    assert "Color correction" in made.infotext and "Color correction" not in read_metadata(copy).infotext


def test_masks_are_saved_beside_the_picture_and_sent_after_it(make, wanted, outputs):
    folder = outputs(save_mask=True, save_mask_composite=True, return_mask=True, return_mask_composite=True)
    (made,) = make(painted(wanted, batch_size=1))
    assert names(folder / "img2img") == ["00000-5-mask-composite.png", "00000-5-mask.png", "00000-5.png"]
    mask = Image.open(folder / "img2img" / "00000-5-mask.png")
    composite = Image.open(folder / "img2img" / "00000-5-mask-composite.png")
    assert mask.mode == "L" and mask.getpixel((2, 30)) == 255 and mask.getpixel((62, 30)) == 0
    assert composite.mode == "RGBA" and composite.getchannel("A").tobytes() == mask.tobytes()
    assert composite.convert("RGB").tobytes() == made.image.tobytes()
    told = [event for event in make.events if event["type"] == "picture"]
    assert [event.get("aside") for event in told] == [None, "mask", "mask-composite"]
    assert {event["infotext"] for event in told} == {made.infotext}


def test_a_composite_keeps_its_transparency_where_pictures_are_jpeg(make, wanted, outputs):
    folder = outputs(save_mask_composite=True, picture_format="jpg")
    make(painted(wanted))
    assert names(folder / "img2img") == ["00000-5-mask-composite.png", "00000-5.jpg"]


def test_masks_are_sent_of_pictures_that_nobody_saves_and_no_file_is_left(make, wanted, outputs):
    folder = outputs(save_mask=True, return_mask=True, save_init_img=True, save_before_hires=True)
    make(painted(wanted, save=False))
    assert not names(folder)
    assert [event["path"] for event in make.events if event.get("aside") == "mask"] == [None]


def test_a_source_is_kept_once_under_the_hash_that_its_pictures_tell(make, wanted, outputs):
    folder = outputs(save_init_img=True)
    (made,) = make(painted(wanted))
    make(painted(wanted, seed=6))
    (name,) = names(folder / "init-images")
    assert f"Init image hash: {Path(name).stem}," in made.infotext
    assert np.array_equal(pixels(Image.open(folder / "init-images" / name)), pixels(noise_picture()))


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({"target_side_length": 64}, None),
        ({"target_side_length": 80}, (80, 64)),
        ({"img_downscale_threshold": 0.01}, (120, 96)),
    ],
)
def test_a_large_picture_is_saved_as_a_smaller_jpeg_too(make, wanted, outputs, limits, size):
    folder = outputs(export_for_4chan=size is not None, **limits)
    (made,) = make(wanted(width=120, height=96))
    if size is None:
        assert names(folder) == ["txt2img/00000-5.png"]
    else:
        assert names(folder) == ["txt2img/00000-5.jpg", "txt2img/00000-5.png"]
        copy = folder / "txt2img" / "00000-5.jpg"
        assert Image.open(copy).size == size and read_metadata(copy).infotext == made.infotext


def test_a_copy_that_cannot_be_saved_is_told_and_costs_no_picture(make, wanted, outputs):
    folder = outputs(save_init_img=True)
    (folder / "init-images").write_bytes(b"")
    (made,) = make(painted(wanted))
    assert made.path.is_file()
    assert any("A copy was not saved." in event.get("text", "") for event in make.events)


def test_a_second_try_after_memory_ran_out_keeps_one_copy(session, wanted, outputs, monkeypatch):
    folder, failed = outputs(save_before_hires=True), []

    class Full(JobHooks):
        def edit_start(self, start):
            if start.pass_index and not failed:
                failed.append(1)
                raise MemoryError
            return start

    from webui.engine.hooks import HookChain, NamedHooks

    plan = make_plan(hires(wanted), session.catalogue, session.extensions)
    run(dataclasses.replace(plan, hooks=HookChain((NamedHooks("full", Full()),))), session)
    assert failed and names(folder) == ["txt2img/00000-5-before-highres-fix.png", "txt2img/00000-5.png"]


def test_every_file_that_is_saved_beside_pictures_is_reported(make, wanted, outputs):
    small = {"small_copies": True, "small_copy_megabytes": 0.01, "small_copy_side": 64}
    folder = outputs(save_before_hires=True, save_masks=True, save_sources=True, **small)
    make(hires(wanted))
    reported = [event["path"] for event in make.events if event["type"] in ("copy", "picture")]
    make(painted(wanted))
    reported += [event["path"] for event in make.events if event["type"] in ("copy", "picture")]
    assert sorted({str(Path(path).relative_to(folder)) for path in reported if path}) == names(folder)
    assert len(names(folder)) >= 6
