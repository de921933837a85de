"""Every form in which embeddings are stored is read."""

import pytest
import torch
from torch import nn

from webui.adapters.embedding import bundled_names, read_vectors, vector_count, vector_tensors
from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.weights.header import read_header
from webui.weights.save import save_safetensors

VECTORS = torch.arange(24.0).reshape(3, 8)
FORMS = {
    "A1111": {"string_to_token": {"*": 265}, "string_to_param": {"*": VECTORS}, "name": "x", "step": 9},
    "A1111 with a tensor for a token": {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": VECTORS}},
    "the first authors'": {"string_to_param": nn.ParameterDict({"*": nn.Parameter(VECTORS)})},
    "diffusers": {"<x>": VECTORS},
    "a list": [{"<other>": torch.zeros(2, 5)}, {"<x>": VECTORS}],
    "a list of tensors": [torch.zeros(2, 5), VECTORS],
    "a bare tensor": VECTORS,
    "a bare parameter": nn.Parameter(VECTORS),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_every_pickled_form_is_read(tmp_path, form, zipped):
    torch.save(FORMS[form], tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    header = read_header(tmp_path / "a.pt")
    tensors = vector_tensors(header, 1, 8)
    assert vector_count(header, tensors) == 3
    assert torch.equal(read_vectors(header, tensors)[0], VECTORS)


def test_a_bare_vector_is_one_vector(tmp_path):
    torch.save({"<x>": VECTORS[0]}, tmp_path / "a.bin")
    header = read_header(tmp_path / "a.bin")
    tensors = vector_tensors(header, 1, 8)
    assert vector_count(header, tensors) == 1
    assert torch.equal(read_vectors(header, tensors)[0], VECTORS[:1])


@pytest.mark.parametrize("bundle", ["", "shine"])
def test_pairs_for_two_encoders_come_in_their_order(tmp_path, bundle):
    prefix = f"bundle_emb.{bundle}." if bundle else ""
    save_safetensors(tmp_path / "a.safetensors", {f"{prefix}clip_g": torch.ones(2, 12), f"{prefix}clip_l": VECTORS[:2]})
    header = read_header(tmp_path / "a.safetensors")
    assert bundled_names(header) == (("shine",) if bundle else ())
    found = read_vectors(header, vector_tensors(header, 2, 20, bundle))
    assert torch.equal(found[0], VECTORS[:2]) and torch.equal(found[1], torch.ones(2, 12))


def test_the_refiner_takes_the_half_that_is_its_own(tmp_path):
    save_safetensors(tmp_path / "a.safetensors", {"clip_g": torch.ones(2, 12), "clip_l": VECTORS[:2]})
    header = read_header(tmp_path / "a.safetensors")
    assert vector_tensors(header, 1, 12) == ("clip_g",)


def test_a_pair_under_other_names_is_told_apart_by_its_widths(tmp_path):
    save_safetensors(tmp_path / "a.safetensors", {"text_encoders_1": torch.ones(2, 12), "text_encoders_0": VECTORS[:2]})
    assert vector_tensors(read_header(tmp_path / "a.safetensors"), 2, 20) == ("text_encoders_0", "text_encoders_1")


def test_a_network_or_lora_is_no_embedding_though_some_tensors_would_fit(tmp_path):
    save_safetensors(tmp_path / "a.safetensors", {f"layer{i}.lora_down.weight": torch.ones(4, 8) for i in range(17)})
    with pytest.raises(UnknownModel, match="a holds 17 tensors of something else"):
        vector_tensors(read_header(tmp_path / "a.safetensors"), 1, 8)


@pytest.mark.parametrize(("encoders", "width"), [(1, 16), (2, 20)])
def test_vectors_for_another_base_are_refused_with_both_widths(tmp_path, encoders, width):
    save_safetensors(tmp_path / "a.safetensors", {"emb_params": VECTORS})
    with pytest.raises(IncompatibleModel, match=rf"width 8.*reads {width}"):
        vector_tensors(read_header(tmp_path / "a.safetensors"), encoders, width)


def test_files_without_vectors_or_with_unequal_or_too_many_are_refused(tmp_path):
    for name, tensors, error in (
        ("none", {"x": torch.zeros(2, 2, 2)}, UnknownModel),
        ("unequal", {"clip_l": torch.zeros(1, 8), "clip_g": torch.zeros(2, 8)}, DamagedFile),
        ("many", {"clip_l": torch.zeros(76, 8), "clip_g": torch.zeros(76, 8)}, DamagedFile),
    ):
        save_safetensors(tmp_path / f"{name}.safetensors", tensors)
        with pytest.raises(error, match=name):
            vector_tensors(read_header(tmp_path / f"{name}.safetensors"), 2, 16)
