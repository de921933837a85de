"""The library in the page: cards into prompts and menus, the drawer beside the studio, notes, trash."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import see, until
from tests.library.made import picture

PROMPT, NEGATIVE = "#em-prompt textarea", "#em-negative-prompt textarea"
CARDS = "#em-library .em-model"
OpenPage = Callable[..., Any]


@pytest.fixture
def library(open_page: OpenPage) -> Callable[..., Any]:
    """Opens the library's tab at one kind."""

    def open_(kind: str = "loras", **options: Any) -> Any:
        page = open_page(**options)
        page.evaluate("emulsion.tabs.open('library')")
        page.click(f"#em-library .em-kind[data-kind={kind}]")
        page.wait_for_selector(f"#em-library .em-kind[data-kind={kind}][aria-selected=true]")
        page.wait_for_selector(CARDS)
        return page

    return open_


def card(page: Any, name: str, where: str = "#em-library") -> Any:
    """The card of exactly this name."""
    return page.locator(f"{where} .em-model", has=page.locator("strong", has_text=re.compile(f"^{re.escape(name)}$")))


def wait_value(page: Any, selector: str, value: str) -> None:
    """Wait until a field says this."""
    page.wait_for_function("([s, v]) => document.querySelector(s).value === v", arg=[selector, value])


def test_a_click_adds_a_lora_with_its_words_and_another_takes_it_out_again(library: Callable[..., Any]) -> None:
    page = library()
    page.evaluate("emulsion.setInput(emulsion.input('em-prompt'), 'a street, at night')")
    film = card(page, "film").locator(".em-model-main")
    film.click()
    see(page, PROMPT).to_have_value("a street, at night, <lora:film:0.7> film grain")
    see(page, NEGATIVE).to_have_value("digital")
    assert film.get_attribute("aria-pressed") == "true"
    film.click()
    see(page, PROMPT).to_have_value("a street, at night")
    see(page, NEGATIVE).to_have_value("")
    assert film.get_attribute("aria-pressed") == "false"


def test_what_does_not_fit_the_checkpoint_is_hidden_until_it_is_asked_for(library: Callable[..., Any]) -> None:
    page = library()
    page.fill("#em-library input[type=search]", "wash")
    page.wait_for_selector("#em-library .em-library-empty:not([hidden])")
    page.click("#em-library .em-library-count .em-link")
    wash = card(page, "wash")
    wash.wait_for()
    assert "Stable Diffusion XL" in wash.locator(".em-mark").get_attribute("title")
    page.click("#em-library .em-kind[data-kind=checkpoints]")
    card(page, "painter-xl").locator(".em-model-main").click()
    page.wait_for_function("document.querySelector('#em-checkpoint input').value.startsWith('painter-xl')")
    wait_value(page, "#em-width input", "1024")
    page.click("#em-library .em-kind[data-kind=loras]")
    page.wait_for_function("document.querySelectorAll('#em-library .em-unfit').length > 1")
    assert wash.locator(".em-mark").count() == 0


def test_further_cards_come_while_one_scrolls_and_searching_narrows_them(library: Callable[..., Any]) -> None:
    page = library()
    page.click("#em-library .em-folder:has-text('many')")
    page.wait_for_function("document.querySelector('#em-library .em-model strong').textContent === 'style 000'")
    first = page.locator(CARDS).count()
    assert first < 130
    for _ in range(3):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("n => document.querySelectorAll('#em-library .em-model').length > n", arg=first)
        first = page.locator(CARDS).count()
        if first == 130:
            break
    assert first == 130
    names = page.locator(f"{CARDS} strong").all_text_contents()
    assert names == [f"style {number:03}" for number in range(130)]
    page.fill("#em-library input[type=search]", "style 07")  # 007, 070 to 079 and 107
    page.wait_for_function("document.querySelectorAll('#em-library .em-model').length === 12")
    page.fill("#em-library input[type=search]", "nothing of that kind")
    page.wait_for_selector("#em-library .em-library-empty:not([hidden])")


def test_an_embedding_goes_into_either_prompt(library: Callable[..., Any]) -> None:
    page = library("embeddings")
    card(page, "grainy").locator(".em-model-main").click()
    card(page, "worst").locator(".em-model-main").click(modifiers=["Shift"])
    see(page, PROMPT).to_have_value("grainy")
    see(page, NEGATIVE).to_have_value("worst")


def test_the_drawer_shows_the_cards_beside_the_prompt(open_page: OpenPage) -> None:
    page = open_page(width=1440)
    page.fill(PROMPT, "a street")
    page.click("#em-add-lora")
    film = card(page, "film", ".em-drawer").locator(".em-model-main")
    film.click()
    see(page, PROMPT).to_have_value("a street, <lora:film:0.7> film grain")
    page.fill(PROMPT, "typed over")
    page.wait_for_selector(".em-drawer .em-model-main[aria-pressed=true]", state="detached")
    page.keyboard.press("Escape")
    page.wait_for_selector(".em-drawer", state="hidden")
    until(page, "document.activeElement.id", "em-add-lora")


def test_on_a_phone_the_drawer_covers_the_screen(open_page: OpenPage) -> None:
    page = open_page(width=390, height=844, has_touch=True)
    page.click("#em-add-lora")
    page.wait_for_selector(".em-drawer .em-model")
    box = page.locator(".em-drawer").bounding_box()
    assert (box["width"], box["height"]) == (390, 844)
    until(page, "document.querySelector('.em-drawer .em-library').scrollWidth <= 390", True)


