"""Embeddings by name in both prompts, and hypernetworks in front of keys and values."""

import pytest
import torch

from tests.adapters.hypernetworks import write_hypernetwork
from tests.adapters.pictures import a1111, encoded, in_pixels, in_text, motif
from tests.engine.conftest import WIDTH
from webui.adapters.embedding_picture import picture_header
from webui.engine.embeddings import vector_counts
from webui.engine.plan import make_plan
from webui.errors import DamagedFile, IncompatibleModel
from webui.library import recognise
from webui.weights.save import save_safetensors


@pytest.fixture(scope="module")
def files(home, session):
    folder = home.models / "embeddings"
    folder.mkdir()
    torch.manual_seed(5)
    vectors = torch.randn(3, WIDTH)
    save_safetensors(folder / "grainy.safetensors", {"emb_params": vectors})
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "x"}, folder / "paper.pt")
    torch.save({"<inky>": vectors[0]}, folder / "inky.bin")
    save_safetensors(folder / "elsewhere.safetensors", {"clip_l": torch.randn(1, 768), "clip_g": torch.randn(1, 1280)})
    torch.save([{"<listed>": vectors}], folder / "listed.pt")
    (folder / "shared.png").write_bytes(in_text(a1111(vectors, name="ochre")))
    (folder / "hidden.webp").write_bytes(encoded(in_pixels(a1111(vectors, name="")), "WEBP", lossless=True, exact=True))
    (folder / "broken.png").write_bytes(in_text(b"{"))
    (folder / "holiday.png").write_bytes(encoded(motif()))  # a picture and nothing else
    (folder / "grainy.png").write_bytes(in_text(a1111(vectors[:1], name="not this")))  # a preview of grainy
    (folder / "paper.preview.png").write_bytes(in_text(a1111(vectors[:1], name="nor this")))
    hypernetworks = home.models / "hypernetworks"
    hypernetworks.mkdir()
    write_hypernetwork(hypernetworks / "bend.pt", (WIDTH, 32))
    write_hypernetwork(hypernetworks / "wide.pt", (768, 320))
    session.catalogue.refresh()
    return vectors


def plan_of(request, session):
    return make_plan(request, session.catalogue, session.extensions)


def pixels(results):
    return results[0].image.tobytes()


@pytest.mark.parametrize(
    ("name", "vectors"), [("grainy", 3), ("paper", 3), ("inky", 1), ("listed", 3), ("ochre", 3), ("hidden", 3)]
)
def test_a_name_in_the_prompt_means_its_file(session, wanted, files, name, vectors):
    (use,) = plan_of(wanted(f"a red ({name.upper()}:1.2), apple"), session).pictures[0].embeddings
    assert (use.name, use.vectors) == (name, vectors)
    (found,) = use.read()
    assert torch.equal(found, files[:vectors])


def test_a_name_inside_a_word_means_nothing(session, wanted, files):
    assert plan_of(wanted("an ungrainyly apple"), session).pictures[0].embeddings == ()


@pytest.mark.parametrize("name", ["shared", "holiday", "not this", "nor this"])
def test_previews_and_the_file_names_of_named_pictures_mean_nothing(session, wanted, files, name):
    assert plan_of(wanted(f"an apple, {name}"), session).pictures[0].embeddings == ()


def test_a_damaged_picture_is_told_of_when_a_prompt_names_it(session, wanted, files):
    plan_of(wanted("an apple"), session)
    with pytest.raises(DamagedFile, match=r"broken\.png"):
        plan_of(wanted("an apple, broken"), session)


