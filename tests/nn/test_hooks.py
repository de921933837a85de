"""Block hooks: they chain at named sites, and a call without them is untouched."""

from __future__ import annotations

import pytest
import torch
from oracle import randomise

from webui.nn.hooks import NO_HOOKS, BlockHooks, Site
from webui.nn.unet import UNet, UNetConfig


@pytest.fixture
def unet() -> UNet:
    network = UNet(UNetConfig.regular(32, (1, 2), (1, 1), context_width=24, residual_blocks=1)).eval()
    randomise(network)
    return network


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([9.0]), torch.randn(1, 5, 24, generator=generator)


def recorder(seen: list) -> BlockHooks:
    return BlockHooks(
        sources=(lambda site, key, value: (seen.append(site), (key, value))[1],),
        attend=(lambda site, q, k, v, proceed: (seen.append(site), proceed(q, k, v))[1],),
        block=(lambda site, h: (seen.append(site), h)[1],),
        join=(lambda site, h, skip: (seen.append(("join", site.block)), (h, skip))[1],),
    )


@torch.no_grad()
def test_hooks_that_only_watch_change_nothing_and_see_every_site(unet: UNet) -> None:
    seen: list = []
    assert torch.equal(unet(*inputs(), hooks=recorder(seen)), unet(*inputs()))
    attentions = {site for site in seen if isinstance(site, Site) and site.layer != "block"}
    layers = [
        (part, block) for part, block in (("down", 1), ("down", 3), ("middle", 0), *(("up", n) for n in range(4)))
    ]
    assert attentions == {Site(part, block, name) for part, block in layers for name in ("attn1", "attn2")}
    blocks = [site for site in seen if isinstance(site, Site) and site.layer == "block"]
    assert blocks == [*(Site("down", n) for n in range(4)), Site("middle", 0), *(Site("up", n) for n in range(4))]
    assert [entry[1] for entry in seen if entry[0] == "join"] == [0, 1, 2, 3]


@torch.no_grad()
def test_a_source_hook_that_lengthens_the_context_equals_a_longer_context(unet: UNet) -> None:
    x, t, context = inputs()
    more = torch.randn(1, 3, 24)

    def lengthen(site: Site, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if site.layer != "attn2":
            return key, value
        return torch.cat([key, more], 1), torch.cat([value, more], 1)

    expected = unet(x, t, torch.cat([context, more], 1))
    torch.testing.assert_close(unet(x, t, context, hooks=BlockHooks(sources=(lengthen,))), expected)


@torch.no_grad()
def test_source_hooks_run_in_order_on_what_the_one_before_returned(unet: UNet) -> None:
    x, t, context = inputs()

    def scale(site: Site, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (2 * key, 2 * value) if site.layer == "attn2" else (key, value)

    def shift(site: Site, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (key + 1, value + 1) if site.layer == "attn2" else (key, value)

    both = BlockHooks(sources=(scale,)) + BlockHooks(sources=(shift,))
    torch.testing.assert_close(unet(x, t, context, hooks=both), unet(x, t, 2 * context + 1))


@torch.no_grad()
def test_attention_wrappers_nest_with_the_first_outermost(unet: UNet) -> None:
    order: list[str] = []

    def wrapper(name: str) -> BlockHooks:
        def hook(site, query, key, value, proceed):
            order.append(f"{name} in")
            out = proceed(query, key, value)
            order.append(f"{name} out")
            return out

        return BlockHooks(attend=(hook,))

    unet(*inputs(), hooks=wrapper("a") + wrapper("b"))
    assert order[:4] == ["a in", "b in", "b out", "a out"]


@torch.no_grad()
def test_a_second_attention_can_be_added_to_the_first(unet: UNet) -> None:
    """As an IP-Adapter does: with the same keys and values the sum is twice the plain attention."""
    twice = BlockHooks(attend=(lambda site, q, k, v, proceed: proceed(q, k, v) + proceed(q, k, v),))
    doubled = BlockHooks(attend=(lambda site, q, k, v, proceed: proceed(q, k, 2 * v),))
    torch.testing.assert_close(unet(*inputs(), hooks=twice), unet(*inputs(), hooks=doubled))


@torch.no_grad()
def test_a_residual_on_a_skip_connection_is_what_the_block_then_concatenates(unet: UNet) -> None:
    generator = torch.Generator().manual_seed(1)
    residual = torch.randn(1, 32, 8, 8, generator=generator)
    h_seen: list[torch.Tensor] = []

    def add(site: Site, h: torch.Tensor, skip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if site == Site("up", 3):
            h_seen.append(torch.cat([h, skip + residual], 1))
            return h, skip + residual
        return h, skip

    def capture(module, args):
        assert torch.equal(args[0], h_seen[0])

    handle = unet.output_blocks[3][0].register_forward_pre_hook(capture)
    out = unet(*inputs(), hooks=BlockHooks(join=(add,)))
    handle.remove()
    assert len(h_seen) == 1
    assert not torch.allclose(out, unet(*inputs()), atol=1e-2)


@torch.no_grad()
def test_what_a_down_block_hook_returns_is_also_carried_by_the_skip(unet: UNet) -> None:
    """As a T2I-Adapter needs: the same feature is seen below and again at the matching up block."""
    feature = torch.full((1, 32, 8, 8), 3.5)
    replaced = BlockHooks(block=(lambda site, h: feature if site == Site("down", 0) else h,))
    skips: list[torch.Tensor] = []
    watch = BlockHooks(join=(lambda site, h, skip: (skips.append(skip), (h, skip))[1],))
    unet(*inputs(), hooks=replaced + watch)
    assert torch.equal(skips[-1], feature)


def test_adding_no_hooks_is_the_identity() -> None:
    hooks = recorder([])
    assert NO_HOOKS + hooks == hooks == hooks + NO_HOOKS
