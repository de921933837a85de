"""Hypernetworks as A1111 builds and saves them: an `nn.Sequential` for each width, twice."""

import torch
from torch import nn


def sequential(width, structure=(1, 2, 1), activation=None, norm=False, activate_output=True, dropout=None):
    """The layers in the published order: linear, activation, normalisation, dropout."""
    layers = []
    for number in range(len(structure) - 1):
        layers.append(nn.Linear(int(width * structure[number]), int(width * structure[number + 1])))
        last = number >= len(structure) - 2
        if activation is not None and (not last or activate_output):
            layers.append(activation())
        if norm:
            layers.append(nn.LayerNorm(int(width * structure[number + 1])))
        if dropout and dropout[number + 1] > 0:
            layers.append(nn.Dropout(dropout[number + 1]))
    network = nn.Sequential(*layers).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def state(network):
    """Its tensors, named as in the files."""
    return {f"linear.{name}": tensor for name, tensor in network.state_dict().items()}


def write_hypernetwork(path, widths, said=None, **options):
    """Write a file; returns the networks by width."""
    torch.manual_seed(7)
    networks = {width: (sequential(width, **options), sequential(width, **options)) for width in widths}
    top = {width: tuple(state(network) for network in pair) for width, pair in networks.items()}
    facts = {"step": 3, "name": path.stem, "layer_structure": list(options.get("structure", (1, 2, 1)))}
    facts |= {"activation_func": None, "is_layer_norm": options.get("norm", False)}
    if "activate_output" in options:
        facts["activate_output"] = options["activate_output"]
    torch.save({**top, **facts, **(said or {})}, path)
    return networks