def test_a_picture_is_looked_into_once_until_it_changes(session, files, monkeypatch):
    looks = []
    monkeypatch.setattr(recognise, "picture_header", lambda path: looks.append(path.name) or picture_header(path))
    (home := session.catalogue.files("embeddings")[0].path.parent / "late.png").write_bytes(encoded(motif()))
    for _ in range(3):
        session.catalogue.refresh()
        session.catalogue.files("embeddings")
    assert looks == ["late.png"]
    home.unlink()
    session.catalogue.refresh()


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("a (grainy:1.2) apple", {"grainy": 3}),
        ("[inky:ochre:0.5] AND an ungrainyly apple", {"inky": 1, "ochre": 3}),
        ("an apple, elsewhere", {}),
        ("grainy, broken", {}),
        ("grainy <lora:half-typ", {"grainy": 3}),
        ("grainy <lora:nowhere:1><hypernet:nowhere>", {"grainy": 3}),
    ],
)
def test_the_vectors_of_a_prompt_that_is_being_typed_are_counted(session, files, prompt, counts):
    assert vector_counts(prompt, session.catalogue) == counts
    assert vector_counts(prompt, session.catalogue, "no such checkpoint") == {}


def test_vectors_take_the_place_of_the_words(session, wanted, files, make):
    session.load(session.catalogue.find(None))
    request = wanted("grainy")
    plan = plan_of(request, session)
    (encoded,) = session.conditionings(["grainy"], [False], request, (64, 64), plan.pictures[0].embeddings)
    (plain,) = session.conditionings(["grainy"], [False], request, (64, 64))
    encoder = session.model.text_encoders[0]
    tokens = torch.tensor([[49406, 0, 0, 0, *[49407] * 73]])
    wanted_context = encoder(tokens, [(0, 1, files)], 1, True).hidden
    torch.testing.assert_close(encoded.context, wanted_context)
    assert not torch.allclose(plain.context, encoded.context)


def test_an_embedding_in_either_prompt_changes_the_picture(make, wanted, files):
    plain = pixels(make(wanted("an apple", save=False)))
    assert pixels(make(wanted("an apple, grainy", save=False))) != plain
    assert pixels(make(wanted("an apple", negative_prompt="grainy", save=False))) != plain


def test_two_forms_of_the_same_vectors_draw_the_same_picture(make, wanted, files):
    one = make(wanted("an apple, grainy", save=False))
    assert pixels(one) == pixels(make(wanted("an apple, paper", save=False)))


def test_the_infotext_tells_the_embeddings_and_their_hashes(make, wanted, files, session):
    (result,) = make(wanted("an apple, grainy", save=False))
    file = session.catalogue.find_file("embeddings", "grainy", "embedding")
    assert f"TI hashes: grainy: {session.catalogue.sha256(file)[:12]}" in result.infotext.replace('"', "")


def test_an_embedding_for_another_base_is_told_of_and_read_as_words(session, wanted, files):
    plan = plan_of(wanted("an apple, elsewhere"), session)
    assert plan.pictures[0].embeddings == ()
    assert any("768 and 1280" in warning and "plain words" in warning for warning in plan.warnings)


def test_an_embedding_bundled_in_a_lora_works_while_the_lora_is_used(session, wanted, home, files):
    from tests.adapters.files import lora_tensors

    (home.models / "loras").mkdir(exist_ok=True)
    bundle = {"bundle_emb.sparkle.string_to_param.*": torch.randn(2, WIDTH)}
    save_safetensors(home.models / "loras" / "bundled.safetensors", lora_tensors() | bundle)
    (use,) = plan_of(wanted("a sparkle apple <lora:bundled:1>"), session).pictures[0].embeddings
    assert use.vectors == 2 and torch.equal(use.read()[0], next(iter(bundle.values())))
    assert plan_of(wanted("a sparkle apple"), session).pictures[0].embeddings == ()
    assert vector_counts("a sparkle apple <lora:bundled:1>", session.catalogue) == {"sparkle": 2}


def test_a_hypernetwork_changes_the_picture_and_leaves_no_trace(make, wanted, files):
    plain = pixels(make(wanted(save=False)))
    changed = pixels(make(wanted("a red apple<hypernet:bend:1>", save=False)))
    assert changed != plain
    assert pixels(make(wanted("a red apple<hypernet:bend:0.5>", save=False))) not in (plain, changed)
    assert pixels(make(wanted("a red apple<hypernet:bend:0>", save=False))) == plain
    assert pixels(make(wanted(save=False))) == plain


def test_a_hypernetwork_for_another_base_is_refused(make, wanted, files):
    with pytest.raises(IncompatibleModel, match="320, 768"):
        make(wanted("an apple <hypernet:wide:1>", save=False))
