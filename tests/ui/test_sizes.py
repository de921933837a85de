"""Sizes that fit a checkpoint, and hints about those that do not."""

from __future__ import annotations

import pytest

from webui.ui.sizes import follow, hints, presets


def test_sdxl_presets_are_among_its_published_training_sizes() -> None:
    # Podell et al. 2023 (SDXL), appendix I: height and width of the aspect-ratio buckets.
    buckets = {(1024, 1024), (1152, 896), (896, 1152), (1216, 832), (832, 1216), (1344, 768), (768, 1344)}
    assert set(presets(1024)) == buckets


@pytest.mark.parametrize("native", [128, 256, 512, 768, 1024])
def test_presets_keep_close_to_the_native_number_of_pixels(native: int) -> None:
    assert presets(native)[0] == (native, native)
    assert all(0.75 * native**2 <= width * height <= 1.02 * native**2 for width, height in presets(native))
    assert all(width % 16 == 0 and height % 16 == 0 for width, height in presets(native))


def test_an_untouched_size_follows_to_the_new_checkpoint() -> None:
    assert follow(512, 512, 512, 1024) == (1024, 1024)
    assert follow(1344, 768, 1024, 512) == max(presets(512), key=lambda size: size[0] / size[1])


def test_a_size_that_was_chosen_freely_stays() -> None:
    assert follow(520, 600, 512, 1024) == (520, 600)


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(512, 512, 0), (1024, 1024, 1), (256, 256, 1), (512, 508, 1), (512, 768, 0)]
)
def test_sizes_far_from_the_native_one_bring_a_hint(width: int, height: int, expected: int) -> None:
    assert len(hints("en", 512, width, height, 7.0, "")) == expected


def test_a_negative_prompt_without_effect_brings_a_hint() -> None:
    assert hints("en", 512, 512, 512, 1.0, "blurry") != []
    assert hints("en", 512, 512, 512, 1.0, " ") == []
