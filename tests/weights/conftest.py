"""Small files in every container."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def state() -> dict[str, torch.Tensor]:
    """Tensors of many types and layouts, two of them views of one storage."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(40, generator=generator)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "half": torch.randn(5, generator=generator).half(),
        "brain": torch.randn(2, 3, generator=generator).bfloat16(),
        "transposed": torch.randn(4, 6, generator=generator).t(),
        "scalar": torch.tensor(3),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "truth": torch.tensor([True, False]),
        "head": base[:10],
        "tail": base[10:].view(5, 6),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3, generator=generator)),
    }


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]) -> dict[str, Path]:
    """The tensors written by torch (zip, legacy, Lightning wrapper) and by the safetensors library."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("containers")
    ordered = collections.OrderedDict(state)
    torch.save(ordered, folder / "zip.pt")
    torch.save(ordered, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    lightning = {
        "epoch": 3,
        "global_step": 110000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": ordered,
        "callbacks": {"x": {"best_model_score": 0.5}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}}],
    }
    torch.save(lightning, folder / "lightning.ckpt")
    save_file(
        {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, folder / "plain.safetensors"
    )
    return {path.stem: path for path in folder.iterdir()}
