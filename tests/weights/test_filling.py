"""Filling networks on `meta` with stored tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from webui.errors import DamagedFile
from webui.weights.assign import fill
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.conv = nn.Conv2d(4, 2, 1)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("position_ids", torch.arange(5).view(1, 5))


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: tensor.clone() for name, tensor in Net().state_dict().items()}


def empty() -> Net:
    with torch.device("meta"):
        return Net()


def test_every_parameter_and_buffer_gets_its_tensor(tensors):
    net = empty()
    assert fill(net, tensors).names == ()
    assert all(torch.equal(value, tensors[name]) for name, value in net.state_dict().items())


def test_tensors_that_need_no_cast_stay_where_they_are_mapped(tensors, tmp_path):
    save_safetensors(tmp_path / "x.safetensors", tensors)
    net = empty()
    with open_weights(tmp_path / "x.safetensors") as weights:
        fill(net, weights.tensors(), dtype=torch.float32)
        assert net.linear.weight.data_ptr() == weights.tensor("linear.weight").data_ptr()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_floats_are_cast_and_integers_are_not(dtype, tensors):
    net = empty()
    fill(net, tensors, dtype=dtype)
    assert net.linear.weight.dtype == dtype
    assert torch.equal(net.linear.weight.float(), tensors["linear.weight"].to(dtype).float())
    assert net.norm.num_batches_tracked.dtype == torch.int64


def test_a_convert_function_decides_instead(tensors):
    net = empty()
    fill(net, tensors, convert=lambda t: t.double() if t.is_floating_point() else t)
    assert net.conv.bias.dtype == torch.float64


def test_missing_tensors_are_named(tensors):
    del tensors["linear.bias"], tensors["conv.weight"]
    with pytest.raises(DamagedFile, match=r"big\.ckpt lacks 2 tensors: linear.bias, conv.weight"):
        fill(empty(), tensors, source="big.ckpt")


def test_a_wrong_shape_is_named_with_both_shapes(tensors):
    tensors["linear.weight"] = torch.zeros(4, 3)
    with pytest.raises(DamagedFile, match=r"linear.weight has the shape \(4, 3\). \(3, 4\)"):
        fill(empty(), tensors)


def test_trailing_dimensions_of_one_come_and_go(tensors):
    tensors["linear.weight"] = tensors["linear.weight"].view(3, 4, 1, 1)
    tensors["conv.weight"] = tensors["conv.weight"].view(2, 4)
    net = empty()
    fill(net, tensors)
    assert net.linear.weight.shape == (3, 4) and net.conv.weight.shape == (2, 4, 1, 1)


def test_names_without_a_place_are_reported(tensors):
    assert fill(empty(), tensors | {"stray.weight": torch.ones(1)}).names == ("stray.weight",)


def test_damaged_position_numbers_are_counted_anew(tensors):
    tensors["position_ids"] = torch.tensor([[0.0, 1.02, 1.98, 3.0, 4.0]])
    net = empty()
    fill(net, tensors, dtype=torch.bfloat16)
    assert net.position_ids.tolist() == [[0, 1, 2, 3, 4]]
    del tensors["position_ids"]
    fill(empty(), tensors)


def test_defaults_stand_in_for_what_some_files_lack(tensors):
    del tensors["linear.bias"]
    net = empty()
    fill(net, tensors, defaults={"linear.bias": torch.full((3,), 7.0)})
    assert net.linear.bias.tolist() == [7, 7, 7]


def test_scaled_eight_bit_weights_are_multiplied_out(tensors):
    weight = tensors["linear.weight"]
    scale = weight.abs().max() / 448
    scaled = tensors | {
        "linear.weight": (weight / scale).to(torch.float8_e4m3fn),
        "linear.scale_weight": scale,
        "scaled_fp8": torch.zeros(1),
    }
    net = empty()
    assert fill(net, scaled, dtype=torch.float32).names == ()
    # e4m3 keeps four significant bits: half a step of 2⁻³ relative.
    assert torch.allclose(net.linear.weight, weight, rtol=2**-4, atol=float(scale) * 2**-9)


def test_mapped_pages_are_given_back_after_a_cast(tmp_path):
    big = nn.Linear(2048, 2048, bias=False)
    save_safetensors(tmp_path / "x.safetensors", {"weight": big.weight})
    with torch.device("meta"):
        net = nn.Linear(2048, 2048, bias=False)
    with open_weights(tmp_path / "x.safetensors") as weights:
        fill(net, weights.tensors(), dtype=torch.bfloat16)
        assert torch.equal(net.weight, big.weight.bfloat16())
        assert torch.equal(weights.tensor("weight"), big.weight)  # read from the file again
