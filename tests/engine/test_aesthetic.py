"""Aesthetic gradients from the request to the picture, beside transformers doing the same."""

import dataclasses

import pytest
import torch

from tests.adapters import aesthetics as oracle
from tests.adapters.files import write_lora
from tests.engine.conftest import WIDTH, write_checkpoint
from tests.engine.test_adapters import digest
from tests.keys import header_of
from webui import families
from webui.engine.aesthetic import aesthetic_use
from webui.engine.control import NobodyAsks
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.session import Session
from webui.errors import Cancelled, IncompatibleModel, InvalidRequest, NotFound, UnknownModel
from webui.nn.openclip import OpenClipText, OpenClipTextConfig
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.paths import Paths
from webui.request import AestheticGradients, from_json
from webui.settings import Settings
from webui.text.chunks import chunk_prompt
from webui.text.tokenizers import clip_tokenizer
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors

FEATURES = 48
TEXT = "cond_stage_model.transformer.text_model."
SKY = AestheticGradients("sky", steps=4, learning_rate=0.01)
LONG = ", ".join(["a red apple"] * 30)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Folders of their own, as files here must not be in other tests' way."""
    home = tmp_path_factory.mktemp("aesthetic")
    write_checkpoint(home / "models" / "checkpoints" / "narrow.safetensors")
    write_lora(home / "models" / "loras" / "film.safetensors")
    model = oracle.clip(FEATURES)
    save_safetensors(home / "clip_l.safetensors", {n: t.contiguous() for n, t in model.state_dict().items()})
    folder = home / "models" / "aesthetic_embeddings"
    folder.mkdir()
    torch.manual_seed(8)
    torch.save(torch.randn(1, FEATURES) * 7, folder / "sky.pt")
    torch.save(torch.randn(1, 768), folder / "wide.pt")
    save_safetensors(folder / "other.safetensors", {"a": torch.ones(2, 2), "b": torch.ones(2, 2)})
    found = Paths(home / "data", home / "models", home / "outputs", {}, home / "program")
    clip_file(found).parent.mkdir()
    clip_file(found).write_bytes((home / "clip_l.safetensors").read_bytes())
    return found


def clip_file(paths):
    return paths.models / "clip" / "clip_l.safetensors"


