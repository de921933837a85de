"""The text encoders: equal to transformers' on random weights, with clip skip, pooling and replaced embeddings."""

from __future__ import annotations

import pytest
import torch
from oracle import openclip_to_transformers, randomise
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from webui.errors import InvalidRequest
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.openclip import OpenClipText, OpenClipTextConfig

VOCABULARY, EOS = 100, 99
TOKENS = torch.tensor([[98, 5, 6, 7, EOS, EOS, EOS, EOS], [98, 1, EOS, 0, 0, 0, 0, 0]])


def clip_pair(projection: int = 24, **changes) -> tuple[ClipText, CLIPTextModelWithProjection]:
    config = ClipTextConfig(128, 3, 2, 256, VOCABULARY, 16, projection, **changes)
    ours = ClipText(config).eval()
    randomise(ours)
    theirs = transformers_model(config.quick_gelu, projection or 24)
    theirs.load_state_dict(with_prefix(ours.state_dict()), strict=bool(projection))
    return ours, theirs


def openclip_pair() -> tuple[OpenClipText, CLIPTextModelWithProjection]:
    ours = OpenClipText(OpenClipTextConfig(128, 3, 2, 256, VOCABULARY, 16, 24)).eval()
    randomise(ours)
    theirs = transformers_model(False, 24)
    theirs.load_state_dict(with_prefix(openclip_to_transformers(ours.state_dict())))
    return ours, theirs


def with_prefix(tensors: dict) -> dict:
    return {name if name.startswith("text_projection") else f"text_model.{name}": t for name, t in tensors.items()}


def transformers_model(quick: bool, projection: int) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        projection_dim=projection,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=16,
        hidden_act="quick_gelu" if quick else "gelu",
        eos_token_id=EOS,
    )
    return CLIPTextModelWithProjection(config).eval()


PAIRS = {
    "CLIP": clip_pair,
    "CLIP with exact GELU": lambda: clip_pair(quick_gelu=False),
    "OpenCLIP": openclip_pair,
}


@pytest.mark.parametrize("kind", PAIRS)
@torch.no_grad()
def test_every_layer_and_the_pooled_vector_equal_those_of_transformers(kind: str) -> None:
    ours, theirs = PAIRS[kind]()
    expected = theirs(TOKENS, output_hidden_states=True)
    for skip in (1, 2, 3):
        out = ours(TOKENS, skip=skip, final_norm=False)
        torch.testing.assert_close(out.hidden, expected.hidden_states[-skip], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(out.pooled, expected.text_embeds, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours(TOKENS).hidden, expected.last_hidden_state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", PAIRS)
@torch.no_grad()
def test_clip_skip_can_be_normalised_by_the_final_norm(kind: str) -> None:
    ours, theirs = PAIRS[kind]()
    hidden = theirs(TOKENS, output_hidden_states=True).hidden_states[-2]
    expected = theirs.text_model.final_layer_norm(hidden)
    torch.testing.assert_close(ours(TOKENS, skip=2).hidden, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", PAIRS)
@torch.no_grad()
def test_replacing_a_token_by_its_own_vector_changes_nothing_and_by_another_changes_what_follows(kind: str) -> None:
    ours, _ = PAIRS[kind]()
    table = ours.embeddings.token_embedding if hasattr(ours, "embeddings") else ours.token_embedding
    plain = ours(TOKENS).hidden
    same = ours(TOKENS, embeddings=[(0, 2, table.weight[[6, 7]])]).hidden
    torch.testing.assert_close(same, plain)
    other = ours(TOKENS, embeddings=[(0, 2, table.weight[[50, 51]])]).hidden
    assert torch.equal(other[0, :2], plain[0, :2])  # earlier tokens do not see later ones
    assert not torch.allclose(other[0, 2:], plain[0, 2:], atol=1e-2)
    torch.testing.assert_close(other[1], plain[1])


@torch.no_grad()
def test_an_embedding_equals_the_tokens_it_stands_for() -> None:
    ours, theirs = clip_pair()
    vectors = ours.embeddings.token_embedding.weight[[6, 7]]
    written = torch.tensor([[98, 5, 11, 11, EOS, EOS, EOS, EOS], [98, 1, EOS, 0, 0, 0, 0, 0]])
    out = ours(written, embeddings=[(0, 2, vectors)])
    torch.testing.assert_close(out.hidden, theirs(TOKENS).last_hidden_state, rtol=1e-4, atol=1e-4)


def test_an_embedding_of_another_width_is_refused() -> None:
    ours, _ = clip_pair()
    with pytest.raises(InvalidRequest, match="width 768"):
        ours(TOKENS, embeddings=[(0, 1, torch.zeros(2, 768))])


@pytest.mark.parametrize("skip", [0, 4])
def test_a_clip_skip_beyond_the_layers_is_refused(skip: int) -> None:
    ours, _ = clip_pair()
    with pytest.raises(InvalidRequest, match="1 to 3"):
        ours(TOKENS, skip=skip)


@torch.no_grad()
def test_without_a_projection_the_pooled_vector_is_the_end_token() -> None:
    ours, _ = clip_pair(projection=0)
    out = ours(TOKENS)
    torch.testing.assert_close(out.pooled, out.hidden[torch.arange(2), torch.tensor([4, 2])])


def test_configs_are_read_back_off_the_shapes() -> None:
    ours, _ = clip_pair()
    shapes = {name: tuple(t.shape) for name, t in ours.state_dict().items()}
    assert ClipTextConfig.from_shapes(shapes) == ours.config
    theirs, _ = openclip_pair()
    shapes = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    assert OpenClipTextConfig.from_shapes(shapes) == theirs.config


def test_a_narrow_encoder_has_heads_of_64_and_the_sigmoid_gelu() -> None:
    with torch.device("meta"):
        narrow = ClipText(ClipTextConfig(192, 4, 3, 768))
    shapes = {name: tuple(t.shape) for name, t in narrow.state_dict().items()}
    assert ClipTextConfig.from_shapes(shapes) == narrow.config
    assert narrow.config.quick_gelu


def test_every_weight_gets_a_gradient() -> None:
    ours, _ = clip_pair()
    out = ours(TOKENS)
    (out.hidden.square().mean() + out.pooled.square().mean()).backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None] == []
