"""Previews are small, right in colour, and never cost more than their share of the time."""

import dataclasses
import io

import pytest
import torch
from PIL import Image

from webui.engine.plan import make_plan
from webui.engine.preview import Previewer, latent_colours, preview_file
from webui.engine.run import run
from webui.engine.session import Session
from webui.families.base import LatentFormat
from webui.nn.tiny import TinyConfig, TinyDecoder
from webui.settings import Settings
from webui.weights.save import save_safetensors


def test_latent_colours_are_the_factors_times_the_latents():
    paint = latent_colours(LatentFormat(1.0, 2, 8, 0.0, ((1.0, 0.0, 0.0), (0.0, 0.5, 0.0)), (0.0, 0.0, -1.0)))
    latents = torch.tensor([0.5, -1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 5)
    picture = paint(latents)
    assert picture.shape == (1, 3, 3, 5)
    torch.testing.assert_close(picture[0, :, 0, 0], torch.tensor([0.75, 0.25, 0.0]))


def test_a_checkpoint_without_factors_gives_grey():
    assert torch.equal(latent_colours(LatentFormat(1.0))(torch.randn(1, 4, 2, 2)), torch.full((1, 3, 2, 2), 0.5))


def test_a_preview_is_a_jpeg_that_shows_the_batch_side_by_side():
    data = preview_file(torch.rand(3, 3, 8, 10))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (30, 8))


def test_not_a_number_does_not_keep_a_preview_from_being_made():
    assert preview_file(torch.full((1, 3, 8, 8), float("nan")))


@pytest.mark.parametrize(("every", "expected"), [(1, 6), (3, 2), (0, 0), (-1, 0)])
def test_a_preview_is_made_every_so_many_steps(every, expected):
    times = iter(range(0, 100_000, 1000))
    previewer = Previewer(lambda x: x, every, clock=lambda: next(times) / 1e6 if every > 50 else 0.0)
    latents = torch.rand(1, 3, 4, 4)
    assert sum(previewer.preview(step, latents) is not None for step in range(6)) == expected


def test_slow_previews_take_at_most_a_hundredth_of_the_time_and_a_credit():
    now = [0.0]

    def paint(latents):
        now[0] += 0.2  # a tiny decoder on a large picture
        return latents

    previewer = Previewer(paint, 1, clock=lambda: now[0])
    made = 0
    for step in range(100):
        now[0] += 1.0
        made += previewer.preview(step, torch.rand(1, 3, 4, 4)) is not None
    assert 4 <= made <= 6


def test_the_tiny_decoder_of_the_checkpoint_makes_larger_previews_where_there_is_one(home, tmp_path, wanted):
    decoder = TinyDecoder(TinyConfig(channels=8))
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_safetensors(folder / "taesd_decoder.safetensors", decoder.state_dict())
    paths = dataclasses.replace(home, extra={"preview_decoders": (folder,)})
    sizes = {}
    for method in ("Automatic", "Latent colours"):
        session = Session(Settings(paths).changed({"preview_method": method, "preview_every_steps": 4}), device="cpu")
        events = []
        run(make_plan(wanted(checkpoint="narrow", save=False), session.catalogue), session, events.append)
        previews = [event["bytes"] for event in events if event["type"] == "preview"]
        sizes[method] = Image.open(io.BytesIO(previews[0])).size
    assert sizes == {"Automatic": (64, 64), "Latent colours": (8, 8)}
