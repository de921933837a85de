"""Attaching and detaching are exact inverses."""

import pytest
import torch
from torch import nn

from webui.engine.attach import Attachment, attached
from webui.errors import IncompatibleModel


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def test_detaching_puts_the_very_same_tensors_back(network):
    before = {name: (p, p.clone()) for name, p in network.named_parameters()}
    with attached(network, [Attachment("double", {"0.weight": lambda w: 2 * w})]):
        assert not torch.equal(network[0].weight, before["0.weight"][1])
    for name, parameter in network.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_several_attachments_of_a_layer_apply_in_order(network):
    base = network[1].weight.detach().clone()
    changes = [Attachment("a", {"1.weight": lambda w: w + 1}), Attachment("b", {"1.weight": lambda w: w * 3})]
    with attached(network, changes):
        torch.testing.assert_close(network[1].weight.detach(), (base + 1) * 3)


def test_a_failure_inside_detaches_too(network):
    parameter = network[0].weight
    with pytest.raises(ZeroDivisionError), attached(network, [Attachment("a", {"0.weight": lambda w: w + 1})]):
        _ = 1 / 0
    assert network[0].weight is parameter


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"9.weight": lambda w: w}, "does not have"), ({"0.bias": lambda w: w[:1]}, r"\[1\]")],
)
def test_an_attachment_that_does_not_fit_is_refused_and_nothing_stays_changed(network, changes, told):
    parameter = network[0].weight
    with pytest.raises(IncompatibleModel, match=told):
        with attached(network, [Attachment("bad", {"0.weight": lambda w: w + 1, **changes})]):
            pass
    assert network[0].weight is parameter
