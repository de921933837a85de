"""Aesthetic gradients move a copy of either text encoder as the same steps in transformers do."""

import pytest
import torch

from tests.adapters import aesthetics as oracle
from webui.adapters.aesthetic import (
    features,
    moved_encoder,
    projections,
    read_file,
    read_projection,
    read_target,
    shifted,
    slerp,
    target_shape,
    unit,
)
from webui.errors import DamagedFile, UnknownModel
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.openclip import OpenClipText, OpenClipTextConfig
from webui.weights.header import read_header
from webui.weights.names import text_to_openclip
from webui.weights.save import save_safetensors

TOKENS = torch.tensor([[49406, 320, 736, 3055, *[49407] * 73], [49406, 1125, 539, *[49407] * 74]])


def ours_of(model):
    """Our CLIP with the weights of transformers', and its projection [width, features] apart."""
    config = ClipTextConfig(width=oracle.WIDTH, layers=2, heads=1, hidden=2 * oracle.WIDTH)
    encoder = ClipText(config)
    state = {name.removeprefix("text_model."): tensor for name, tensor in model.state_dict().items()}
    projection = state.pop("text_projection.weight").T
    encoder.load_state_dict({name: tensor for name, tensor in state.items() if "position_ids" not in name})
    return encoder.requires_grad_(False), projection


def open_clip_of(model):
    """Our OpenCLIP with the same weights, its projection inside."""
    state = {name.removeprefix("text_model."): tensor for name, tensor in model.state_dict().items()}
    sources = text_to_openclip(state)
    joined = {target: torch.cat([state[name] for name in names]) for target, names in sources.items()}
    joined["text_projection"] = joined["text_projection"].T.contiguous()
    joined["logit_scale"] = torch.zeros(())
    encoder = OpenClipText(OpenClipTextConfig(oracle.WIDTH, 2, 1, 2 * oracle.WIDTH, projection=48))
    encoder.load_state_dict(joined)
    return encoder.requires_grad_(False), None


@pytest.fixture
def target():
    return unit(torch.randn(1, 48, generator=torch.Generator().manual_seed(4)))


def bytes_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("make", "act"), [(ours_of, "quick_gelu"), (open_clip_of, "gelu")])
@pytest.mark.parametrize("chunks", [1, 2])
def test_the_moved_copy_encodes_as_transformers_does_after_the_same_steps(make, act, chunks, target):
    model = oracle.clip(act=act)
    encoder, projection = make(model)
    inputs = [(TOKENS[i : i + 1], None) for i in range(chunks)]
    moved = moved_encoder(encoder, projection, inputs, lambda copy: target, 6, 0.002, lambda: None)
    theirs = oracle.moved(model, TOKENS[:chunks], target, 6, 0.002)
    plain, wanted = (oracle.hidden(one, TOKENS[:chunks]) for one in (model, theirs))
    found = torch.cat([moved(tokens).hidden for tokens, _ in inputs], dim=1)
    assert (wanted - plain).abs().mean() > 0.05  # it does move
    assert (found - wanted).abs().max() < 2e-3 * (wanted - plain).abs().max()
    before, after = (
        torch.cat([unit(features(one, projection, given)) for given in inputs]) @ target.T for one in (encoder, moved)
    )
    assert (after > before + 0.1).all()


def test_the_original_keeps_every_byte_and_asks_for_no_gradients(target):
    encoder, projection = ours_of(oracle.clip())
    before = bytes_of(encoder)
    with torch.no_grad():  # as the run has it
        moved = moved_encoder(encoder, projection, [(TOKENS[:1], None)], lambda copy: target, 3, 0.01, lambda: None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in moved.state_dict().items())
    for module in (encoder, moved):
        assert not any(p.requires_grad or p.grad is not None for p in module.parameters() if module is encoder)
        assert not any(p.requires_grad for p in module.parameters())


def test_two_runs_give_the_same_bytes(target):
    encoder, projection = ours_of(oracle.clip())
    first, second = (
        moved_encoder(encoder, projection, [(TOKENS[:1], None)], lambda copy: target, 4, 0.01, lambda: None)
        for _ in range(2)
    )
    assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in second.state_dict().items())


def test_the_map_into_the_common_space_stays_where_pictures_are(target):
    encoder, _ = open_clip_of(oracle.clip(act="gelu"))
    moved = moved_encoder(encoder, None, [(TOKENS[:1], None)], lambda copy: target, 3, 0.01, lambda: None)
    assert torch.equal(moved.text_projection, encoder.text_projection)


