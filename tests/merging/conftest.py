"""Narrow checkpoints to merge, and a short way to merge them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.conftest import home, make, session, settings, wanted, write_checkpoint  # noqa: F401  (fixtures)
from webui.merging.inputs import Files
from webui.merging.merge import Merged, merge
from webui.merging.metadata import Origin
from webui.merging.recipe import read_recipe
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors
from webui.weights.tensors import TensorInfo


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Checkpoints by name: three for pictures from text, and one with nine input channels."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for seed, (name, channels) in enumerate({"a": 4, "b": 4, "c": 4, "inpaint": 9}.items()):
        found[name] = write_checkpoint(folder / f"{name}.safetensors", seed, in_channels=channels)
        generator = torch.Generator().manual_seed(seed)
        tensors = tensors_of(found[name])
        for key, tensor in tensors.items():  # fresh networks have biases of zeros, which every method leaves alone
            if tensor.is_floating_point():
                tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
            if key.endswith("token_embedding.weight"):  # the words are most of such a small file
                tensors[key] = tensor[:1000].clone()
        save_safetensors(found[name], tensors)
    return found


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, copied."""
    with open_weights(path) as weights:
        return {name: weights.tensor(name).clone() for name in weights.header.tensors}


def mix(folder: Path, paths: list[Path], method: str, vae=None, loras=(), **values: Any) -> Merged:
    """Merge files into `folder/merged.safetensors`; loras are (path, strength, text strength)."""
    uses = [{"name": path.stem, "strength": strength, "text": text} for path, strength, text in loras]
    recipe = read_recipe(
        {
            "method": method,
            "models": [path.stem for path in paths],
            "name": "merged",
            "precision": "fp32",
            "vae": vae.stem if vae else "",
            "loras": uses,
            **values,
        }
    )
    files = Files(tuple(paths), vae, tuple(path for path, *_ in loras))
    origins = [Origin(path.stem, path.stem * 8, "0" * 8, {}) for path in paths]
    return merge(recipe, files, origins, folder / "merged.safetensors")


def write_sparse(path: Path, tensors: dict[str, TensorInfo]) -> Path:
    """A safetensors file of zeros that takes hardly any room on the disk."""
    header, position = {}, 0
    for name, info in tensors.items():
        end = position + info.bytes
        header[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)
    return path
