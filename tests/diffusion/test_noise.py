"""Noise: the numbers that other programs draw, and a Brownian path with the statistics of one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from webui.diffusion.brownian import BrownianPath
from webui.diffusion.noise import GENERATORS, CudaGenerator, NoiseSource
from webui.errors import InvalidRequest

SHAPE = (4, 8, 6)
KINDS = list(GENERATORS)


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """What torch itself draws for these shapes, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


# --- single generators


def test_cuda_noise_has_the_numbers_of_an_nvidia_card() -> None:
    first = CudaGenerator(0).normal((4,))
    torch.testing.assert_close(first, torch.tensor([-0.9247, -0.4253, -2.6438, 0.1452]), atol=1e-4, rtol=0)


def test_the_second_draw_of_cuda_noise_is_independent_of_the_first() -> None:
    generator = CudaGenerator(0)
    assert abs(correlation(generator.normal((10_000,)), generator.normal((10_000,)))) < 0.04


def test_the_high_half_of_a_seed_matters() -> None:
    assert not torch.equal(CudaGenerator(1).normal((8,)), CudaGenerator(1 + 2**32).normal((8,)))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_mean_0_and_variance_1_and_normal_tails(kind: str) -> None:
    noise = GENERATORS[kind](3).normal((200_000,))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.var()) - 1) < 0.02
    assert abs(float((noise.abs() > 2).float().mean()) - math.erfc(2 / math.sqrt(2))) < 0.003
    assert bool(noise.isfinite().all())


# --- the source of a run


def test_cpu_noise_is_what_torch_draws_and_steps_go_on_behind_it() -> None:
    source = NoiseSource([7], SHAPE)
    for made, wanted in zip(
        [source.initial(), source.step(), source.step()], drawn(7, SHAPE, SHAPE, SHAPE), strict=True
    ):
        assert torch.equal(made[0], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_alone_gets_the_noise_that_it_has_in_a_batch(kind: str) -> None:
    def everything(seeds: list[int], variations: list[int]) -> list[Tensor]:
        source = NoiseSource(
            seeds,
            SHAPE,
            kind=kind,
            variation_seeds=variations,
            variation_strength=0.3,
            resize_from=(6, 6),
            seed_delta=9,
        )
        return [source.initial(), source.step(), source.brownian(3.0, 2.0), source.step()]

    together = everything([5, 6, 7], [1, 2, 3])
    for index in range(3):
        for batch, single in zip(together, everything([5 + index], [1 + index]), strict=True):
            assert torch.equal(batch[index], single[0])


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(InvalidRequest, match="TPU"):
        NoiseSource([1], SHAPE, kind="TPU")


def test_a_variation_of_strength_0_changes_nothing() -> None:
    varied = NoiseSource([1], SHAPE, variation_seeds=[2], variation_strength=0.0)
    assert torch.equal(varied.initial(), NoiseSource([1], SHAPE).initial())


def test_a_variation_of_strength_1_has_the_noise_of_the_variation_seed() -> None:
    varied = NoiseSource([1], SHAPE, variation_seeds=[2], variation_strength=1.0)
    torch.testing.assert_close(varied.initial(), NoiseSource([2], SHAPE).initial())


def test_a_variation_in_between_is_like_both_and_still_unit_noise() -> None:
    shape = (4, 64, 64)
    first, second = NoiseSource([1], shape).initial(), NoiseSource([2], shape).initial()
    made = NoiseSource([1], shape, variation_seeds=[2], variation_strength=0.5).initial()
    assert abs(float(made.std()) - 1) < 0.03
    # halfway on the arc between uncorrelated noises
    assert correlation(made, first) == pytest.approx(math.sqrt(0.5), abs=0.04)
    assert correlation(made, second) == pytest.approx(math.sqrt(0.5), abs=0.04)


def test_a_variation_with_the_same_seed_changes_nothing() -> None:
    varied = NoiseSource([1], SHAPE, variation_seeds=[1], variation_strength=0.4)
    torch.testing.assert_close(varied.initial(), NoiseSource([1], SHAPE).initial())


def test_a_variation_of_a_single_row_stays_finite() -> None:
    made = NoiseSource([1], (4, 1, 64), variation_seeds=[2], variation_strength=0.5).initial()
    assert bool(made.isfinite().all())
    assert float(made.abs().max()) < 6


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_steps_do_not_depend_on_the_variation(strength: float) -> None:
    source = NoiseSource([1], SHAPE, variation_seeds=[2], variation_strength=strength)
    source.initial()
    assert torch.equal(source.step()[0], drawn(1, SHAPE, SHAPE)[1])


def test_a_smaller_size_to_resize_from_is_kept_in_the_middle() -> None:
    made = NoiseSource([1], (4, 8, 8), resize_from=(4, 6)).initial()[0]
    (small,), (around,) = drawn(1, (4, 4, 6)), drawn(1, (4, 8, 8))
    assert torch.equal(made[:, 2:6, 1:7], small)
    around[:, 2:6, 1:7] = small
    assert torch.equal(made, around)


def test_of_a_larger_size_to_resize_from_the_middle_is_kept() -> None:
    made = NoiseSource([1], (4, 8, 8), resize_from=(12, 4)).initial()[0]
    (large,) = drawn(1, (4, 12, 4))
    assert torch.equal(made[:, :, 2:6], large[:, 2:10])


def test_a_seed_delta_changes_the_noise_of_steps_but_not_the_first() -> None:
    usual, other = NoiseSource([1], SHAPE), NoiseSource([1], SHAPE, seed_delta=31337)
    assert torch.equal(usual.initial(), other.initial())
    step = other.step()[0]
    assert not torch.equal(usual.step()[0], step)
    assert torch.equal(step, drawn(31338, SHAPE)[0])


# --- the Brownian path


def wide(seed: int) -> BrownianPath:
    """Many independent scalar paths at once."""
    return BrownianPath(seed, (1, 100, 100))


def increment(path: BrownianPath, sigma: float, target: float) -> Tensor:
    """W(sigma) - W(target)."""
    return path.between(sigma, target) * math.sqrt(abs(sigma - target))


def test_a_path_answers_the_same_in_any_order() -> None:
    intervals = [(14.6, 9.0), (9.0, 3.1), (3.1, 0.5), (0.5, 0.029), (9.0, 0.5)]
    forwards, backwards = BrownianPath(4, SHAPE), BrownianPath(4, SHAPE)
    first = [forwards.between(*interval) for interval in intervals]
    second = [backwards.between(*interval) for interval in reversed(intervals)]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(second), strict=True))