@pytest.fixture(scope="module")
def session(paths):
    settings = Settings(paths).changed({"checkpoint": "narrow", "live_previews": False})
    return Session(settings, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def theirs(paths):
    """Transformers' CLIP with the checkpoint's text encoder and the CLIP file's projection."""
    model = oracle.clip(FEATURES)
    with open_weights(paths.models / "checkpoints" / "narrow.safetensors") as weights:
        state = {f"text_model.{name}": thunk().clone() for name, thunk in weights.tensors(TEXT).items()}
    model.load_state_dict(state, strict=False)
    return model


def tokens_of(text, emphasis="Original"):
    chunks = chunk_prompt(text, clip_tokenizer(), emphasis)
    return torch.tensor([chunk.tokens for chunk in chunks])


def target_of(paths):
    return oracle.unit(torch.load(paths.models / "aesthetic_embeddings" / "sky.pt", weights_only=True))


def contexts(session, request, texts, negative=None):
    session.load(session.catalogue.find(None))
    return session.conditionings(texts, negative or [False] * len(texts), request, (64, 64))


def pixels(results):
    return results[0].image.tobytes()


OPTIONS = {
    "the usual": {},
    "all of it": {"weight": 1.0},
    "on the sphere": {"slerp": True, "weight": 0.6},
    "towards words": {"text": "sunset", "text_angle": 0.4},
    "away from words": {"text": "sunset (over) sea", "text_angle": 0.4, "text_negative": True},
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize(("text", "skip"), [("a red apple", 1), ("a red apple", 2), (LONG, 1)])
def test_the_context_is_what_transformers_gives_for_the_same_steps(paths, session, theirs, wanted, kind, text, skip):
    options = dataclasses.replace(SKY, **OPTIONS[kind])
    (found,) = contexts(session, wanted(text, clip_skip=skip, aesthetic=options), [text])
    target = target_of(paths)
    if options.text:
        with torch.no_grad():
            words = theirs(input_ids=tokens_of(options.text, "None")).text_embeds  # brackets are words
        words = oracle.unit(target - words) if options.text_negative else words
        target = oracle.slerp(target, words, options.text_angle)
    tokens = tokens_of(text)
    moved = oracle.moved(theirs, tokens, target, options.steps, options.learning_rate)
    plain, other = (oracle.hidden(model, tokens, skip).detach() for model in (theirs, moved))
    amount = options.weight
    mixed = oracle.slerp(plain, other, amount) if options.slerp else (1 - amount) * plain + amount * other
    change = (mixed - plain).abs().max()
    assert change > 0.1
    assert (found.context - mixed).abs().max() < 5e-3 * change


def test_negative_prompts_stay_as_they_are_and_lengths_stay_equal(session, wanted):
    texts, flags = ["a red apple", "blurry", LONG], [False, True, False]
    plain = contexts(session, wanted(), texts, flags)
    found = contexts(session, wanted(aesthetic=SKY), texts, flags)
    assert [one.context.shape for one in found] == [one.context.shape for one in plain]
    same = [torch.equal(a.context, b.context) for a, b in zip(plain, found, strict=True)]
    assert same == [False, True, False]


def test_other_texts_of_a_prompt_do_not_change_what_one_becomes(session, wanted):
    alone = contexts(session, wanted(aesthetic=SKY), ["a red apple"])[0].context
    among = contexts(session, wanted(aesthetic=SKY), ["a red apple", "a cat"])[0].context
    assert torch.equal(alone, among)


def test_the_loaded_checkpoint_keeps_every_byte_with_and_without_a_lora(make, session, wanted):
    session.load(session.catalogue.find(None))
    before, plain = digest(session.model), pixels(make(wanted(save=False)))
    steered = pixels(make(wanted(save=False, aesthetic=SKY)))
    assert digest(session.model) == before
    both = pixels(make(wanted("a red apple<lora:film:1>", save=False, aesthetic=SKY)))
    session.adapters.switch([])
    assert digest(session.model) == before
    assert len({plain, steered, both}) == 3
    assert pixels(make(wanted(save=False))) == plain


def test_the_same_request_draws_the_same_bytes_again(make, session, wanted):
    first = pixels(make(wanted(save=False, aesthetic=SKY)))
    session.release()
    assert pixels(make(wanted(save=False, aesthetic=SKY))) == first


def test_a_later_pass_of_another_size_does_not_take_the_steps_again(session, wanted, monkeypatch):
    session.load(session.catalogue.find(None))
    texts, request = (["a red apple"], [False]), wanted(aesthetic=dataclasses.replace(SKY, steps=3))
    (first,) = session.conditionings(*texts, request, (64, 64))
    monkeypatch.setattr(torch.optim, "Adam", None)
    assert session.conditionings(*texts, request, (128, 96))[0] is first


@pytest.mark.parametrize("idle", [{"steps": 0}, {"learning_rate": 0.0}, {"weight": 0.0}])
def test_what_moves_nothing_draws_the_very_picture_without(make, wanted, idle):
    plain = pixels(make(wanted(save=False)))
    assert pixels(make(wanted(save=False, aesthetic=dataclasses.replace(SKY, **idle)))) == plain


def test_it_is_interrupted_between_its_steps_and_leaves_nothing_behind(make, session, wanted, monkeypatch):
    plain = pixels(make(wanted(save=False)))
    before, control = digest(session.model), NobodyAsks()
    steps = []

    class Counted(torch.optim.Adam):
        def step(self, *arguments):
            steps.append(1)
            if len(steps) == 2:
                control.interrupted.set()
            return super().step(*arguments)

    monkeypatch.setattr(torch.optim, "Adam", Counted)
    with pytest.raises(Cancelled):
        make(wanted("another", save=False, aesthetic=dataclasses.replace(SKY, steps=50)), control)
    assert len(steps) == 2
    assert digest(session.model) == before and pixels(make(wanted(save=False))) == plain


def plan_of(session, wanted, checkpoint=None, **options):
    return make_plan(wanted(aesthetic=dataclasses.replace(SKY, **options), checkpoint=checkpoint), session.catalogue)


def test_a_wrong_name_fails_in_the_plan_with_close_ones(session, wanted):
    with pytest.raises(NotFound, match=r"aesthetic embedding named 'skye'.*'sky'"):
        plan_of(session, wanted, embedding="skye")


def test_another_kind_of_file_and_another_width_fail_in_the_plan(session, wanted):
    with pytest.raises(UnknownModel, match=r"other\.safetensors is no aesthetic embedding"):
        plan_of(session, wanted, embedding="other")
    with pytest.raises(IncompatibleModel, match=r"wide has features of width 768.*gives 48"):
        plan_of(session, wanted, embedding="wide")


@pytest.mark.parametrize(
    "options", [{"embedding": ""}, {"weight": 1.5}, {"steps": 5000}, {"learning_rate": 2.0}, {"text_angle": -0.1}]
)
def test_values_out_of_range_are_refused(session, wanted, options):
    with pytest.raises(InvalidRequest):
        plan_of(session, wanted, **options)


def test_a_checkpoint_without_projection_says_which_file_to_put_where(session, paths, wanted):
    file = clip_file(paths)
    aside = file.rename(file.with_suffix(".away"))
    session.catalogue.refresh()
    try:
        with pytest.raises(NotFound, match=r"narrow has no text projection.*clip_l\.safetensors.*models/text_encoders"):
            plan_of(session, wanted)
    finally:
        aside.rename(file)
        session.catalogue.refresh()


@pytest.mark.parametrize("name", ["sdxl-base", "sdxl-refiner"])
def test_families_with_other_text_encoders_are_refused_by_name(session, name):
    facts = families.facts(header_of(name))
    with pytest.raises(IncompatibleModel, match=rf"cannot steer {facts.label}"):
        aesthetic_use(SKY, session.catalogue, session.catalogue.find(None), facts)


@pytest.mark.parametrize(
    "inside", ["transformer.text_projection.weight", "transformer.text_model.text_projection.weight"]
)
def test_a_projection_of_the_checkpoints_own_comes_first(session, paths, wanted, theirs, inside):
    folder = paths.models / "checkpoints"
    with open_weights(folder / "narrow.safetensors") as weights:
        tensors = {name: weights.tensor(name).clone() for name in weights.header.tensors}
    own = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(1))
    save_safetensors(folder / "whole.safetensors", {**tensors, f"cond_stage_model.{inside}": own})
    session.catalogue.refresh()
    checkpoint = session.catalogue.find("whole")
    session.load(checkpoint)
    (found,) = session.conditionings(["a red apple"], [False], wanted(aesthetic=SKY), (64, 64))
    model = oracle.clip(FEATURES)
    model.load_state_dict({**theirs.state_dict(), "text_projection.weight": own})
    tokens = tokens_of("a red apple")
    moved = oracle.hidden(oracle.moved(model, tokens, target_of(paths), 4, 0.01), tokens)
    mixed = 0.1 * oracle.hidden(model, tokens) + 0.9 * moved
    torch.testing.assert_close(found.context, mixed.detach(), rtol=0.01, atol=0.01)
    checkpoint.path.unlink()
    session.catalogue.refresh()


def test_stable_diffusion_2_is_steered_with_its_own_projection(session, paths, wanted):
    torch.manual_seed(2)
    unet = UNetConfig.regular(32, (1, 2), (1, 0), 1, 1, context_width=WIDTH, linear_projections=True)
    parts = {
        "model.diffusion_model.": UNet(unet),
        "cond_stage_model.model.": OpenClipText(OpenClipTextConfig(WIDTH, 3, 1, 128, projection=FEATURES)),
        "first_stage_model.": Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1, 1, 1), blocks=1)),
    }
    path = paths.models / "checkpoints" / "two.safetensors"
    save_safetensors(path, {p + name: t for p, module in parts.items() for name, t in module.state_dict().items()})
    session.catalogue.refresh()
    plan = plan_of(session, wanted, "two")
    model = session.load(plan.checkpoint)
    assert model.facts.family == "sd2"
    before = digest(model)
    (plain,), (found,) = (
        session.conditionings(["a red apple"], [False], wanted(aesthetic=options), (64, 64)) for options in (None, SKY)
    )
    assert digest(model) == before
    assert (found.context - plain.context).abs().max() > 0.1
    path.unlink()
    session.catalogue.refresh()


