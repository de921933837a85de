"""The training of the embedded upscalers, on pictures that take no time."""

from __future__ import annotations

import json
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from webui.training.upscaler.network import Compact
from webui.training.upscaler.pictures import SCENE, Pictures, is_unseen, load, save, scene
from webui.training.upscaler.train import PATCH, batches, train


def some(count=4):
    bank = [Image.radial_gradient("L").resize((90, 90)).convert("RGBA")]
    choice = random.Random(0)
    return Pictures([scene(bank, [], choice) for _ in range(count)], {"others": [scene(bank, [], choice)]})


def test_scenes_are_the_same_for_the_same_seed():
    first, second = some(2), some(2)
    assert first.seen[1].shape == (SCENE, SCENE, 3) and np.array_equal(first.seen[1], second.seen[1])


def test_pictures_are_read_back_as_they_were_saved(tmp_path):
    pictures = some(2)
    save(pictures, tmp_path / "pictures.npz")
    again = load(tmp_path / "pictures.npz")
    assert [np.array_equal(*pair) for pair in zip(again.seen, pictures.seen, strict=True)] == [True, True]
    assert np.array_equal(again.unseen["others"][0], pictures.unseen["others"][0])


def test_small_and_large_patches_show_the_same():
    low, high = next(batches(some(), 3, 2, seed=1))
    assert low.shape[2:] == (PATCH[2], PATCH[2]) and high.shape[2:] == (2 * PATCH[2], 2 * PATCH[2])
    difference = (F.avg_pool2d(high, 2) - low).abs().mean()
    shifted = (F.avg_pool2d(high.roll(4, 3), 2) - low).abs().mean()
    assert difference < 0.01 and difference < shifted / 2


def test_about_a_tenth_of_the_drawings_stays_unseen():
    share = sum(is_unseen("flat", str(number)) for number in range(2000)) / 2000
    assert 0.07 < share < 0.13


def test_the_larger_scale_starts_from_the_smaller_ones_body():
    small, large = Compact(2), Compact(4)
    large.take_body(small)
    assert torch.equal(large.body[0].weight, small.body[0].weight)
    assert large.body[-1].weight.shape[0] == 48


def test_training_goes_on_where_it_stopped(tmp_path):
    def lines():
        return [json.loads(line) for line in (tmp_path / "2x.log").read_text().splitlines()]

    threads, pictures = torch.get_num_threads(), some()
    torch.set_num_threads(1)
    before = {name: value.clone() for name, value in train(pictures, 4, 2, tmp_path, 0.001).state_dict().items()}
    (first,) = lines()
    again = train(pictures, 4, 2, tmp_path, 0.001).state_dict()  # the time is used up
    assert len(lines()) == 1 and all(torch.equal(before[name], again[name]) for name in before)
    after = train(pictures, 4, 2, tmp_path, (first["seconds"] + 1) / 60).state_dict()
    torch.set_num_threads(threads)
    assert lines()[-1]["step"] > first["step"]
    assert any(not torch.equal(before[name], after[name]) for name in before)
