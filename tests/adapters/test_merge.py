"""Sums of base weights and changes: by rows or whole, the same numbers, and the base is only read."""

import pytest
import torch

from webui.adapters.lora import LowRank
from webui.adapters.merge import merge
from webui.errors import IncompatibleModel
from webui.nn.memory import room_like

SHAPES = {"linear": (24, 16), "1x1": (24, 16, 1, 1), "3x3": (24, 16, 3, 3)}


def weight(shape, dtype=torch.float32, layout=torch.contiguous_format):
    torch.manual_seed(0)
    return torch.randn(SHAPES[shape]).to(dtype=dtype, memory_format=layout)


def change(shape, rows=None, seed=1, scale=0.5, rank=4):
    torch.manual_seed(seed)
    out, *rest = SHAPES[shape]
    up = torch.randn(rows[1] - rows[0] if rows else out, rank, *(1 for _ in rest[1:])).half()
    return LowRank(up, torch.randn(rank, *rest).half(), scale, rows)


def merged(base, *changes):
    into = room_like({"w": base})
    merge({"w": base}, {"w": changes}, into)
    return into["w"]


def product(low, shape):
    """s·U·D as the papers write it."""
    return low.scale * torch.einsum("or,r...->o...", low.up.float().flatten(1), low.down.float()).reshape(shape)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks of rows, the last of them smaller, in the smallest weight."""
    monkeypatch.setattr("webui.adapters.merge.BLOCK", 7 * 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_low_rank_changes_by_rows_are_the_formula_rounded_once(shape, layout, dtype, small_blocks):
    if layout == torch.channels_last and shape == "linear":
        layout = torch.contiguous_format
    base = weight(shape, dtype, layout)
    before = base.clone()
    some = change(shape), change(shape, seed=2, scale=-1.5)
    wanted = base.float() + product(some[0], base.shape) + product(some[1], base.shape)
    found = merged(base, *some)
    assert found.stride() == base.stride() and found.dtype == dtype and torch.equal(base, before)
    if dtype == torch.float32:
        torch.testing.assert_close(found, wanted)
    else:  # a sum that lies between two numbers of the type may fall on either side
        assert (found.float() - wanted).abs().max() <= 1.01 * (wanted.to(dtype).float() - wanted).abs().max()


@pytest.mark.parametrize("shape", SHAPES)
def test_by_rows_and_as_a_whole_agree(shape, small_blocks):
    base, some = weight(shape), [change(shape), change(shape, seed=2)]
    whole = base.clone()
    for one in some:
        one(whole, base)
    torch.testing.assert_close(merged(base, *some), whole)


def test_a_part_of_the_rows_changes_alone(small_blocks):
    base = weight("linear")
    found = merged(base, change("linear", rows=(5, 19)))
    assert torch.equal(found[:5], base[:5]) and torch.equal(found[19:], base[19:])
    torch.testing.assert_close(found[5:19], base[5:19] + product(change("linear", rows=(5, 19)), (14, 16)))


def test_any_other_change_takes_the_weight_as_a_whole_and_in_order():
    base, low = weight("3x3", torch.bfloat16, torch.channels_last), change("3x3")
    found = merged(base, low, lambda total, base: total.mul_(2), lambda total, base: total.add_(base))
    wanted = 2 * (base.float() + product(low, base.shape)) + base.float()
    torch.testing.assert_close(found, wanted.bfloat16())


def test_a_weight_whose_rows_lie_apart_is_merged_as_well():
    base = torch.randn(16, 24).T
    torch.testing.assert_close(merged(base, change("linear")), base + product(change("linear"), base.shape))


def test_threads_change_no_bit():
    bases = {str(n): torch.randn(24, 16) for n in range(9)}
    changes = {name: [change("linear", seed=int(name))] for name in bases}
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        into = room_like(bases)
        merge(bases, changes, into)
        found.append(into)
    torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in bases)


def test_a_change_of_another_shape_is_told_with_the_weights_name():
    base = weight("linear")
    with pytest.raises(IncompatibleModel, match="encoder"):
        change_of_three = [lambda total, base: total.add_(torch.ones(3, 3))]
        merge({"encoder": base}, {"encoder": change_of_three}, room_like({"encoder": base}))