def test_weights_in_half_precision_move_in_full(target):
    model = oracle.clip()
    encoder, projection = ours_of(model)
    half = encoder.to(torch.bfloat16)
    half.compute_dtype = torch.bfloat16
    moved = moved_encoder(half, projection, [(TOKENS[:1], None)], lambda copy: target, 3, 1e-4, lambda: None)
    assert moved(TOKENS[:1]).hidden.dtype == torch.float32 and half.compute_dtype == torch.bfloat16


def test_vectors_of_textual_inversion_take_part(target):
    encoder, projection = ours_of(oracle.clip())
    given = [(0, 1, torch.randn(2, oracle.WIDTH))]
    contexts = []
    for replacements in (None, given):
        inputs = [(TOKENS[:1], replacements)]
        moved = moved_encoder(encoder, projection, inputs, lambda copy: target, 2, 0.01, lambda: None)
        contexts.append(moved(TOKENS[:1]).hidden)
    assert not torch.allclose(*contexts)


def test_it_can_be_stopped_before_every_step(target):
    encoder, projection = ours_of(oracle.clip())
    asked = []

    def check():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moved_encoder(encoder, projection, [(TOKENS[:1], None)], lambda copy: target, 9, 0.01, check)
    assert len(asked) == 3


@pytest.mark.parametrize("shape", [(1, 48), (1, 77, 64), (1, 154, 64)])
@pytest.mark.parametrize("amount", [0.0, 0.1, 0.9, 1.0])
def test_spherical_mixing_is_that_of_the_extension(shape, amount):
    low, high = torch.randn(shape), torch.randn(shape)
    torch.testing.assert_close(slerp(low, high, amount), oracle.slerp(low, high, amount), rtol=1e-4, atol=1e-5)


def test_spherical_mixing_of_equal_and_empty_directions_gives_numbers():
    low = torch.randn(1, 77, 4)
    high = low.clone()
    high[..., 1] *= 2
    high[..., 2] = 0
    found = slerp(low, high, 0.25)
    assert found.isfinite().all()
    torch.testing.assert_close(found[..., :2], torch.lerp(low, high, 0.25)[..., :2], rtol=1e-3, atol=1e-3)


def test_words_shift_the_target_towards_them_or_away():
    target, words = unit(torch.randn(1, 48)), torch.randn(1, 48) * 3
    torch.testing.assert_close(shifted(target, words, 0.1, False), oracle.slerp(target, words, 0.1))
    torch.testing.assert_close(shifted(target, words, 0.1, True), oracle.slerp(target, unit(target - words), 0.1))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (48,), (3, 48)])
def test_a_bare_tensor_is_read_and_normalised(tmp_path, shape, zipped):
    mean = torch.randn(shape)
    torch.save(mean, tmp_path / "sky.pt", _use_new_zipfile_serialization=zipped)
    header = read_file(tmp_path / "sky.pt")
    assert target_shape(header) == (shape[0] if len(shape) == 2 else 1, 48)
    torch.testing.assert_close(read_target(header), unit(torch.atleast_2d(mean)))


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.ones(1, 4), "b": torch.ones(1, 4)},
        {"a": torch.ones(1, 2, 4)},
        {"a": torch.ones(1, 4, dtype=torch.int64)},
        {"a": torch.ones(0, 4)},
        {"a": torch.ones(5000, 4)},
        {},
        [],
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content):
    torch.save(content, tmp_path / "sky.pt")
    with pytest.raises(UnknownModel, match=r"sky\.pt"):
        read_file(tmp_path / "sky.pt")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_features_without_a_direction_are_refused(tmp_path, value):
    torch.save(torch.full((1, 4), value), tmp_path / "sky.pt")
    with pytest.raises(DamagedFile, match=r"sky\.pt"):
        read_target(read_header(tmp_path / "sky.pt"))


def test_projections_of_both_spellings_are_found_and_read_the_right_way_round(tmp_path):
    matrix = torch.randn(8, 5)
    tensors = {
        "text_projection.weight": matrix.T.contiguous(),
        "x.text_projection": matrix,
        "visual_projection": matrix,
    }
    save_safetensors(tmp_path / "clip.safetensors", tensors | {"other.text_projection": torch.randn(9, 5)})
    header = read_header(tmp_path / "clip.safetensors")
    found = projections(header, 8)
    assert found == {"text_projection.weight": 5, "x.text_projection": 5}
    assert all(torch.equal(read_projection(header, name), matrix) for name in found)


@pytest.mark.parametrize("matrix", [torch.eye(8), torch.full((8, 8), float("nan"))])
def test_a_projection_that_was_never_trained_is_refused(tmp_path, matrix):
    save_safetensors(tmp_path / "clip.safetensors", {"text_projection": matrix})
    with pytest.raises(DamagedFile, match=r"clip\.safetensors"):
        read_projection(read_header(tmp_path / "clip.safetensors"), "text_projection")
