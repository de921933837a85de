"""Pictures and tensors in other sizes: sizes, modes, transparency, and what is reported meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.upscalers.networks import network, paths_with
from webui.errors import Cancelled, NotFound
from webui.imaging.convert import to_tensor
from webui.upscalers.enlarge import enlarge, enlarge_picture
from webui.upscalers.loading import UpscalerModel


@pytest.fixture
def paths(tmp_path):
    paths = paths_with(tmp_path)
    for scale in (2, 4):
        torch.save(network("Compact", scale).state_dict(), paths.models / "ESRGAN" / f"tiny-{scale}x.pth")
    return paths


def drawing(size=(60, 44)):
    picture = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), picture))


@pytest.mark.parametrize("name", ["None", "Lanczos", "Nearest", "tiny-2x", "tiny-4x"])
@pytest.mark.parametrize("size", [(120, 88), (61, 45), (301, 500), (30, 22), (60, 44)])
def test_any_upscaler_gives_exactly_the_size_that_was_asked_for(paths, name, size):
    pictures = torch.rand(2, 3, 44, 60)
    result = enlarge(pictures, name, size, paths=paths)
    assert result.shape == (2, 3, size[1], size[0]) and result.dtype == torch.float32
    assert float(result.min()) >= 0 and float(result.max()) <= 1


def test_lanczos_and_nearest_are_pillows(paths):
    picture = drawing()
    for name in ("Lanczos", "Nearest"):
        wanted = picture.resize((150, 99), Image.Resampling[name.upper()])
        assert np.array_equal(enlarge_picture(picture, name, (150, 99), paths=paths), wanted)


def test_a_model_gives_what_its_network_gives(paths):
    picture = to_tensor(drawing())
    with torch.inference_mode():
        wanted = network("Compact")(picture).clamp(0, 1)
    assert float((enlarge(picture, "tiny-2x", (120, 88), paths=paths) - wanted).abs().max()) <= 0.51 / 255


def test_tiles_show_no_seams(paths):
    picture = to_tensor(drawing((200, 170)))
    tiled = enlarge(picture, "tiny-2x", (400, 340), paths=paths, tile=64, overlap=32)
    at_once = enlarge(picture, "tiny-2x", (400, 340), paths=paths, tile=0)
    assert float((tiled - at_once).abs().max()) <= 1 / 255 + 1e-6


def test_neighbours_in_a_batch_change_nothing(paths):
    pictures = torch.rand(3, 3, 20, 20)
    together = enlarge(pictures, "tiny-2x", (50, 50), paths=paths)
    assert torch.equal(together[1:2], enlarge(pictures[1:2], "tiny-2x", (50, 50), paths=paths))


def test_progress_ends_at_the_total_over_all_uses_of_the_model(paths):
    seen = []
    note = lambda done, total: seen.append((done, total))  # noqa: E731
    enlarge(torch.rand(1, 3, 40, 40), "tiny-2x", (150, 150), paths=paths, tile=32, overlap=8, on_progress=note)
    assert seen[-1][0] == seen[-1][1] == len(seen) == 4 + 9


def test_where_memory_runs_out_the_tiles_become_smaller(paths, monkeypatch):
    picture, seen, largest = to_tensor(drawing((200, 170))), [], []
    wanted = enlarge(picture, "tiny-2x", (400, 340), paths=paths)
    run = UpscalerModel.__call__

    def short(model, x):
        if max(x.shape) > 70:
            raise torch.OutOfMemoryError
        largest.append(max(x.shape))
        return run(model, x)

    monkeypatch.setattr(UpscalerModel, "__call__", short)
    note = lambda done, total: seen.append((done, total))  # noqa: E731
    result = enlarge(picture, "tiny-2x", (400, 340), paths=paths, on_progress=note)
    assert float((result - wanted).abs().max()) <= 2 / 255 + 1e-6
    assert 50 < max(largest) <= 64 and seen[-1][0] == seen[-1][1] == len(seen)
    monkeypatch.setattr(UpscalerModel, "__call__", lambda model, x: short(model, torch.empty(99)))
    with pytest.raises(torch.OutOfMemoryError):
        enlarge(picture, "tiny-2x", (400, 340), paths=paths)


def test_it_stops_when_it_is_told_to(paths):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        enlarge(torch.rand(1, 3, 64, 64), "tiny-2x", (128, 128), paths=paths, tile=32, overlap=8, check=check)
    assert len(calls) == 4


def test_an_unknown_upscaler_is_refused(paths):
    with pytest.raises(NotFound):
        enlarge(torch.rand(1, 3, 8, 8), "of my dreams", (16, 16), paths=paths)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        *[("RGB", "RGB"), ("L", "L"), ("1", "L"), ("LA", "LA"), ("RGBA", "RGBA"), ("P", "RGB"), ("CMYK", "RGB")],
        *[("I;16", "L"), ("I", "L"), ("F", "L"), ("YCbCr", "RGB"), ("RGBa", "RGBA")],
    ],
)
@pytest.mark.parametrize("name", ["Lanczos", "tiny-2x"])
def test_pictures_of_every_mode_keep_greys_and_transparency(paths, mode, wanted, name):
    colours = drawing()
    if mode in ("LA", "RGBA", "RGBa"):
        colours.putalpha(Image.linear_gradient("L").resize(colours.size))
    if mode in ("I;16", "I", "F"):
        picture = Image.fromarray(np.asarray(colours.convert("L")).astype(np.uint16) * 257)
        picture = picture if mode == "I;16" else picture.convert(mode)
    else:
        picture = colours.quantize(256) if mode == "P" else colours.convert(mode)
    result = enlarge_picture(picture, name, (120, 88), paths=paths)
    assert (result.mode, result.size) == (wanted, (120, 88))
    if name == "Lanczos" and mode != "1":
        grey, reference = result.convert("L"), colours.convert("RGB").convert("L").resize((120, 88), Image.LANCZOS)
        assert np.abs(np.asarray(grey, int) - np.asarray(reference, int)).mean() < 6


def test_an_opaque_alpha_channel_is_dropped(paths):
    assert enlarge_picture(drawing().convert("RGBA"), "Lanczos", (80, 80), paths=paths).mode == "RGB"


def test_hidden_colours_do_not_bleed_into_edges(paths):
    array = np.zeros((40, 40, 4), np.uint8)
    array[10:30, 10:30] = (255, 0, 0, 255)  # red on black that is not to be seen
    result = np.asarray(enlarge_picture(Image.fromarray(array), "Lanczos", (160, 160), paths=paths))
    visible = result[result[..., 3] > 8]
    assert visible[:, 0].min() > 245 and visible[:, 1:3].max() < 10
