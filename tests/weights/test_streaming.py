"""Files are written tensor by tensor, and appear whole or not at all."""

import hashlib
import struct
import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from webui.errors import InvalidRequest
from webui.weights.save import info_of, save_safetensors, write_safetensors

TENSORS = {
    "half": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "wide": torch.arange(4, dtype=torch.int64),
    "plain": torch.ones(3, 2),
    "empty": torch.empty(0, 4),
}
INFOS = {name: info_of(tensor) for name, tensor in TENSORS.items()}


def test_what_is_streamed_is_what_the_library_reads(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, INFOS, TENSORS.__getitem__, {"title": "a"})
    loaded = load_file(path)
    assert set(loaded) == set(TENSORS)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in TENSORS.items())


def test_a_tensor_is_let_go_before_the_next_is_made(tmp_path):
    alive = []

    def read(name):
        assert all(made() is None for made in alive)
        tensor = TENSORS[name].clone()
        alive.append(weakref.ref(tensor))
        return tensor

    write_safetensors(tmp_path / "x.safetensors", INFOS, read)
    assert len(alive) == len(TENSORS)


def test_the_hash_in_the_metadata_is_that_of_the_tensors_bytes(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, INFOS, TENSORS.__getitem__, {"title": "a"}, hash_key="modelspec.hash_sha256")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "title": "a",
            "modelspec.hash_sha256": "0x" + hashlib.sha256(data[8 + length :]).hexdigest(),
        }


def test_a_name_that_is_taken_is_refused_where_nothing_may_be_replaced(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(InvalidRequest, match="already"):
        write_safetensors(path, INFOS, TENSORS.__getitem__, replace=False)
    assert path.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1


def test_an_error_halfway_leaves_nothing(tmp_path):
    def read(name):
        if name == "plain":
            raise OSError("no")
        return TENSORS[name]

    with pytest.raises(OSError, match="no"):
        write_safetensors(tmp_path / "x.safetensors", INFOS, read)
    assert not list(tmp_path.iterdir())


def test_a_tensor_of_another_shape_than_announced_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="announced"):
        write_safetensors(tmp_path / "x.safetensors", INFOS, lambda name: TENSORS[name].reshape(-1))
    save_safetensors(tmp_path / "y.safetensors", TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["y.safetensors"]
