"""Every tensor of a merged file is what the published formula makes of the inputs' tensors, in plain torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.merging.conftest import mix, tensors_of

VAE = "first_stage_model."


def compare(path, wanted, tolerance=1e-6):
    found = tensors_of(path)
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=tolerance, atol=tolerance, msg=name)


def each(models, formula, names="abc"):
    """The formula on each floating-point tensor of the named models; others are the first one's."""
    first, *others = (tensors_of(models[name]) for name in names)
    return {
        name: formula(tensor, *(other[name] for other in others)) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
        if name in first
    }


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, -0.5])
def test_weighted_sum(models, tmp_path, alpha):
    mix(tmp_path, [models["a"], models["b"]], "Weighted sum", alpha=alpha)
    wanted = each(models, lambda a, b: (1 - alpha) * a + alpha * b, "ab")
    compare(tmp_path / "merged.safetensors", wanted)


def test_weighted_sum_at_zero_is_the_first_model_bit_for_bit(models, tmp_path):
    mix(tmp_path, [models["a"], models["b"]], "Weighted sum", alpha=0)
    found = tensors_of(tmp_path / "merged.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors_of(models["a"]).items())


def test_add_difference(models, tmp_path):
    mix(tmp_path, [models["a"], models["b"], models["c"]], "Add difference", alpha=0.7)
    compare(tmp_path / "merged.safetensors", each(models, lambda a, b, c: a + 0.7 * (b - c)))


def train_difference(a, b, c, alpha):
    """The extension's own steps, written out: distances, their share, the sign, and 1.8 times alpha."""
    far, near = (b - c).abs(), (b - a).abs()
    total = far + near
    share = torch.where(total != 0, near / total, torch.tensor(0.0))
    return a + torch.sign(b - c) * share.abs() * (b - c).abs() * (alpha * 1.8)


def test_train_difference(models, tmp_path):
    mix(tmp_path, [models["a"], models["b"], models["c"]], "Train difference", alpha=0.6)
    compare(tmp_path / "merged.safetensors", each(models, lambda a, b, c: train_difference(a, b, c, 0.6)))


def test_train_difference_adds_nothing_where_nothing_was_trained_or_a_has_it_already(models, tmp_path):
    mix(tmp_path, [models["a"], models["b"], models["b"]], "Train difference", alpha=1)
    compare(tmp_path / "merged.safetensors", tensors_of(models["a"]), 0)
    (tmp_path / "merged.safetensors").unlink()
    mix(tmp_path, [models["a"], models["a"], models["c"]], "Train difference", alpha=1)
    compare(tmp_path / "merged.safetensors", tensors_of(models["a"]), 0)


def likeness(a, b, directions):
    """One weight's likenesses as the extension computes them, whole tensors at once."""
    a, b = a.reshape(-1) if a.ndim < 2 else a, b.reshape(-1) if b.ndim < 2 else b
    if directions:
        a, b = functional.normalize(a, dim=0), functional.normalize(b, dim=0)
    columns = functional.cosine_similarity(a, b, dim=0)
    whole = torch.dot(a.reshape(-1), b.reshape(-1)) / (a.norm() * b.norm())
    return columns, (columns + whole) / 2


@pytest.mark.parametrize(("method", "directions"), [("Cosine A", True), ("Cosine B", False)])
def test_cosine_forms(models, tmp_path, method, directions):
    alpha = 0.2
    mix(tmp_path, [models["a"], models["b"]], method, alpha=alpha)
    first, second = tensors_of(models["a"]), tensors_of(models["b"])
    names = [n for n, tensor in first.items() if tensor.is_floating_point() and not n.startswith(VAE)]
    both = {name: likeness(first[name], second[name], directions) for name in names}
    values = np.concatenate([both[name][0 if directions else 1].reshape(-1).numpy() for name in names])
    values = np.delete(values, np.where(values < np.percentile(values, 1, method="midpoint")))
    values = np.delete(values, np.where(values > np.percentile(values, 99, method="midpoint")))
    wanted = dict(first)
    for name in names:
        k = ((both[name][1] - values.min()) / (values.max() - values.min()) - alpha).clip(0, 1)
        wanted[name] = second[name] * (1 - k) + first[name] * k
    compare(tmp_path / "merged.safetensors", wanted, 2e-5)  # sums in another order


def test_cosine_forms_of_a_model_with_itself_are_that_model(models, tmp_path):
    mix(tmp_path, [models["a"], models["a"]], "Cosine A", alpha=0.4)
    compare(tmp_path / "merged.safetensors", tensors_of(models["a"]))


def test_no_interpolation_copies_and_converts(models, tmp_path):
    mix(tmp_path, [models["a"]], "No interpolation", precision="bf16")
    wanted = {n: t.bfloat16() if t.is_floating_point() else t for n, t in tensors_of(models["a"]).items()}
    compare(tmp_path / "merged.safetensors", wanted, 0)


def test_bands_of_rows_give_what_whole_tensors_give(models, tmp_path, monkeypatch):
    from webui.merging import merge as module

    for method, names in (("Train difference", "abc"), ("Cosine A", "ab")):
        (tmp_path / method).mkdir()
        paths = [models[name] for name in names]
        mix(tmp_path / method, paths, method)
        monkeypatch.setattr(module, "BAND", 3000)
        (tmp_path / method / "bands").mkdir()
        mix(tmp_path / method / "bands", paths, method)
        monkeypatch.undo()
        whole = tensors_of(tmp_path / method / "merged.safetensors")
        compare(tmp_path / method / "bands" / "merged.safetensors", whole, 2e-5 if method == "Cosine A" else 0)
