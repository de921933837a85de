"""Weights applied to the text encoder's output."""

import pytest
import torch

from webui.errors import InvalidRequest
from webui.text.emphasis import apply_emphasis


@pytest.fixture
def hidden():
    return torch.randn(3, 77, 16, generator=torch.Generator().manual_seed(1)) + 0.5


def some_weights():
    weights = torch.ones(3, 77)
    weights[0, 3:6], weights[1, 9], weights[2, 1] = 1.3, 0.2, -1.0
    return weights


def test_no_norm_multiplies_and_nothing_else(hidden):
    weights = some_weights()
    assert torch.equal(apply_emphasis(hidden, weights, "No norm"), hidden * weights[..., None])


def test_original_restores_the_mean(hidden):
    weights = some_weights()
    result = apply_emphasis(hidden, weights, "Original")
    for row in range(3):
        scaled = hidden[row] * weights[row, :, None]
        torch.testing.assert_close(result[row], scaled * (hidden[row].mean() / scaled.mean()))
        torch.testing.assert_close(result[row].mean(), hidden[row].mean())


@pytest.mark.parametrize("mode", ["None", "Ignore"])
def test_none_and_ignore_change_nothing(hidden, mode):
    assert torch.equal(apply_emphasis(hidden, some_weights(), mode), hidden)


@pytest.mark.parametrize("mode", ["None", "Ignore", "Original", "No norm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_one_leave_every_bit(hidden, mode, dtype):
    result = apply_emphasis(hidden.to(dtype), torch.ones(3, 77), mode)
    assert result.dtype == dtype
    assert torch.equal(result, hidden.to(dtype))


def test_neighbours_in_the_batch_do_not_matter(hidden):
    weights = some_weights()
    together = apply_emphasis(hidden, weights)
    alone = torch.cat([apply_emphasis(hidden[i : i + 1], weights[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)


def test_a_mean_of_zero_does_not_make_nan(hidden):
    assert torch.isfinite(apply_emphasis(hidden, torch.zeros(3, 77))).all()


def test_an_unknown_mode_is_named(hidden):
    with pytest.raises(InvalidRequest, match="'Loud'"):
        apply_emphasis(hidden, some_weights(), "Loud")
