"""Hypernetworks compute what the modules that they were saved from compute."""

import pytest
import torch
from torch import nn

from tests.adapters.hypernetworks import sequential, state, write_hypernetwork
from webui.adapters.hypernetwork import ACTIVATIONS, read_hypernetwork
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.nn.hooks import Site

SITE = Site("down", 1, "attn2")
NAMED = {entry.lower(): getattr(nn, entry) for entry in nn.modules.activation.__all__ if entry != "Hardswish"}
NAMED["swish"] = nn.Hardswish


def outcome(path, networks, x, strength=0.7):
    hooks = read_hypernetwork(path).hooks(strength, torch.device("cpu"), torch.float32)
    key, value = hooks.run_sources(SITE, x, x)
    with torch.no_grad():
        first, second = (x + strength * network(x) for network in networks[x.shape[-1]])
    torch.testing.assert_close(key, first)
    torch.testing.assert_close(value, second)
    assert not torch.allclose(key, x)


@pytest.mark.parametrize("structure", [(1, 1), (1, 2, 1), (1, 2, 4, 2, 1)])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("activate_output", [True, False])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("dropout", [None, 0.3])
def test_every_layout_equals_its_module(tmp_path, structure, norm, activate_output, activation, dropout):
    path = tmp_path / "a.pt"
    drop = [0, *[dropout] * (len(structure) - 2), 0] if dropout else None
    options = {"structure": structure, "norm": norm, "activate_output": activate_output, "dropout": drop}
    networks = write_hypernetwork(
        path, (8,), {"activation_func": activation}, activation=NAMED[activation] if activation else None, **options
    )
    outcome(path, networks, torch.randn(2, 5, 8))


@pytest.mark.parametrize("name", [*sorted(set(ACTIVATIONS) & set(NAMED)), "prelu"])
def test_every_activation_equals_torchs(tmp_path, name):
    networks = write_hypernetwork(tmp_path / "a.pt", (8,), {"activation_func": name}, activation=NAMED[name])
    outcome(tmp_path / "a.pt", networks, torch.randn(2, 5, 8))


def test_every_known_activation_is_tested():
    assert set(ACTIVATIONS) - set(NAMED) <= {"hardswish"}


# What torch calls an activation but a hypernetwork cannot be built with: they need arguments, change the width, or
# mix the pictures of a batch, so that one would depend on its neighbours.
IMPOSSIBLE = {"glu", "multiheadattention", "threshold", "softmax", "softmax2d", "softmin", "logsoftmax"}


def test_every_activation_of_torch_is_known_or_refused_by_name(tmp_path):
    assert set(NAMED) - set(ACTIVATIONS) - {"prelu"} == IMPOSSIBLE
    for name in sorted(IMPOSSIBLE):
        write_hypernetwork(tmp_path / "a.pt", (8,), {"activation_func": name})
        with pytest.raises(UnknownModel, match=rf"a\.pt has the activation '{name}'"):
            read_hypernetwork(tmp_path / "a.pt")


@pytest.mark.parametrize("said", [None, "linear", "Linear", ""])
def test_no_activation_is_written_in_several_ways(tmp_path, said):
    networks = write_hypernetwork(tmp_path / "a.pt", (8,), {"activation_func": said})
    outcome(tmp_path / "a.pt", networks, torch.randn(2, 5, 8))


@pytest.mark.parametrize("dropout", [(0, 0.3, 0.3), (0, 0.05, 0.1), (0, 0, 0.3)])
def test_dropout_of_the_last_layer_and_facts_about_training_change_nothing(tmp_path, dropout):
    said = {"use_dropout": True, "last_layer_dropout": True, "dropout_structure": list(dropout)}
    said |= {"weight_initialization": "XavierNormal", "optional_info": "x", "activation_func": "tanh"}
    options = {"activation": nn.Tanh, "norm": True, "activate_output": False, "dropout": dropout}
    networks = write_hypernetwork(tmp_path / "a.pt", (8, 16), said, **options)
    for width in (8, 16):
        outcome(tmp_path / "a.pt", networks, torch.randn(2, 5, width))


