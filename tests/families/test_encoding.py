"""Texts to conditioning, compared with transformers on the same random weights."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding

from webui import families
from webui.errors import InvalidRequest
from webui.families.channels import blank_channels, concatenated, edit_channels, inpaint_channels
from webui.families.predictor import network_predictor
from webui.text.tokenizers import clip_tokenizer
from webui.weights.reader import open_weights

TEXT = "a red apple on a table"
LONG = " ".join(f"word{i}" for i in range(60))  # more than one chunk


@pytest.fixture
def load(tiny):
    def get(name, channels=4, kind="file"):
        with open_weights(getattr(tiny(name, channels), kind)) as weights:
            return families.detect(weights.header).load(weights, torch.device("cpu"), torch.float32)

    return get


def tokens(text: str, padding: int) -> torch.Tensor:
    """One chunk: begin, the text, end, padding."""
    ids = [49406, *clip_tokenizer().encode(text), 49407]
    return torch.tensor([ids + [padding] * (77 - len(ids))])


def hidden(model, ids, index):
    with torch.no_grad():
        return model(ids, output_hidden_states=True).hidden_states[index]


def final_norm(model):
    return (model.text_model if hasattr(model, "text_model") else model).final_layer_norm


def close(a, b):
    return (a - b).abs().max() < 1e-4 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("skip", [1, 2, 3, 4])
def test_sd1_takes_the_layer_that_clip_skip_names_and_normalises_it(skip, load, tiny):
    oracle = tiny("sd1").texts[0]
    ours = load("sd1").encode([TEXT], clip_skip=skip)[0]
    with torch.no_grad():
        theirs = final_norm(oracle)(hidden(oracle, tokens(TEXT, 49407), -skip))
        if skip == 1:
            assert close(theirs, oracle(tokens(TEXT, 49407)).last_hidden_state)
    assert close(ours.context, theirs) and ours.pooled is None


def test_clip_skip_beyond_the_encoders_layers_is_an_error(load):
    with pytest.raises(InvalidRequest, match="4 layers"):
        load("sd1").encode([TEXT], clip_skip=5)


def test_sd2_takes_the_layer_before_the_last_which_is_the_last_of_a_diffusers_folder(load, tiny):
    oracle = tiny("sd2").texts[0]
    with torch.no_grad():
        theirs = oracle(tokens(TEXT, 0)).last_hidden_state
        earlier = final_norm(oracle)(hidden(oracle, tokens(TEXT, 0), -2))
    assert close(load("sd2", kind="folder").encode([TEXT])[0].context, theirs)
    # the same tensors in a single file count as a whole encoder, whose last layer is not used
    assert close(load("sd2").encode([TEXT])[0].context, earlier)


def sizes(*numbers: float) -> torch.Tensor:
    """diffusers' sinusoids of sizes."""
    return get_timestep_embedding(torch.tensor(numbers), 256, flip_sin_to_cos=True, downscale_freq_shift=0).reshape(
        1, -1
    )


def test_sdxl_joins_both_encoders_without_norm_and_adds_sizes_heights_first(load, tiny):
    clip, big = tiny("sdxl").texts
    ours = load("sdxl").encode([TEXT], size=(640, 384))[0]
    with torch.no_grad():
        parts = [hidden(clip, tokens(TEXT, 49407), -2), hidden(big, tokens(TEXT, 0), -2)]
        pooled = big(tokens(TEXT, 0)).text_embeds
    assert close(ours.context, torch.cat(parts, dim=-1))
    assert close(ours.pooled, torch.cat([pooled, sizes(384, 640, 0, 0, 384, 640)], dim=1))


def test_sdxl_ignores_clip_skip_and_defaults_to_the_native_size(load):
    model = load("sdxl")
    one, two = (model.encode([TEXT], clip_skip=skip)[0] for skip in (1, 4))
    assert torch.equal(one.context, two.context)
    assert torch.equal(one.pooled[:, 128:], sizes(256, 256, 0, 0, 256, 256))  # modelspec.resolution of the tiny file


@pytest.mark.parametrize(("negative", "score"), [(False, 6.0), (True, 2.5)])
def test_the_refiner_is_told_an_aesthetic_score(negative, score, load, tiny):
    big = tiny("sdxl-refiner").texts[0]
    ours = load("sdxl-refiner").encode([TEXT], size=(640, 384), negative=negative)[0]
    with torch.no_grad():
        pooled = big(tokens(TEXT, 0)).text_embeds
    assert close(ours.context, hidden(big, tokens(TEXT, 0), -2))
    assert close(ours.pooled, torch.cat([pooled, sizes(384, 640, 0, 0, score)], dim=1))


