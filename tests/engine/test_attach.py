"""Attaching and detaching are exact inverses."""

import itertools

import pytest
import torch
from torch import nn

from webui.engine.attach import AttachedWeights, Attachment, attached
from webui.errors import IncompatibleModel


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def adding(name, parameter, amount):
    return Attachment(name, {parameter: [lambda total, base: total.add_(amount)]})


def test_detaching_puts_the_very_same_tensors_back(network):
    before = {name: (p, p.clone()) for name, p in network.named_parameters()}
    with attached(network, [Attachment("double", {"0.weight": [lambda total, base: total.add_(base)]})]):
        torch.testing.assert_close(network[0].weight.detach(), 2 * before["0.weight"][1])
    for name, parameter in network.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_every_change_is_made_of_the_base(network):
    base = network[1].weight.detach().clone()
    changes = [
        adding("a", "1.weight", 1.0),
        Attachment("b", {"1.weight": [lambda total, base: total.add_(base, alpha=2.0)]}),
    ]
    with attached(network, changes):
        torch.testing.assert_close(network[1].weight.detach(), base + 1 + 2 * base)


def test_the_order_of_attachments_changes_no_bit(network):
    network = network.to(torch.bfloat16)
    changes = [adding(name, "0.weight", torch.randn(4, 4) * 10**power) for name, power in zip("abcd", (-3, 0, 2, 1))]
    found = []
    for order in itertools.permutations(changes):
        with attached(network, order):
            found.append(network[0].weight.detach().clone())
    assert all(torch.equal(found[0], other) for other in found)


def test_changes_are_summed_before_they_are_rounded(network):
    network = network.to(torch.bfloat16)
    base = network[0].weight.detach().float()
    parts = torch.randn(8, 4, 4) * 0.003  # each smaller than a rounding step
    with attached(network, [adding(str(n), "0.weight", part) for n, part in enumerate(parts)]):
        summed = base
        for part in parts:
            summed = summed + part
        assert torch.equal(network[0].weight.detach(), summed.bfloat16())


def test_switching_leaves_nothing_of_the_former_set(network):
    before = network[0].weight
    weights = AttachedWeights(network)
    weights.switch([adding("a", "0.weight", 1.0)])
    weights.switch([adding("b", "1.weight", 1.0)])
    assert network[0].weight is before
    weights.detach()
    assert network[0].weight is before


def test_a_switch_takes_the_memory_of_the_former_set_and_nothing_of_its_numbers(network):
    base = network[0].weight.detach().clone()
    weights = AttachedWeights(network)
    weights.switch([adding("a", "0.weight", 1.0)])
    place = network[0].weight.data_ptr()
    weights.switch([adding("b", "0.weight", 2.0)])
    assert network[0].weight.data_ptr() == place
    assert torch.equal(network[0].weight.detach(), base + 2.0)


def test_a_failing_switch_leaves_the_base(network):
    before = network[0].weight
    weights = AttachedWeights(network)
    weights.switch([adding("a", "0.weight", 1.0)])
    with pytest.raises(IncompatibleModel):
        weights.switch([adding("b", "0.weight", 2.0), adding("c", "0.bias", torch.ones(3))])
    assert network[0].weight is before


def test_a_failure_inside_detaches_too(network):
    parameter = network[0].weight
    with pytest.raises(ZeroDivisionError), attached(network, [adding("a", "0.weight", 1.0)]):
        _ = 1 / 0
    assert network[0].weight is parameter


@pytest.mark.parametrize(
    ("bad", "told"),
    [(adding("bad", "9.weight", 1.0), "does not have"), (adding("bad", "0.bias", torch.ones(3)), r"\[4\]")],
)
def test_an_attachment_that_does_not_fit_is_refused_and_nothing_stays_changed(network, bad, told):
    parameter = network[0].weight
    with pytest.raises(IncompatibleModel, match=told):
        with attached(network, [adding("a", "0.weight", 1.0), bad]):
            pass
    assert network[0].weight is parameter
