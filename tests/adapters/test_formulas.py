"""Every published way to write a weight update gives the ΔW of its authors' library."""

import lycoris.modules as kinds
import peft
import pytest
import torch
from lycoris.modules.boft import ButterflyOFTModule
from torch import nn

from webui.adapters.kinds import LayerUpdate
from webui.adapters.roles import group_by_layer, kind_of


def layer(kind):
    torch.manual_seed(1)
    return {
        "linear": nn.Linear(24, 16),
        "1x1": nn.Conv2d(24, 16, 1),
        "3x3": nn.Conv2d(24, 16, 3, padding=1),
    }[kind]


def randomised(module, seed=2):
    """The module with every trained tensor random, and its file's tensors."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn_like(parameter) * 0.3
    return module, {name: tensor.detach().clone() for name, tensor in module.custom_state_dict().items()}


def update_of(tensors):
    """What our reader makes of a file with one layer."""
    layers, bundled, others = group_by_layer(f"lora_unet_x.{name}" for name in tensors)
    assert list(layers) == ["lora_unet_x"] and not bundled and not others
    roles = {role: tensors[name.removeprefix("lora_unet_x.")] for role, name in layers["lora_unet_x"].items()}
    kind = kind_of(set(roles))
    assert kind is not None
    return LayerUpdate(kind, roles)


def compare(base, module, tensors, strength=1.0):
    weight = base.weight.detach()
    if isinstance(module, kinds.LohaModule | kinds.LokrModule):  # their merging scales twice; training scales once
        wanted = weight + strength * module.get_weight(weight.shape)
        wanted = module.apply_weight_decompose(wanted, strength) if module.wd else wanted
    else:
        wanted = module.get_merged_weight(multiplier=strength, shape=weight.shape)[0]
    wanted = wanted.detach().reshape(weight.shape)
    total = weight.clone()
    update_of(tensors).add_to(total, weight, strength)
    assert (wanted - weight).abs().max() > 1e-3  # there is something to compare
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=1e-5)


CASES = {
    "LoRA": (kinds.LoConModule, {}),
    "LoRA with a core": (kinds.LoConModule, {"use_tucker": True}),
    "LoRA with a learned scalar": (kinds.LoConModule, {"use_scalar": True}),
    "rank-stabilised LoRA": (kinds.LoConModule, {"rs_lora": True}),
    "LoHa": (kinds.LohaModule, {}),
    "LoHa with cores": (kinds.LohaModule, {"use_tucker": True}),
    "LoKr": (kinds.LokrModule, {"factor": 4, "lora_dim": 1}),
    "LoKr with a core": (kinds.LokrModule, {"factor": 4, "use_tucker": True}),
    "LoKr with both factors in two": (kinds.LokrModule, {"factor": 4, "decompose_both": True, "lora_dim": 1}),
    "LoKr with whole factors": (kinds.LokrModule, {"factor": 4, "full_matrix": True, "alpha": 1e10}),
    "GLoRA": (kinds.GLoRAModule, {}),
}


@pytest.mark.parametrize("shape", ["linear", "1x1", "3x3"])
@pytest.mark.parametrize("name", CASES)
def test_low_rank_kinds_equal_lycoris(name, shape):
    make, options = CASES[name]
    base = layer(shape)
    module, tensors = randomised(make("x", base, 1.0, **{"lora_dim": 4, "alpha": 2, **options}))
    compare(base, module, tensors)


@pytest.mark.parametrize("strength", [1.0, 0.6, -0.5])
def test_strength_scales_the_update(strength):
    base = layer("linear")
    compare(base, *randomised(kinds.LoConModule("x", base, 1.0, 4, 2)), strength)


@pytest.mark.parametrize("shape", ["linear", "3x3"])
@pytest.mark.parametrize("on_input", [True, False])
def test_ia3_scales_rows_or_columns(shape, on_input):
    base = layer(shape)
    module = kinds.IA3Module("x", base, 1.0, train_on_input=on_input)
    torch.manual_seed(2)
    module.weight.data = torch.randn_like(module.weight)
    compare(base, module, {name: t.detach() for name, t in module.state_dict().items() if "org" not in name})


@pytest.mark.parametrize("shape", ["linear", "3x3"])
@pytest.mark.parametrize("constraint", [0, 0.01])
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("make", [kinds.DiagOFTModule, ButterflyOFTModule])
def test_orthogonal_kinds_equal_lycoris(make, shape, constraint, rescaled):
    base = layer(shape)
    module = make("x", base, 1.0, lora_dim=4, constraint=constraint, rescaled=rescaled)
    torch.manual_seed(2)
    for parameter in module.parameters():
        parameter.data = parameter.data + torch.randn_like(parameter) * 0.2
    names = ("oft_blocks", "alpha", "rescale")
    tensors = {name: getattr(module, name).detach() for name in names if hasattr(module, name)}
    compare(base, module, tensors)


def test_old_orthogonal_files_hold_the_rotations_themselves():
    base = layer("linear").weight.detach()
    rotations = torch.linalg.qr(torch.randn(4, 4, 4))[0]
    wanted = torch.block_diag(*rotations).T @ base  # kohya's convention: blocks act from the other side
    delta = update_of({"oft_diag": rotations}).delta(base)
    torch.testing.assert_close(base + delta, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", ["linear", "3x3"])
@pytest.mark.parametrize("on_output", [True, False])
@pytest.mark.parametrize("make", [kinds.LoConModule, kinds.LohaModule, kinds.LokrModule])
def test_weight_decomposition_equals_lycoris(make, shape, on_output):
    base = layer(shape)
    module = make("x", base, 1.0, 4, 2, weight_decompose=True, wd_on_out=on_output)
    compare(base, *randomised(module))


@pytest.mark.parametrize("bias", [True, False])
def test_a_full_difference_is_added_with_its_bias(bias):
    base = layer("linear")
    tensors = {"diff": torch.randn(16, 24), **({"diff_b": torch.randn(16)} if bias else {})}
    update = update_of(tensors)
    torch.testing.assert_close(update.delta(base.weight.detach()), tensors["diff"])
    found = update.bias_delta()
    assert (found is not None) == bias
    if bias:
        torch.testing.assert_close(found, tensors["diff_b"])


def test_differences_of_normalisations_are_added():
    tensors = {"w_norm": torch.randn(8), "b_norm": torch.randn(8)}
    update = update_of(tensors)
    torch.testing.assert_close(update.delta(torch.ones(8)), tensors["w_norm"])
    torch.testing.assert_close(update.bias_delta(), tensors["b_norm"])


def test_old_glora_files_have_their_factors_the_other_way_round():
    base = torch.randn(16, 24)
    a1, a2, b1, b2 = torch.randn(4, 24), torch.randn(24, 4), torch.randn(4, 24), torch.randn(16, 4)
    tensors = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2, "alpha": torch.tensor(2.0)}
    wanted = 0.5 * (b2 @ b1 + (base @ a2) @ a1)
    torch.testing.assert_close(update_of(tensors).delta(base), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("options", "shape"), [({}, "linear"), ({"use_dora": True}, "linear"), ({}, "3x3")])
def test_files_of_peft_equal_peft(options, shape):
    base = nn.Sequential(layer(shape))
    weight = base[0].weight.detach().clone()
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["0"], init_lora_weights=False, **options)
    model = peft.get_peft_model(base, config)
    if options:
        model.base_model.model[0].lora_magnitude_vector["default"].weight.data.mul_(1.1)
    state = peft.get_peft_model_state_dict(model)
    tensors = {name.removeprefix("base_model.model.0."): tensor.clone() for name, tensor in state.items()}
    wanted = model.merge_and_unload()[0].weight.detach()
    total = weight.clone()
    update_of(tensors).add_to(total, weight, 1.0)
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=1e-5)


def test_alpha_absent_means_a_scale_of_one_and_a_stored_scale_counts_instead_of_alpha():
    up, down = torch.randn(16, 4), torch.randn(4, 24)
    base = torch.zeros(16, 24)
    tensors = {"lora_up.weight": up, "lora_down.weight": down}
    torch.testing.assert_close(update_of(tensors).delta(base), up @ down)
    scaled = {**tensors, "alpha": torch.tensor([2.0]), "scale": torch.tensor(3.0)}
    torch.testing.assert_close(update_of(scaled).delta(base), 3 * up @ down)


def test_fewer_ranks_keep_the_scale_of_the_whole():
    up, down = torch.randn(16, 4), torch.randn(4, 24)
    update = update_of({"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)})
    wanted = 0.5 * up[:, :3] @ down[:3]
    torch.testing.assert_close(update.with_rank(3).delta(torch.zeros(16, 24)), wanted)


def test_sparse_rests_of_extracted_files_are_added():
    up, down = torch.zeros(16, 4), torch.zeros(4, 24)
    sparse = {"bias_indices": torch.tensor([[0, 3], [1, 5]]), "bias_values": torch.tensor([2.0, -1.0])}
    tensors = {"lora_up.weight": up, "lora_down.weight": down, **sparse, "bias_size": torch.tensor([16, 24])}
    delta = update_of(tensors).delta(torch.zeros(16, 24))
    assert delta[0, 1] == 2 and delta[3, 5] == -1 and delta.count_nonzero() == 2


def test_a_half_precision_file_is_computed_in_float32():
    up, down = torch.randn(16, 4).half(), torch.randn(4, 24).half()
    delta = update_of({"lora_up.weight": up, "lora_down.weight": down}).delta(torch.zeros(16, 24))
    assert torch.equal(delta, up.float() @ down.float())
