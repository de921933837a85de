"""The UNet: equal to diffusers' on random weights, and readable off any file of its shape."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from oracle import randomise, relative_error, unet_to_diffusers

from webui.errors import IncompatibleModel
from webui.nn.unet import UNet, UNetConfig, zero_last_layers
from webui.nn.unet_config import Layer

CONFIGS = {
    "SD 1": UNetConfig.regular(32, (1, 2, 4, 4), (1, 1, 1, 0), context_width=24),
    "inpainting": UNetConfig.regular(32, (1, 2), (1, 0), in_channels=9, context_width=24),
    "SD 2": UNetConfig.regular(64, (1, 2), (1, 0), context_width=40, linear_projections=True),
    "SDXL": UNetConfig.regular(
        64, (1, 2, 2), (0, 1, 2), middle_depth=2, context_width=48, pooled_width=44, linear_projections=True
    ),
}


def diffusers_unet(config: UNetConfig, multipliers: tuple[int, ...], depths: tuple[int, ...]) -> UNet2DConditionModel:
    widths = [config.channels * m for m in multipliers]
    heads = [config.heads_of(width) for width in widths]
    pooled = config.pooled_width
    model = UNet2DConditionModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=widths,
        down_block_types=["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        up_block_types=["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        transformer_layers_per_block=[max(1, depth) for depth in depths],
        cross_attention_dim=config.context_width,
        attention_head_dim=heads,
        use_linear_projection=config.linear_projections,
        addition_embed_type="text_time" if pooled else None,
        addition_time_embed_dim=4 if pooled else None,
        projection_class_embeddings_input_dim=pooled or None,
    )
    return model.eval()


def call_diffusers(model, x, timestep, context, pooled_text=None, time_ids=None):
    extra = None if pooled_text is None else {"text_embeds": pooled_text, "time_ids": time_ids}
    return model(x, timestep, context, added_cond_kwargs=extra).sample


SHAPES = {
    "SD 1": ((1, 2, 4, 4), (1, 1, 1, 0)),
    "inpainting": ((1, 2), (1, 0)),
    "SD 2": ((1, 2), (1, 0)),
    "SDXL": ((1, 2, 2), (0, 1, 2)),
}


def pair(kind: str) -> tuple[UNet, UNet2DConditionModel]:
    config = CONFIGS[kind]
    ours = UNet(config).eval()
    randomise(ours)
    theirs = diffusers_unet(config, *SHAPES[kind])
    theirs.load_state_dict(unet_to_diffusers(ours.state_dict(), config))
    return ours, theirs


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_the_unet_predicts_what_diffusers_predicts(kind: str) -> None:
    ours, theirs = pair(kind)
    torch.manual_seed(1)
    config = ours.config
    x, timestep = torch.randn(2, config.in_channels, 16, 24), torch.tensor([3, 801])
    context = torch.randn(2, 7, config.context_width)
    text = time_ids = pooled = None
    if config.pooled_width:
        text, time_ids = torch.randn(2, 20), torch.rand(2, 6) * 900
        sinusoids = theirs.add_time_proj(time_ids.flatten()).reshape(2, -1)
        pooled = torch.cat([text, sinusoids], dim=1)
    expected = call_diffusers(theirs, x, timestep, context, text, time_ids)
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(x, timestep, context, pooled), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_channels_last_changes_nothing() -> None:
    ours, _ = pair("SD 1")
    x, t, context = torch.randn(1, 4, 16, 16), torch.tensor([10.0]), torch.randn(1, 5, 24)
    expected = ours(x, t, context)
    actual = ours.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), t, context)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_sizes_that_do_not_halve_evenly_keep_their_size_and_match_diffusers() -> None:
    ours, theirs = pair("SD 1")
    x, t, context = torch.randn(1, 4, 13, 19), torch.tensor([10]), torch.randn(1, 5, 24)
    torch.testing.assert_close(ours(x, t, context), call_diffusers(theirs, x, t, context), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_is_read_back_off_the_shapes(kind: str) -> None:
    with torch.device("meta"):
        unet = UNet(CONFIGS[kind])
    shapes = {name: tuple(t.shape) for name, t in unet.state_dict().items()}
    assert UNetConfig.from_shapes(shapes) == CONFIGS[kind]


@pytest.mark.parametrize("middle", [(), ("residual",), ("residual", "residual")])
@torch.no_grad()
def test_cut_networks_with_less_in_the_middle_are_read_and_run(middle: tuple[str, ...]) -> None:
    base = CONFIGS["SDXL"]
    cut = UNetConfig(**{**base.__dict__, "middle_block": tuple(Layer(kind, 128) for kind in middle), "pooled_width": 0})
    unet = UNet(cut)
    shapes = {name: tuple(t.shape) for name, t in unet.state_dict().items()}
    assert UNetConfig.from_shapes(shapes) == cut
    assert unet(torch.randn(1, 4, 8, 8), torch.tensor([1.0]), torch.randn(1, 3, 48)).shape == (1, 4, 8, 8)


def test_a_narrow_net_with_convolutions_has_eight_heads_and_one_with_linears_heads_of_64() -> None:
    narrow = UNetConfig.regular(96, (1, 2, 3), (0, 1, 1), context_width=192)
    assert [narrow.heads_of(c) for c in (96, 192, 288)] == [8, 8, 8]
    assert [CONFIGS["SDXL"].heads_of(c) for c in (64, 640, 1280)] == [1, 10, 20]


def test_names_of_another_layout_are_refused_with_a_reason() -> None:
    with pytest.raises(IncompatibleModel, match=r"input_blocks\.0\.0\.weight"):
        UNetConfig.from_shapes({"conv_in.weight": (320, 4, 3, 3)})


def test_a_missing_block_is_named() -> None:
    with torch.device("meta"):
        unet = UNet(CONFIGS["inpainting"])
    shapes = {n: tuple(t.shape) for n, t in unet.state_dict().items() if not n.startswith("input_blocks.2.")}
    with pytest.raises(IncompatibleModel, match="input_blocks are numbered"):
        UNetConfig.from_shapes(shapes)


def test_every_weight_gets_a_gradient_under_bfloat16_autocast() -> None:
    unet = UNet(CONFIGS["SD 1"])
    with torch.autocast("cpu", torch.bfloat16):
        out = unet(torch.randn(1, 4, 16, 16), torch.tensor([7.0]), torch.randn(1, 3, 24))
    out.square().mean().backward()
    silent = [n for n, p in unet.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@torch.no_grad()
def test_a_new_net_with_zeroed_last_layers_predicts_zero() -> None:
    unet = UNet(CONFIGS["inpainting"])
    zero_last_layers(unet)
    out = unet(torch.randn(1, 9, 8, 8), torch.tensor([7.0]), torch.randn(1, 3, 24))
    assert out.abs().max() == 0


@torch.no_grad()
def test_bfloat16_is_no_further_from_float32_than_diffusers_in_bfloat16() -> None:
    ours, theirs = pair("SD 1")
    x, t, context = torch.randn(2, 4, 32, 32), torch.tensor([10, 500]), torch.randn(2, 77, 24)
    exact = call_diffusers(theirs, x, t, context)
    theirs_error = relative_error(call_diffusers(theirs.bfloat16(), x.bfloat16(), t, context.bfloat16()), exact)
    with torch.inference_mode():
        ours_error = relative_error(ours.bfloat16().to(memory_format=torch.channels_last)(x, t, context), exact)
    assert ours_error <= 1.05 * theirs_error
