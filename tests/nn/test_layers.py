"""Cheaper equal forms: they equal the plain ones, with and without gradients."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from webui.nn.attention import _attend, attention, attention_by_products
from webui.nn.layers import Conv2d, Linear, added, doubled_conv, normed_silu
from webui.nn.memory import freed_memory_kept, give_memory_back, keep_freed_memory


@pytest.mark.parametrize("size", [(5, 6), (32, 33)])
@torch.no_grad()
def test_doubling_inside_the_convolution_equals_repeating_pixels_first(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.nn.layers.PHASES_FROM", 0)
    conv, x = Conv2d(8, 7, 3, padding=1), torch.randn(2, 8, *size)
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(doubled_conv(x, conv), expected, rtol=1e-5, atol=1e-5)


def test_doubling_passes_gradients_on() -> None:
    conv, x = Conv2d(8, 7, 3, padding=1), torch.randn(1, 8, 32, 32, requires_grad=True)
    doubled_conv(x, conv).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is not None


def test_nothing_is_overwritten_while_gradients_are_recorded() -> None:
    norm, x = nn.GroupNorm(2, 4), torch.randn(1, 4, 3, 3, requires_grad=True)
    h = normed_silu(norm, x)
    kept = h.detach().clone()
    torch.testing.assert_close(added(h, x), kept + x)
    assert torch.equal(h.detach(), kept)


@torch.no_grad()
def test_a_sum_keeps_the_wider_type() -> None:
    assert added(torch.ones(2, dtype=torch.bfloat16), torch.ones(2)).dtype == torch.float32


SHAPES = [(2, 8, 64, 64, 40), (1, 3, 70, 77, 64), (1, 1, 130, 130, 512), (2, 5, 33, 1, 24), (1, 2, 600, 5000, 16)]


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_attention_by_products_equals_the_fused_kernel(shape: tuple[int, ...]) -> None:
    batch, heads, tokens, source, width = shape
    query, key, value = (
        torch.randn(batch, length, heads * width).unflatten(-1, (heads, width)).transpose(1, 2)
        for length in (tokens, source, source)
    )
    expected = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attention_by_products(query, key, value), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 12.0, 300.0])
@pytest.mark.parametrize("width", [40, 48])
@torch.no_grad()
def test_blocks_of_keys_sum_up_to_the_fused_kernel(scale: float, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.nn.attention.MOST_KEYS", 0)
    monkeypatch.setattr("webui.nn.attention.SQUARE", 32)
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, length, width) for length in (70, 75, 75))
    expected = F.scaled_dot_product_attention(query * scale, key, value)
    torch.testing.assert_close(attention_by_products(query * scale, key, value), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_heads_shared_out_to_threads_give_the_same_numbers(mode: type, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = (torch.randn(1, 3, 100, 40) for _ in range(3))
    monkeypatch.setattr("webui.nn.attention.SCORES_PER_BLOCK", 1 << 12)
    names: set[str] = set()

    def watched(*args: object) -> None:
        names.add(threading.current_thread().name)
        _attend(*args)

    monkeypatch.setattr("webui.nn.attention._attend", watched)
    before = torch.get_num_threads()
    with mode():
        alone = attention_by_products(query, key, value)
        assert names == {threading.current_thread().name}
        torch.set_num_threads(2)
        monkeypatch.setattr("webui.nn.attention.SCORES_FOR_THREADS", 0)
        names.clear()
        shared = attention_by_products(query, key, value)
        torch.set_num_threads(before)
    assert all(name.startswith("alone") for name in names)
    torch.testing.assert_close(shared, alone)


def test_attention_in_threads_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    query, key, value = (torch.randn(1, 8, 800, 40).bfloat16() for _ in range(3))
    with torch.no_grad():
        attention(query, key, value)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("scale", [1.0, 12.0, 300.0])
@torch.no_grad()
def test_large_scores_do_not_overflow(scale: float) -> None:
    query, key, value = (torch.randn(1, 2, 50, 40) for _ in range(3))
    expected = F.scaled_dot_product_attention(scale * query, key, value)
    torch.testing.assert_close(attention_by_products(scale * query, key, value), expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_shift_of_all_keys_costs_no_precision() -> None:
    """Real networks have keys with a large common part; without taking it out, bfloat16 scores would be useless."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 256, 40) for _ in range(3))
    shifted = key + 8 * torch.randn(1, 2, 1, 40)
    exact = F.scaled_dot_product_attention(query, shifted, value)
    ours = attention(query.bfloat16(), shifted.bfloat16(), value.bfloat16()).float()
    fused = F.scaled_dot_product_attention(query.bfloat16(), shifted.bfloat16(), value.bfloat16()).float()
    assert (ours - exact).norm() < 1.25 * (fused - exact).norm()


def test_attention_passes_gradients_in_bfloat16() -> None:
    query, key, value = (torch.randn(1, 2, 8, 16).bfloat16().requires_grad_() for _ in range(3))
    attention(query, key, value).float().sum().backward()
    assert query.grad is not None
    assert value.grad is not None


def test_keeping_freed_memory_can_be_asked_for_anywhere() -> None:
    assert keep_freed_memory() in (True, False)
    with freed_memory_kept():
        torch.zeros(1 << 20)
    give_memory_back()


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_in_parts_is_the_whole_cut_up(bias: bool) -> None:
    layer, x = Linear(6, 8, bias=bias), torch.randn(2, 3, 6)
    expected = layer(x).chunk(2, dim=-1)
    with torch.no_grad():
        for part, whole in zip(layer.parts(x, 2), expected, strict=True):
            torch.testing.assert_close(part, whole)


@torch.no_grad()
def test_a_hook_on_a_linear_layer_is_not_passed_by_when_it_runs_in_parts() -> None:
    layer, x = Linear(6, 8), torch.randn(3, 6)
    layer.register_forward_hook(lambda module, args, out: out + 1)
    torch.testing.assert_close(torch.cat(layer.parts(x, 2), -1), layer(x))
