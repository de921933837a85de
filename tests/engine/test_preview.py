"""Previews are small, right in colour, and never cost more than their share of the time."""

import io

import pytest
import torch
from PIL import Image

from webui.engine.preview import Previewer, latent_colours, preview_file
from webui.families.base import LatentFormat


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