def test_several_act_one_after_the_other(tmp_path):
    first, second = (write_hypernetwork(tmp_path / f"{name}.pt", (8,), structure=(1, 2, 1)) for name in "ab")
    torch.manual_seed(2)
    for parameter in second[8][0].parameters():
        nn.init.normal_(parameter)
    torch.save({8: tuple(state(network) for network in second[8])}, tmp_path / "b.pt")
    place = torch.device("cpu"), torch.float32
    one, two = (read_hypernetwork(tmp_path / f"{name}.pt").hooks(0.5, *place) for name in "ab")
    x = torch.randn(1, 3, 8)
    with torch.no_grad():
        between = x + 0.5 * first[8][0](x)
        wanted = between + 0.5 * second[8][0](between)
    torch.testing.assert_close((one + two).run_sources(SITE, x, x)[0], wanted)


def test_old_files_call_their_layers_otherwise_and_activate_their_output_unsaid(tmp_path):
    torch.manual_seed(1)
    pair = sequential(8), sequential(8)
    old = [
        {n.replace("linear.0", "linear1").replace("linear.1", "linear2"): t for n, t in state(one).items()}
        for one in pair
    ]
    torch.save({8: tuple(old), "step": 1}, tmp_path / "a.pt")
    outcome(tmp_path / "a.pt", {8: pair}, torch.randn(1, 3, 8))


def test_contexts_of_another_width_stay_as_they_are(tmp_path):
    write_hypernetwork(tmp_path / "a.pt", (8,))
    hooks = read_hypernetwork(tmp_path / "a.pt").hooks(1.0, torch.device("cpu"), torch.float32)
    x = torch.randn(1, 3, 16)
    key, value = hooks.run_sources(SITE, x, x)
    assert key is x and value is x


def test_strength_zero_hooks_nothing(tmp_path):
    write_hypernetwork(tmp_path / "a.pt", (8,))
    assert not read_hypernetwork(tmp_path / "a.pt").hooks(0.0, torch.device("cpu"), torch.float32).sources


def test_a_file_for_other_contexts_is_refused_but_further_widths_are_welcome(tmp_path):
    write_hypernetwork(tmp_path / "a.pt", (8, 16, 24))
    network = read_hypernetwork(tmp_path / "a.pt")
    network.check({16}, 24)
    with pytest.raises(IncompatibleModel, match="8, 16, 24"):
        network.check({16}, 32, "narrow")


def test_other_files_and_unknown_activations_are_refused(tmp_path):
    torch.save({"a": torch.zeros(2, 2)}, tmp_path / "a.pt")
    with pytest.raises(UnknownModel, match="no hypernetwork"):
        read_hypernetwork(tmp_path / "a.pt")
    write_hypernetwork(tmp_path / "b.pt", (8,), {"activation_func": "sorcery"})
    with pytest.raises(UnknownModel, match="sorcery"):
        read_hypernetwork(tmp_path / "b.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(tmp_path, value):
    networks = {8: (sequential(8), sequential(8))}
    networks[8][1][0].weight.data[1, 1] = value
    torch.save({8: tuple(state(network) for network in networks[8])}, tmp_path / "a.pt")
    with pytest.raises(DamagedFile, match=r"a\.pt is damaged: 8\.1\.linear\.0\.weight"):
        read_hypernetwork(tmp_path / "a.pt")


def test_layers_that_do_not_follow_each_other_are_refused(tmp_path):
    broken = {"linear.0.weight": torch.zeros(4, 8), "linear.1.weight": torch.zeros(8, 5)}
    torch.save({8: (broken, broken)}, tmp_path / "a.pt")
    with pytest.raises(DamagedFile, match="layer 1"):
        read_hypernetwork(tmp_path / "a.pt")
