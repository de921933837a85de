"""The starter's training recipe, on drawings made up here and networks of a few thousand numbers."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy
import pytest
import torch

from webui import families
from webui.nn.tiny import TinyConfig, TinyDecoder
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.text.tokenizers import clip_tokenizer
from webui.training.starter import diffusion, export, vae
from webui.training.starter.captions import LENGTH, vocabulary_of, whole_embedding
from webui.training.starter.judge import Bench
from webui.training.starter.pictures import Drawings, compose, load, save
from webui.training.starter.recipe import PROFILES, caption, is_held_out
from webui.training.starter.report import nearest_background
from webui.training.starter.state import Average, load_state, save_state
from webui.weights.header import read_header

MICRO = dataclasses.replace(
    PROFILES["small"], size=64, vae_channels=32, vae_multipliers=(1, 1), unet_channels=32, unet_multipliers=(1, 2),
    text_width=64, text_layers=1,
)  # fmt: skip


def made_up_drawings() -> Drawings:
    """Balls and bars of two colours in two styles and the held-out one."""
    rgba, concepts, styles = [], [], []
    rows, columns = numpy.mgrid[0:32, 0:32]
    shapes = {"round ball": (rows - 16) ** 2 + (columns - 16) ** 2 < 150, "bar": (rows > 20) & (columns > 2)}
    for concept, inside in shapes.items():
        for style, colour in (("flat", (230, 40, 40)), ("noto", (40, 60, 230)), ("stencil", (0, 0, 0))):
            drawing = numpy.zeros((32, 32, 4), numpy.uint8)
            drawing[inside] = (*colour, 255)
            rgba.append(drawing)
            concepts.append(concept)
            styles.append(style)
    return Drawings(numpy.stack(rgba), concepts, styles, [("round",)] * len(rgba))


def test_a_tenth_of_the_pairs_is_held_out_and_always_the_same_tenth() -> None:
    pairs = [(f"thing {i}", style) for i in range(500) for style in ("flat", "noto")]
    held_out = [pair for pair in pairs if is_held_out(*pair)]
    assert 0.07 < len(held_out) / len(pairs) < 0.13
    assert held_out == [pair for pair in pairs if is_held_out(*pair)]


def test_the_held_out_style_and_pairs_are_apart_from_what_is_seen() -> None:
    drawings = made_up_drawings()
    kinds = [set(drawings.indices(kind)) for kind in ("seen", "held out", "lora")]
    assert sum(len(kind) for kind in kinds) == len(set().union(*kinds)) == len(drawings.concepts)
    assert {drawings.styles[i] for i in kinds[2]} == {"stencil"}


def test_composing_puts_the_drawing_on_the_named_ground_without_a_dark_fringe() -> None:
    white = numpy.zeros((32, 32, 4), numpy.uint8)
    white[8:24, 8:24] = 255
    picture = compose(white, (255, 255, 255), 64, 0.9, (0.0, 0.0), False)
    assert picture.shape == (64, 64, 3)
    assert picture.min() >= 253  # white on white stays white along the soft edge


def test_a_caption_names_what_was_composed() -> None:
    texts = {caption("red apple", "flat", "blue", (), random.Random(seed)) for seed in range(50)}
    assert "a red apple, flat style, blue background" in texts
    assert all("red apple" in text for text in texts)


def test_drawings_are_read_back_as_they_were_saved(tmp_path: Path) -> None:
    drawings = made_up_drawings()
    save(drawings, tmp_path / "d.npz")
    again = load(tmp_path / "d.npz")
    assert numpy.array_equal(again.rgba, drawings.rgba)
    assert (again.concepts, again.styles, again.keywords) == (drawings.concepts, drawings.styles, drawings.keywords)


def test_known_words_keep_their_rows_and_every_other_word_is_the_unknown_one() -> None:
    vocabulary = vocabulary_of(made_up_drawings())
    compact = torch.randn(vocabulary.unknown + 1, 8)
    whole = whole_embedding(compact, vocabulary)
    ids = vocabulary.encode("a round ball, flat style")
    assert len(ids) == LENGTH
    known = clip_tokenizer().encode("round ball")[0]
    assert torch.equal(whole[known], compact[vocabulary.compact(known)])
    assert torch.equal(whole[clip_tokenizer().encode("zebra")[0]], compact[vocabulary.unknown])


def test_the_grown_network_keeps_the_inner_weights() -> None:
    config = AutoencoderConfig(32, (1, 1, 2), 1)
    inner = Autoencoder(vae.inner_config(config))
    outer = vae.grow(inner, config)
    assert torch.equal(outer.encoder.down[1].block[0].conv1.weight, inner.encoder.down[0].block[0].conv1.weight)
    assert torch.equal(outer.decoder.up[2].block[0].conv1.weight, inner.decoder.up[1].block[0].conv1.weight)
    assert torch.equal(outer.quant_conv.weight, inner.quant_conv.weight)


def test_folding_the_scale_changes_the_latents_but_no_picture() -> None:
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(32, (1, 1), 1)).eval()
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    mean, deviation = torch.tensor([0.3, -0.2, 0.1, 0.0]), torch.tensor([2.0, 0.5, 1.0, 3.0])
    with torch.no_grad():
        before, variance = network.moments(pictures)
        drawn = network.decode(before)
        export.fold_scale(network, mean, deviation)
        after, folded = network.moments(pictures)
        redrawn = network.decode(after)
    wanted = (before - mean.view(1, 4, 1, 1)) / deviation.view(1, 4, 1, 1)
    torch.testing.assert_close(after * export.SD1_SCALE, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(redrawn, drawn, rtol=1e-4, atol=1e-5)
    spread = (0.5 * folded).exp() * export.SD1_SCALE
    torch.testing.assert_close(spread, (0.5 * variance).exp() / deviation.view(1, 4, 1, 1), rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    average = Average(layer, 0.9)
    average.update(layer)
    save_state(tmp_path / "s.pt", {"model": layer, "average": average}, step=7, minutes=1.5)
    other = torch.nn.Linear(2, 2)
    resumed = Average(other, 0.9)
    numbers = load_state(tmp_path / "s.pt", {"model": other, "average": resumed})
    assert numbers == {"step": 7, "minutes": 1.5}
    assert torch.equal(other.weight, layer.weight)
    assert resumed.updates == 1
    assert load_state(tmp_path / "missing.pt", {}) == {}


def test_the_average_is_put_in_and_taken_out_again() -> None:
    layer = torch.nn.Linear(2, 2)
    average = Average(layer, 0.5)
    own = layer.weight.detach().clone()
    average.values["weight"].zero_()
    with average.applied_to(layer):
        assert not layer.weight.any()
    assert torch.equal(layer.weight, own)


def test_the_noise_levels_are_those_of_stable_diffusion() -> None:
    diffusers = pytest.importorskip("diffusers", reason="diffusers is in requirements-dev.txt")
    oracle = diffusers.DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    torch.testing.assert_close(diffusion.alphas_cumulative(), oracle.alphas_cumprod, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_the_whole_recipe_makes_a_checkpoint_that_the_engine_knows(tmp_path: Path) -> None:
    drawings = made_up_drawings()
    torch.manual_seed(0)
    vae.train_half(drawings, MICRO, tmp_path, 0.02, "cpu", batch=4)
    vae.train_full(drawings, MICRO, tmp_path, 0.02, "cpu", batch=4)
    mean, deviation = export.latent_statistics(vae.load_half(MICRO, tmp_path), drawings, MICRO)
    vocabulary = vocabulary_of(drawings)
    moments = export.scaled_moments(vae.load_half(MICRO, tmp_path), mean, deviation)
    diffusion.train(drawings, MICRO, moments, vocabulary, tmp_path, 0.03, "cpu", batch=4)
    model = diffusion.Trained(MICRO, vocabulary)
    average = Average(model, 0)
    assert load_state(tmp_path / "small-diffusion.pt", {"average": average})["step"] > 0
    average.copy_to(model)
    network = vae.load_full(MICRO, tmp_path)
    export.fold_scale(network, mean, deviation)
    tiny = TinyDecoder(TinyConfig(channels=32, stages=(1, 1)))
    notes = export.metadata(MICRO, [[0.0, 0.0, 0.0]] * 5)
    export.export(model, network, tiny, vocabulary, notes, tmp_path / "out")
    facts = families.facts(read_header(
        tmp_path / "out" / "starter.safetensors"
    ))  # fmt: skip
    assert facts.native_size == 64
    assert facts.latents.tiny_decoder == export.PREVIEW_NAME


def test_training_lowers_the_denoising_loss() -> None:
    torch.manual_seed(0)
    drawings = made_up_drawings()
    vocabulary = vocabulary_of(drawings)
    model = diffusion.Trained(MICRO, vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    latents = torch.randn(8, 4, 8, 8) * 0.1 + 1
    tokens = torch.tensor([vocabulary.encode("a round ball")] * 8)
    losses = []
    for _ in range(30):
        noise, timestep = torch.randn_like(latents), torch.randint(0, 1000, (8,))
        loss = diffusion.denoising_loss(model, latents, tokens, noise, timestep).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_the_judge_learns_the_drawings_and_knows_a_wrong_one() -> None:
    bench = Bench(made_up_drawings(), 64, width=8)
    bench.train(150, batch=16)
    own = bench.own_accuracy(64)
    assert own.concept > 0.9
    assert own.style > 0.9
    from webui.training.starter.judge import real_batch

    pictures, picks = real_batch(bench.drawings, list(range(6)), 64, 32, random.Random(5))
    wrong = ["bar" if bench.drawings.concepts[i] == "round ball" else "round ball" for i in picks]
    assert bench.verdicts(pictures, wrong, [bench.drawings.styles[i] for i in picks]).concept < 0.1


def test_grounds_are_told_by_their_nearest_colour() -> None:
    assert nearest_background(numpy.array([250, 250, 250])) == "white"
    assert nearest_background(numpy.array([90, 130, 210])) == "blue"