WITHIN = "document.activeElement.closest('.em-drawer') !== null"


def test_a_drawer_that_covers_the_page_keeps_the_focus(open_page: OpenPage) -> None:
    page = open_page(width=390, height=844)
    page.focus("#em-add-lora")
    page.keyboard.press("Enter")
    page.wait_for_selector(".em-drawer[aria-modal=true] .em-model")
    stops = page.evaluate("""[...document.querySelectorAll('.em-drawer :is(button, input, select)')]
        .filter((e) => e.tabIndex >= 0 && e.offsetParent).length""")
    for key in ("Tab", "Shift+Tab"):
        for _ in range(stops + 1):
            page.keyboard.press(key)
            until(page, WITHIN, True)
    page.keyboard.press("Escape")
    page.wait_for_selector(".em-drawer", state="hidden")
    until(page, "document.activeElement.id", "em-add-lora")


def test_a_drawer_beside_the_page_lets_the_focus_go(open_page: OpenPage) -> None:
    page = open_page(width=1440)
    page.click("#em-add-lora")
    page.wait_for_selector(".em-drawer[aria-modal=false] .em-model")
    page.focus(".em-drawer .em-close")
    page.keyboard.press("Shift+Tab")
    until(page, WITHIN, False)
    page.focus("#em-tab-txt2img-button")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".em-drawer", state="hidden")
    until(page, "document.activeElement.id", "em-tab-img2img-button")


def test_what_a_distilled_lora_wants_is_offered_and_set_by_a_click_only(open_page: OpenPage) -> None:
    page = open_page()
    page.fill(PROMPT, "a street <lora:lcm-lora-sdv1-5:1>")
    page.wait_for_selector("#em-speed:not([hidden])")
    see(page, "#em-sampler input").to_have_value("Euler a")
    page.click("#em-speed-apply")
    wait_value(page, "#em-sampler input", "LCM")
    wait_value(page, "#em-schedule input", "SGM Uniform")
    wait_value(page, "#em-steps input[type=number]", "6")
    wait_value(page, "#em-guidance-scale input[type=number]", "1.5")
    page.wait_for_selector("#em-speed", state="hidden")


def test_a_vae_is_chosen_and_remembered_for_the_checkpoint(library: Callable[..., Any]) -> None:
    page = library("vae")
    card(page, "soft").locator(".em-model-main").click()
    wait_value(page, "#em-vae input", "soft.safetensors")
    page.click(".em-toast .em-button")
    wait_value(page, "#em-vae input", "Automatic")
    answer = page.request.get(page.url.split("?")[0] + "ui/vae?checkpoint=starter.safetensors")
    assert answer.json()["vae"] == "soft.safetensors"


def test_notes_and_previews_are_kept(library: Callable[..., Any], tmp_path: Path) -> None:
    page = library()
    card(page, "style 001").locator(".em-model-more").click()
    page.fill(".em-notes-form [name=activation]", "style one")
    page.fill(".em-notes-form [name=tags]", "ink, paper")
    (tmp_path / "own.png").write_bytes(picture())
    page.set_input_files(".em-details-preview input", str(tmp_path / "own.png"))
    page.wait_for_selector(".em-library-details .em-model-picture img")
    see(page, ".em-notes-form [name=tags]").to_have_value("ink, paper")  # not saved, and still there
    page.click(".em-details-foot .em-strong")
    page.wait_for_selector(".em-library-details", state="detached")
    card(page, "style 001").locator("img").wait_for()
    page.fill("#em-library input[type=search]", "paper")
    page.wait_for_function("document.querySelectorAll('#em-library .em-model').length === 1")
    card(page, "style 001").locator(".em-model-main").click()
    see(page, PROMPT).to_have_value(re.compile(r"> style one$"))


def test_a_deleted_file_comes_back(library: Callable[..., Any]) -> None:
    page = library()
    card(page, "style 002").locator(".em-model-more").click()
    page.click(".em-details-foot .em-delete")
    card(page, "style 002").wait_for(state="detached")
    page.click(".em-toast .em-button")
    card(page, "style 002").wait_for()


WORDS = """(steps) => { const [text, card] = steps; emulsion.setInput(emulsion.input('em-prompt'), text);
  emulsion.words.toggle(card); const on = emulsion.input('em-prompt').value;
  emulsion.words.toggle(card); return [on, emulsion.input('em-prompt').value]; }"""


SPOKEN = (  # the prompt before, the name of a LoRA, the prompt with it
    ("", "ink", "<lora:ink:1>"),
    ("a cat,", "ink", "a cat <lora:ink:1>"),
    ("<lora:ink wash:0.5>", "ink", "<lora:ink wash:0.5> <lora:ink:1>"),
    ("a cat", "日本 (v1.5)+", "a cat <lora:日本 (v1.5)+:1>"),
)


def test_loras_are_told_apart_by_their_whole_name(open_page: OpenPage) -> None:
    page = open_page()
    for text, name, on in SPOKEN:
        words = {"kind": "loras", "name": name, "insert": f"<lora:{name}:1>"}
        assert page.evaluate(WORDS, [text, words]) == [on, text.rstrip(",")]