def test_the_infotext_says_all_in_the_extensions_words_and_is_read_back(make, session, wanted):
    options = dataclasses.replace(SKY, text="sunset, (warm:1.2)", text_negative=True, slerp=True)
    (result,) = make(wanted(save=False, aesthetic=options))
    for field in ("LR: 0.01", "weight: 0.9", "steps: 4", "embedding: sky", "slerp: True", "slerp angle: 0.1"):
        assert f"Aesthetic {field}" in result.infotext
    request, rest = read_request(result.infotext, session.extensions, session.catalogue)
    assert request.aesthetic == options and not [key for key in rest if key.startswith("Aesthetic")]
    assert pixels(make(dataclasses.replace(request, save=False))) == pixels([result])
    assert from_json(request.to_json()).aesthetic == options


def test_a_renamed_embedding_is_found_by_its_hash(make, session, paths, wanted):
    (result,) = make(wanted(save=False, aesthetic=SKY))
    file = paths.models / "aesthetic_embeddings" / "sky.pt"
    renamed = file.rename(file.with_name("heaven.pt"))
    session.catalogue.refresh()
    try:
        request, _ = read_request(result.infotext, session.extensions, session.catalogue)
        assert request.aesthetic.embedding == "heaven"
    finally:
        renamed.rename(file)
        session.catalogue.refresh()


def test_the_folder_of_the_extension_is_searched_too(tmp_path):
    own = tmp_path / "extensions" / "stable-diffusion-webui-aesthetic-gradients" / "aesthetic_embeddings"
    own.mkdir(parents=True)
    assert own in Paths(models=tmp_path / "models", program=tmp_path).folders("aesthetic_embeddings")