def test_an_empty_negative_prompt_of_sdxl_becomes_zeros_and_an_empty_positive_one_does_not(load):
    positive, negative = load("sdxl").encode(["", ""], negative=[False, True])
    assert not negative.context.any() and not negative.pooled[:, :128].any()
    assert negative.pooled[:, 128:].any() and positive.context.any()


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_all_texts_get_as_many_chunks_as_the_longest(name, load):
    short, long = load(name).encode([TEXT, LONG])
    assert short.context.shape == long.context.shape and long.context.shape[1] % 77 == 0
    assert long.context.shape[1] > 77


def test_a_second_chunk_is_encoded_by_itself(load, tiny):
    model, oracle = load("sd1"), tiny("sd1").texts[0]
    ours = model.encode(["cat BREAK dog"])[0].context
    with torch.no_grad():
        theirs = torch.cat([oracle(tokens(t, 49407)).last_hidden_state for t in ("cat", "dog")], dim=1)
    assert close(ours, theirs)


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl"])
def test_neighbours_never_change_a_texts_conditioning(name, load):
    model = load(name)
    alone, (beside, _) = model.encode([TEXT])[0], model.encode([TEXT, "something else"])
    assert torch.equal(alone.context, beside.context)
    if alone.pooled is not None:
        assert torch.equal(alone.pooled, beside.pooled)


def test_emphasis_scales_vectors_and_leaves_the_pooled_vector_alone(load):
    model = load("sdxl")
    plain, loud = (model.encode([t], emphasis="No norm")[0] for t in ("red cat", "red (cat:1.5)"))
    assert close(loud.context[:, 2], plain.context[:, 2] * 1.5)
    assert torch.equal(loud.context[:, 1], plain.context[:, 1]) and torch.equal(loud.pooled, plain.pooled)


def test_vectors_of_an_embedding_take_the_place_of_their_tokens(load, tiny):
    model, oracle = load("sd1"), tiny("sd1").texts[0]
    vectors = torch.randn(2, 64)
    changed = model.encode(["a mycat"], embeddings={"mycat": [vectors]})[0].context
    table = (oracle.text_model if hasattr(oracle, "text_model") else oracle).embeddings.token_embedding.weight
    as_words = [int(i) for i in clip_tokenizer().encode("red blue")]
    same = model.encode(["a mycat"], embeddings={"mycat": [table[as_words].detach()]})[0].context
    assert close(same, model.encode(["a red blue"])[0].context)
    assert not close(changed, same)


# --- network calls and extra channels --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_the_predictor_scales_input_and_prediction_by_the_noising_law(name, load):
    model = load(name)
    conditioning = model.encode([TEXT], size=(64, 64))[0]
    x, sigma = torch.randn(3, 4, 8, 8) * 5, 4.0
    with torch.no_grad():
        ours = network_predictor(model)(x, sigma, conditioning)
        timestep = torch.tensor([model.law().timestep(sigma)])
        rows = []
        for row in x:  # epsilon: x − sigma·eps, on x / √(1 + sigma²)
            eps = model.unet(row[None] / math.sqrt(1 + sigma**2), timestep, conditioning.context, conditioning.pooled)
            rows.append(row - sigma * eps[0])
    assert close(ours, torch.stack(rows))


@pytest.mark.parametrize(("channels", "extra"), [(9, 5), (8, 4)])
def test_txt2img_works_with_inpainting_and_editing_checkpoints(channels, extra, load):
    model = load("sd1", channels)
    blank = blank_channels(model, 64, 64)
    assert blank.shape == (1, extra, 8, 8)
    conditioning = model.encode([TEXT])[0].with_extras(concat=blank)
    with torch.no_grad():
        denoised = network_predictor(model)(torch.randn(2, 4, 8, 8), 3.0, conditioning)
    assert denoised.shape == (2, 4, 8, 8) and bool(denoised.isfinite().all())


def test_plain_networks_get_no_blank_channels_and_others_refuse_to_run_without(load):
    assert blank_channels(load("sd1"), 64, 64) is None
    with pytest.raises(Exception, match="wants 9 input channels and got 4"):
        concatenated(torch.randn(1, 4, 8, 8), None, 9)


def test_inpainting_channels_are_the_mask_and_the_scaled_latents_of_the_picture_with_grey(load, tiny):
    model, vae = load("sd1", 9), tiny("sd1").vae
    picture, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[:, :, :32] = 1
    ours = inpaint_channels(model, picture, mask)
    grey = torch.where(mask > 0.5, 0.5, picture)
    with torch.no_grad():
        latents = vae.encode(grey * 2 - 1).latent_dist.mean * 0.18215
    assert torch.equal(ours[:, :1, :4], torch.ones(1, 1, 4, 8)) and not ours[:, :1, 4:].any()
    assert close(ours[:, 1:], latents)


def test_editing_channels_are_the_unscaled_latents(load, tiny):
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        theirs = tiny("sd1").vae.encode(picture * 2 - 1).latent_dist.mean
    assert close(edit_channels(load("sd1", 8), picture), theirs)
