"""Pages of cards: searched, sorted, judged against a base, with what a click puts into the prompt."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest

from tests.adapters.files import write_lora
from tests.library.made import SD1_LAYER, cards, write_key_list
from webui.errors import InvalidRequest
from webui.library.cards import Base, Question, find_cards

SD1 = Base("Stable Diffusion 1", 768, 4)
SDXL = Base("Stable Diffusion XL", 2048, 4)
FLUX = Base("Flux", 4096, 16)


def test_a_card_tells_everything_that_is_known(library, models):
    library.sha256(next(file for file in library.files("loras") if file.stem == "film"))
    card = cards(library)["film"]
    assert card.title == "Film look" and card.family == "Stable Diffusion 1" and card.rank == 4
    assert (card.activation, card.negative, card.notes, card.description) == (
        "film grain,",
        "digital",
        "mine",
        "Old film",
    )
    assert card.weight == 0.7 and card.words == ("film grain", "street")
    assert card.short_hash == card.sha256[:10] and len(card.data_hash) == 12
    assert card.file == "film.safetensors" and card.folder == "" and card.read and not card.problem


@pytest.mark.parametrize(
    ("name", "insert"),
    [
        ("film", "<lora:film:0.7> film grain"),
        ("Brush", "<lora:Brush:1> sumi-e"),  # what its page says comes first
        ("wash", "<lora:wash:1>"),
    ],
)
def test_a_click_puts_name_weight_and_trigger_into_the_prompt(library, name, insert):
    assert cards(library)[name].insert == insert
    assert cards(library)["film"].insert_negative == "digital"


def test_other_kinds_are_put_in_their_own_way(library, models):
    assert cards(library, "embeddings")["grainy.pt"].insert == "grainy.pt"
    assert cards(library, "vae")["soft-840000"].insert == ""


def test_a_name_that_two_files_have_comes_with_its_folder(library, models):
    write_lora(models / "loras" / "ink" / "film.safetensors")
    library.refresh()
    library.read_pending()
    assert {"film.safetensors", "ink/film.safetensors"} <= set(cards(library))
    assert cards(library)["ink/film.safetensors"].insert == "<lora:ink/film.safetensors:1>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["Brush", "film", "wash"]),
        ("FILM", ["film"]),
        ("grain mine", ["film"]),
        ("墨", ["Brush"]),  # in the title of its page
        ("ink", ["Brush", "wash"]),  # in the folder's name
        ("brush-v2", ["Brush"]),
        ("diffusion xl", ["wash"]),
        ("100%", []),
        ("nothing of that", []),
    ],
)
def test_every_word_has_to_occur_somewhere(library, text, found):
    assert list(cards(library, text=text)) == found


def test_a_hash_finds_its_file(library):
    digest = library.sha256(next(file for file in library.files("loras") if file.stem == "wash"))
    assert list(cards(library, text=digest[:10])) == ["wash"]


@pytest.mark.parametrize(
    ("sort", "descending", "first"),
    [
        ("name", False, "Brush"),
        ("name", True, "wash"),
        ("size", True, "wash"),
        ("rank", False, "film"),
        ("rank", True, "wash"),
        ("date", True, "film"),
        ("used", True, "Brush"),
    ],
)
def test_cards_are_sorted_as_wished(library, models, sort, descending, first):
    future = time.time() + 100
    os.utime(models / "loras" / "film.safetensors", (future, future))
    library.refresh()
    library.read_pending()
    library.mark_used([file for file in library.files("loras") if file.stem == "Brush"])
    assert next(iter(cards(library, sort=sort, descending=descending))) == first


def test_pages_follow_each_other_and_know_the_whole_number(library):
    pages = [find_cards(library, Question("loras", offset=offset, limit=2)) for offset in (0, 2, 4)]
    assert [[card.name for card in page.cards] for page in pages] == [["Brush", "film"], ["wash"], []]
    assert {page.total for page in pages} == {3}


def test_folders_are_counted_with_those_inside(library, models):
    write_lora(models / "loras" / "ink" / "deep" / "a_b.safetensors")
    write_lora(models / "loras" / "inkwell" / "c.safetensors")
    library.refresh()
    page = find_cards(library, Question("loras", folder="ink"))
    assert {(folder.name, folder.count) for folder in page.folders} == {("ink", 3), ("ink/deep", 1), ("inkwell", 1)}
    assert sorted(card.name for card in page.cards) == ["Brush", "a_b", "wash"]


def test_what_does_not_fit_the_base_says_why_and_can_be_left_out(library):
    shown = cards(library, base=SD1)
    assert {name: card.why_not for name, card in shown.items()} == {"Brush": "", "film": "", "wash": "family"}
    page = find_cards(library, Question("loras", base=SD1, fitting=True))
    assert [card.name for card in page.cards] == ["Brush", "film"] and (page.total, page.hidden) == (2, 1)
    assert list(cards(library, base=SDXL, fitting=True)) == ["wash"]


def test_a_base_of_the_family_with_another_width_does_not_fit_either(library):
    narrow = dataclasses.replace(SD1, context_width=256)
    assert cards(library, base=narrow)["film"].why_not == "width"
    assert cards(library, "embeddings", base=narrow)["grainy.pt"].why_not == "width"
    assert cards(library, "embeddings", base=SD1)["grainy.pt"].fits


def test_the_question_and_the_card_agree_on_what_fits(library, models):
    for name in ("lora-kohya-flux", "lora-kohya-sd15", "lora-kohya-locon-sd15"):
        write_key_list(name, models / "loras" / f"{name}.safetensors")
    library.refresh()
    library.read_pending()
    for kind in ("loras", "embeddings", "vae", "checkpoints"):
        for base in (SD1, SDXL, FLUX):
            fitting = set(cards(library, kind, base=base, fitting=True))
            assert fitting == {name for name, card in cards(library, kind, base=base).items() if card.fits}


def test_vaes_are_judged_by_the_channels_of_their_latents(library, models):
    write_key_list("vae-flux-ae", models / "vae" / "ae.safetensors")
    library.refresh()
    library.read_pending()
    assert {name: card.why_not for name, card in cards(library, "vae", base=SD1).items()} == {
        "ae": "width",
        "soft-840000": "",
    }
    assert cards(library, "vae", base=FLUX)["soft-840000"].why_not == "family"


def test_a_checkpoint_always_fits_itself(library, models):
    write_key_list("sdxl-base", models / "checkpoints" / "xl.safetensors")
    library.refresh()
    library.read_pending()
    card = cards(library, "checkpoints", base=SD1, fitting=True)["xl"]
    assert card.fits and card.family == "Stable Diffusion XL"


def test_the_family_is_what_the_user_says_then_the_header_then_the_page(library, models):
    write_lora(models / "loras" / "odd.safetensors", layers={"lora_unet_x": (4, 4)})
    write_lora(models / "loras" / "said.safetensors", layers=SD1_LAYER)
    (models / "loras" / "odd.civitai.info").write_text('{"baseModel": "Pony"}')
    (models / "loras" / "said.civitai.info").write_text('{"baseModel": "Pony"}')
    (models / "loras" / "ink" / "wash.json").write_text('{"sd version": "SD2"}')
    library.refresh()
    library.read_pending()
    found = {name: card.family for name, card in cards(library).items()}
    assert found["odd"] == "Stable Diffusion XL"  # its header tells nothing, its page does
    assert found["said"] == "Stable Diffusion 1"  # the header counts more than the page,
    assert found["wash"] == "Stable Diffusion 2"  # and less than the user
    assert cards(library, base=SDXL)["wash"].why_not == "family"


def test_a_distilled_model_tells_what_it_wants_also_once_it_is_renamed(library, models):
    assert cards(library)["film"].recipe is None
    (models / "loras" / "film.safetensors").rename(models / "loras" / "lcm-lora-sdv1-5.safetensors")
    library.refresh()
    library.read_pending()
    recipe = cards(library)["lcm-lora-sdv1-5"].recipe
    assert recipe["kind"] == "lcm" and recipe["sampler"] == "LCM" and recipe["steps"] > 1


def test_unknown_kinds_and_orders_are_refused(library):
    with pytest.raises(InvalidRequest, match="loras"):
        find_cards(library, Question("../loras"))
    with pytest.raises(InvalidRequest, match="rank"):
        find_cards(library, Question("loras", sort="name; DROP TABLE files"))