def test_other_seeds_have_other_paths() -> None:
    assert abs(correlation(wide(1).between(9.0, 3.0), wide(2).between(9.0, 3.0))) < 0.04


@pytest.mark.parametrize("interval", [(14.6, 9.0), (1.0, 0.9), (0.7, 0.03), (8.0, 4.0), (3.01, 3.0), (0.999, 0.998)])
def test_every_interval_is_unit_noise(interval: tuple[float, float]) -> None:
    noise = wide(1).between(*interval)
    assert abs(float(noise.mean())) < 0.04
    assert abs(float(noise.var()) - 1) < 0.06


def test_the_variance_of_one_number_over_many_seeds_is_one() -> None:
    noise = torch.cat([BrownianPath(seed, (1, 1, 1)).between(5.0, 1.7).flatten() for seed in range(2000)])
    assert abs(float(noise.mean())) < 0.09
    assert abs(float(noise.var()) - 1) < 0.13


@pytest.mark.parametrize(
    ("first", "second"), [((9.0, 4.0), (4.0, 2.0)), ((14.0, 13.0), (9.0, 8.5)), ((3, 2), (1, 0.5))]
)
def test_intervals_that_share_nothing_are_uncorrelated(first: tuple[float, float], second: tuple[float, float]) -> None:
    path = wide(1)
    assert abs(correlation(path.between(*first), path.between(*second))) < 0.04


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [((9.0, 3.0), (9.0, 6.0), 3.0), ((9.0, 3.0), (5.0, 1.0), 2.0), ((0.9, 0.3), (0.6, 0.5), 0.1)],
)
def test_intervals_that_overlap_are_correlated_by_their_shared_length(
    first: tuple[float, float], second: tuple[float, float], shared: float
) -> None:
    path = wide(1)
    wanted = shared / math.sqrt((first[0] - first[1]) * (second[0] - second[1]))
    assert correlation(path.between(*first), path.between(*second)) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("middle", [13.0, 8.0, 4.3, 1.0, 0.06])
def test_increments_add_up(middle: float) -> None:
    path = BrownianPath(2, SHAPE)
    parts = increment(path, 14.6, middle) + increment(path, middle, 0.05)
    torch.testing.assert_close(parts, increment(path, 14.6, 0.05), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", [5, 40])
def test_a_run_with_more_steps_sees_the_same_path(steps: int) -> None:
    path = BrownianPath(2, SHAPE)
    levels = [10 ** (1 - 2 * step / steps) for step in range(steps + 1)]
    total = sum((increment(path, a, b) for a, b in pairwise(levels)), torch.zeros(SHAPE))
    torch.testing.assert_close(total, increment(path, 10.0, 0.1), atol=1e-4, rtol=1e-4)


def test_the_other_direction_has_the_other_sign() -> None:
    path = BrownianPath(2, SHAPE)
    assert torch.equal(path.between(5.0, 2.0), -path.between(2.0, 5.0))


@pytest.mark.parametrize("interval", [(1.0, 0.0), (0.0, 1.0), (-1.0, 2.0), (2.0, 2.0)])
def test_an_interval_that_is_none_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no Brownian interval"):
        BrownianPath(1, SHAPE).between(*interval)
