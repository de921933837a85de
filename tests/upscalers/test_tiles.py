"""Tiles, their seams, and rows that become a picture of another size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from webui.upscalers.tiles import enlarged_rows, fitted, sizes_between, spans, tile_count


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def nearest(x):
    """A network that needs no neighbours."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def blurring(reach):
    """A network that sees `reach` pixels far to each side."""
    kernel = torch.full((3, 1, 2 * reach + 1, 2 * reach + 1), 1 / (2 * reach + 1) ** 2)
    return lambda x: nearest(torch.nn.functional.conv2d(x, kernel, padding=reach, groups=3))


def whole(network, picture, tile, overlap):
    return np.concatenate(list(enlarged_rows(network, picture, 2, tile, overlap)))


@given(st.integers(1, 900), st.integers(1, 300), st.integers(0, 200))
def test_tiles_cover_everything_and_overlap_by_as_much_as_was_said(length, tile, overlap):
    found = spans(length, tile, overlap)
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(stop - start <= tile for start, stop in found)
    shared = min(overlap, tile // 2)
    assert all(before[1] - after[0] == shared for before, after in itertools.pairwise(found))


def test_a_network_that_needs_no_neighbours_gives_the_same_in_tiles():
    picture = noise(70, 91)
    assert np.array_equal(whole(nearest, picture, 32, 8), picture.repeat(2, 0).repeat(2, 1))


def test_nothing_differs_when_the_quarter_of_the_overlap_is_as_wide_as_the_network_sees():
    picture, network = noise(150, 130), blurring(4)
    assert np.array_equal(whole(network, picture, 48, 16), whole(network, picture, 0, 0))


def test_seams_fade_when_the_network_sees_farther():
    picture, network = noise(150, 130), blurring(8)
    difference = whole(network, picture, 48, 16).astype(int) - whole(network, picture, 0, 0)
    steps = abs(np.diff(difference, axis=1)).max(), abs(np.diff(difference, axis=0)).max()
    assert abs(difference).max() > 0 and max(steps) <= 6


def test_it_can_be_stopped_before_any_tile():
    seen = []

    def stop():
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(enlarged_rows(nearest, noise(64, 64), 2, 32, 8, before_tile=stop))
    assert len(seen) == 3


def test_progress_counts_every_tile():
    seen = []
    list(enlarged_rows(nearest, noise(70, 91), 2, 32, 8, after_tile=lambda: seen.append(1)))
    assert len(seen) == tile_count(91, 70, 32, 8) == 12


@pytest.mark.parametrize("size", [(91, 70), (40, 33), (200, 139), (91, 20), (17, 300)])
@pytest.mark.parametrize("part", [1, 7, 70])
def test_rows_give_what_the_whole_picture_would(size, part):
    picture = noise(70, 91)
    rows = (picture[start : start + part] for start in range(0, 70, part))
    wanted = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    assert abs(fitted(rows, (91, 70), size).astype(int) - wanted).max() <= 1


def test_a_network_is_used_as_often_as_the_size_needs():
    assert sizes_between((100, 50), (200, 100), 2) == [(200, 100)]
    assert sizes_between((100, 50), (150, 75), 4) == [(150, 75)]
    assert sizes_between((100, 50), (800, 400), 2) == [(200, 100), (400, 200), (800, 400)]
    assert sizes_between((100, 50), (100, 40), 4) == []
    assert sizes_between((100, 50), (300, 150), 1) == [(300, 150)]


def test_before_a_last_use_the_picture_is_brought_down_to_what_is_needed():
    assert sizes_between((100, 100), (500, 500), 4) == [(250, 250), (500, 500)]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([2, 3, 4]))
def test_any_size_is_reached(width, height, wide, high, scale):
    found = sizes_between((width, height), (wide, high), scale)
    assert (found[-1] == (wide, high)) if found else (wide <= width and high <= height)
    assert len(found) <= 12
