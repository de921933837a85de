"""Types and memory layouts: what a device is given, and weights stored smaller than they compute."""

from __future__ import annotations

import pytest
import torch
from oracle import randomise, relative_error

from webui.errors import SettingsError
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.precision import best_dtype, place
from webui.nn.unet import UNet, UNetConfig


def small_unet() -> UNet:
    unet = UNet(UNetConfig.regular(32, (1, 2), (1, 0), context_width=24)).eval()
    randomise(unet)
    return unet


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([9.0]), torch.randn(1, 5, 24, generator=generator)


@pytest.mark.parametrize("requested", ["auto", "float16", "bfloat16", "float32"])
def test_a_cpu_never_computes_in_float16(requested: str) -> None:
    assert best_dtype("cpu", requested) in (torch.bfloat16, torch.float32)


def test_a_cpu_without_bfloat16_instructions_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.nn.precision.cpu_has_fast_bfloat16", lambda: False)
    assert best_dtype("cpu") == best_dtype("cpu", "float16") == torch.float32
    monkeypatch.setattr("webui.nn.precision.cpu_has_fast_bfloat16", lambda: True)
    assert best_dtype("cpu") == best_dtype("cpu", "float16") == torch.bfloat16


def test_a_gpu_gets_float16_unless_told_otherwise() -> None:
    assert best_dtype("cuda") == torch.float16
    assert best_dtype("cuda", "bfloat16") == torch.bfloat16
    assert best_dtype("cuda", "float32") == torch.float32


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(SettingsError, match="bfloat16"):
        best_dtype("cpu", "int3")


@pytest.mark.parametrize(
    ("storage", "error"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float8_e4m3fn, 0.15)]
)
@torch.no_grad()
def test_weights_stored_in_a_smaller_type_are_cast_at_use(storage: torch.dtype, error: float) -> None:
    unet = small_unet()
    expected = unet(*inputs())
    place(unet, "cpu", torch.float32, storage)
    assert unet.middle_block[0].in_layers[2].weight.dtype == storage
    assert unet.middle_block[0].in_layers[0].weight.dtype == torch.float32  # norms stay exact
    assert 0 < relative_error(unet(*inputs()), expected) < error


@torch.no_grad()
def test_storage_and_compute_types_may_both_be_small() -> None:
    unet = small_unet()
    expected = unet(*inputs())
    place(unet, "cpu", torch.bfloat16, torch.float16)
    assert relative_error(unet(*inputs()), expected) < 0.03


@torch.no_grad()
def test_a_text_encoder_can_be_stored_small_too() -> None:
    clip = ClipText(ClipTextConfig(64, 2, 1, 128, 100, 16)).eval()
    tokens = torch.tensor([[98, 5, 99, 99]])
    expected = clip(tokens).hidden
    place(clip, "cpu", torch.float32, torch.float16)
    assert clip(tokens).hidden.dtype == torch.float32
    assert relative_error(clip(tokens).hidden, expected) < 2e-3


def test_placing_lays_kernels_out_channels_last_and_keeps_the_names() -> None:
    unet = small_unet()
    names = list(unet.state_dict())
    place(unet, "cpu", torch.bfloat16)
    assert list(unet.state_dict()) == names
    assert all(p.dtype == torch.bfloat16 for p in unet.parameters())
    assert unet.middle_block[0].in_layers[2].weight.is_contiguous(memory_format=torch.channels_last)
