"""Every container gives the tensors that were put in."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from webui.errors import DamagedFile, NotFound
from webui.weights.header import read_header
from webui.weights.reader import TORCH_DTYPES, open_weights
from webui.weights.save import save_safetensors


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@pytest.mark.parametrize("kind", ["zip", "legacy", "lightning", "plain"])
def test_every_container_gives_the_tensors_that_were_put_in(kind, files, state):
    with open_weights(files[kind]) as weights:
        assert set(weights.header.tensors) == set(state)
        for name, tensor in state.items():
            assert same(weights.tensor(name), tensor.detach()), name


@pytest.mark.parametrize("kind", ["zip", "legacy", "lightning", "plain"])
def test_the_header_tells_shapes_and_types_of_the_tensors(kind, files, state):
    header = read_header(files[kind])
    for name, tensor in state.items():
        assert header.tensors[name].shape == tuple(tensor.shape)
        assert TORCH_DTYPES[header.tensors[name].dtype] == tensor.dtype


@pytest.mark.parametrize(("kind", "ending"), [("plain", ".ckpt"), ("zip", ".safetensors"), ("legacy", ".SAFETENSORS")])
def test_the_bytes_decide_what_a_file_is_and_not_its_name(kind, ending, files, tmp_path, state):
    disguised = shutil.copy(files[kind], tmp_path / f"model{ending}")
    with open_weights(disguised) as weights:
        assert same(weights.tensor("a.weight"), state["a.weight"])


def test_a_lightning_file_leaves_optimizer_and_callbacks_out_and_keeps_its_step_number(files):
    header = read_header(files["lightning"])
    assert header.metadata["global_step"] == "110000"
    assert not [name for name in header.tensors if "exp_avg" in name]


def test_lightning_classes_and_numpy_scalars_of_original_checkpoints_are_read_as_inert_objects(tmp_path):
    import sys
    import types

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    exec("class ModelCheckpoint:\n    pass", module.__dict__)
    module.ModelCheckpoint.__module__ = module.__name__
    packages = {name: types.ModuleType(name) for name in ("pytorch_lightning", "pytorch_lightning.callbacks")}
    sys.modules.update(packages | {module.__name__: module})
    try:
        score = {"best_model_score": np.float64(0.25), "array": np.arange(3)}
        top = {
            "state_dict": {"w": torch.ones(2)},
            "callbacks": {module.ModelCheckpoint: score},
            "odd": module.ModelCheckpoint(),
        }
        torch.save(top, tmp_path / "original.ckpt")
    finally:
        for name in (*packages, module.__name__):
            del sys.modules[name]
    assert list(read_header(tmp_path / "original.ckpt").tensors) == ["w"]
    assert module.__name__ not in sys.modules


@pytest.mark.parametrize("key", ["state_dict", "model", "params_ema", "anything"])
def test_a_dictionary_inside_a_dictionary_is_unwrapped_or_named_by_its_path(key, tmp_path):
    torch.save({key: {"w": torch.ones(2)}}, tmp_path / "x.pth")
    wanted = "anything.w" if key == "anything" else "w"
    assert list(read_header(tmp_path / "x.pth").tensors) == [wanted]


def test_a_textual_inversion_parameter_dictionary_is_read(tmp_path):
    vectors = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.randn(2, 8))})
    torch.save({"string_to_param": {"*": torch.ones(2, 8)}, "name": "cat", "keep": vectors}, tmp_path / "cat.pt")
    header = read_header(tmp_path / "cat.pt")
    assert header.tensors["string_to_param.*"].shape == (2, 8)
    assert header.metadata["name"] == "cat"


def test_eight_bit_floats_survive_torch_and_safetensors_files(tmp_path):
    tensor = torch.linspace(-3, 3, 16).to(torch.float8_e4m3fn)
    torch.save({"w": tensor}, tmp_path / "f8.pt")
    save_safetensors(tmp_path / "f8.safetensors", {"w": tensor})
    for path in tmp_path.iterdir():
        with open_weights(path) as weights:
            assert torch.equal(weights.tensor("w").float(), tensor.float())


def test_a_recompressed_torch_archive_is_read(files, tmp_path, state):
    with zipfile.ZipFile(files["zip"]) as old, zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with open_weights(tmp_path / "z.pt") as weights:
        for name, tensor in state.items():
            assert same(weights.tensor(name), tensor.detach()), name


def test_a_safetensors_file_with_an_odd_header_length_is_read(tmp_path):
    data = np.arange(4, dtype=np.float32)
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (1 + (-len(header)) % 2)  # not a multiple of the element size
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data.tobytes())
    with open_weights(tmp_path / "odd.safetensors") as weights:
        assert weights.tensor("w").tolist() == [0, 1, 2, 3]


def test_saved_files_are_what_the_safetensors_library_reads(tmp_path, state):
    from safetensors import safe_open
    from safetensors.torch import load_file

    save_safetensors(tmp_path / "x.safetensors", state, {"title": "größer"})
    loaded = load_file(tmp_path / "x.safetensors")
    assert all(same(loaded[name], tensor.detach().contiguous()) for name, tensor in state.items())
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"title": "größer"}


def test_a_failed_save_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, {"w": torch.ones(2)})
    before = path.read_bytes()
    with pytest.raises(Exception, match="complex"):
        save_safetensors(path, {"w": torch.zeros(2, dtype=torch.complex64)})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_tensors_are_views_of_the_mapped_file_and_writing_into_them_does_not_change_it(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, {"w": torch.ones(1000)})
    with open_weights(path) as weights:
        first, second = weights.tensor("w"), weights.tensor("w")
    assert first.data_ptr() == second.data_ptr()
    first.zero_()
    with open_weights(path) as weights:
        assert weights.tensor("w").sum() == 1000


def test_a_file_that_shrinks_after_its_header_was_read_gives_a_typed_error(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, {"w": torch.ones(10 * mmap.PAGESIZE)})
    header = read_header(path)
    with path.open("r+b") as file:
        file.truncate(mmap.PAGESIZE)
    with pytest.raises(DamagedFile, match=r"x\.safetensors"):
        open_weights(header).tensor("w")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs", "LFS pointer"),
        (b"GGUF" + bytes(20), "GGUF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG"),
        (bytes(64), "zeros"),
        (b"short", "5 bytes"),
    ],
)
def test_files_of_another_kind_are_named(start, message, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(start)
    with pytest.raises(DamagedFile, match=message):
        read_header(tmp_path / "m.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        read_header(Path(tmp_path / "nowhere.ckpt"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(DamagedFile, match="regular file"):
        read_header(tmp_path / "pipe.safetensors")
