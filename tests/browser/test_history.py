"""The gallery: from a finished picture to its settings, marks, trash, and new pictures while one looks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import generate, ready, see, see_all, until

PROMPT, SEED = "#em-prompt textarea", "#em-seed input"
TILE = ".em-shot"


def make(page: Any, prompt: str, seed: int = 7, count: int = 1) -> None:
    """Make pictures and wait for them."""
    page.fill(PROMPT, prompt)
    page.fill(SEED, str(seed))
    for field, value in (("em-steps", 2), ("em-count", count)):
        page.fill(f"#{field} input[type=number]", str(value))
        page.press(f"#{field} input[type=number]", "Tab")
    generate(page)
    page.wait_for_function(
        "told => told.every((words) => document.querySelector('#em-infotext').textContent.includes(words))",
        arg=[prompt, f"Seed: {seed + count - 1},"],
    )


def open_gallery(page: Any, text: str, count: int) -> None:
    """Open the tab and search; the other tests' pictures are left out by it."""
    page.evaluate("emulsion.tabs.open('history')")
    page.wait_for_selector("#em-history-text")
    with page.expect_response(lambda answer: f"history/count?text={text}" in answer.url):
        page.fill("#em-history-text", text)
    page.wait_for_function(
        "s => document.querySelector('#em-history-count').textContent.startsWith(s)", arg=f"{count} "
    )
    page.wait_for_selector(TILE)


def wait_tiles(page: Any, count: int) -> None:
    """Wait until so many pictures are shown."""
    page.wait_for_function("n => document.querySelectorAll('.em-shot').length === n", arg=count)


@pytest.fixture
def word() -> str:
    """A word that no other picture has in its prompt."""
    return f"pear{uuid.uuid4().hex[:10]}"


def test_a_picture_is_found_and_all_its_settings_are_used_again(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=4242)
    page.fill(PROMPT, "something else")
    open_gallery(page, word, 1)
    page.wait_for_selector(f"{TILE} img.em-there")
    page.click(TILE)
    page.wait_for_function("document.querySelector('.em-view-picture')?.naturalWidth === 128")
    see(page, ".em-view-infotext").to_contain_text(f"a {word}")
    page.click("[data-view=use]")
    page.wait_for_function("w => document.querySelector('#em-prompt textarea').value.includes(w)", arg=word)
    see(page, "#em-generate").to_be_visible()
    see(page, SEED).to_have_value("4242")
    see_all(page, "dialog").to_have_count(0)


def test_the_seed_alone_is_taken_over(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=9001)
    page.fill(PROMPT, "something else")
    page.fill(SEED, "1")
    open_gallery(page, word, 1)
    page.click(TILE)
    page.click("[data-view=seed]")
    page.wait_for_function("document.querySelector('#em-seed input').value === '9001'")
    see(page, PROMPT).to_have_value("something else")


def test_keys_mark_and_delete_and_what_was_deleted_comes_back(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", count=2)
    open_gallery(page, word, 2)
    page.click(TILE)
    page.keyboard.press("4")
    page.wait_for_selector(".em-star[aria-checked=true][aria-label^='4']")
    page.keyboard.press("f")
    page.wait_for_selector("[data-view=favourite][aria-pressed=true]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.em-view-place').textContent === '2 / 2'")
    page.keyboard.press("Delete")
    page.wait_for_function("document.querySelector('.em-view-place').textContent === '1 / 1'")
    page.keyboard.press("Escape")
    wait_tiles(page, 1)
    see(page, ".em-shot-marks").to_have_text("♥ ★4")
    page.click(".em-toast .em-button")  # it outlives the enlarged view
    wait_tiles(page, 2)
    page.click("#em-history-favourites")
    wait_tiles(page, 1)


def test_what_was_deleted_is_not_shown_as_a_result_after_a_reload(chromium: Any, address: str, word: str) -> None:
    page = chromium.page(address, 1280, 900)  # the browser reports the missing file as an error of the page
    page.goto(address)
    ready(page)
    make(page, f"a {word}", count=2)
    open_gallery(page, word, 2)
    name = page.evaluate("emulsion.pictures.shown().name")
    page.locator(f"{TILE}[title='{name}']").focus()
    page.keyboard.press("Delete")
    wait_tiles(page, 1)
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.reload()
    page.wait_for_selector("body.em-ready")
    page.wait_for_function("name => ![undefined, name].includes(emulsion.pictures.shown()?.name)", arg=name)
    page.evaluate("emulsion.tabs.open('txt2img')")
    see(page, "#em-strip").to_be_hidden()  # there is but one
    page.wait_for_function("document.querySelector('#em-picture').naturalWidth === 128")


def test_two_are_chosen_and_compared(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=20, count=3)
    open_gallery(page, word, 3)
    page.click(TILE, modifiers=["Control"])
    page.click(f"{TILE}[data-place='2']", modifiers=["Shift"])
    page.wait_for_function("document.querySelectorAll('.em-shot[aria-selected=true]').length === 3")
    see(page, "[data-chosen=compare]").to_be_disabled()
    page.click(f"{TILE}[data-place='1']", modifiers=["Control"])
    page.click("[data-chosen=compare]")
    page.wait_for_selector(".em-compare")
    assert page.inner_text(".em-compare-table").split() == ["Seed", "22", "20"]
    before = page.evaluate("getComputedStyle(document.querySelector('.em-compare-line')).left")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("getComputedStyle(document.querySelector('.em-compare-line')).left")
    assert float(after[:-2]) > float(before[:-2])


def test_several_go_into_one_zip_file(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", count=2)
    open_gallery(page, word, 2)
    page.click("#em-history-select")
    page.click(f"{TILE}[data-place='0']")
    page.click(f"{TILE}[data-place='1']")
    with page.expect_download() as download:
        page.click("[data-chosen=zip]")
    assert download.value.suggested_filename == "pictures.zip"


def test_all_are_chosen_by_key_and_come_back_from_the_trash_later(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}", count=3)
    open_gallery(page, word, 3)
    wait_tiles(page, 3)
    page.locator(TILE).nth(1).focus()
    page.keyboard.press("Control+a")
    page.wait_for_function("document.querySelectorAll('.em-shot[aria-selected=true]').length === 3")
    page.keyboard.press("Delete")
    wait_tiles(page, 0)
    page.reload()  # the message with its way back is gone
    page.wait_for_selector("body.em-ready")
    page.evaluate("emulsion.tabs.open('history')")
    page.click("#em-history-trash")
    page.wait_for_selector("dialog[open] .em-trash li")
    before = page.locator(".em-trash li").count()
    page.click("dialog[open] .em-trash li:first-child button")
    page.wait_for_function("n => document.querySelectorAll('.em-trash li').length === n", arg=before - 1)
    page.keyboard.press("Escape")
    open_gallery(page, word, 3)


def test_a_new_picture_comes_to_the_top_and_the_screen_stays(open_page: Callable[..., Any], word: str) -> None:
    page = open_page(width=420, height=500)
    make(page, f"a {word}", count=24)
    open_gallery(page, word, 24)
    page.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    page.wait_for_selector(f"{TILE}[data-place='23']")
    oldest = page.get_attribute(f"{TILE}[data-place='23']", "title")
    before = page.locator(f"{TILE}[title='{oldest}']").bounding_box()
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("body.em-ready")
    other.evaluate("emulsion.tabs.open('txt2img')")
    make(other, f"a {word}")
    other.close()
    page.bring_to_front()
    page.wait_for_selector(f"{TILE}[data-place='24']")
    after = page.locator(f"{TILE}[title='{oldest}']").bounding_box()
    assert after["x"] == before["x"] and abs(after["y"] - before["y"]) <= 1  # windows scroll by whole pixels
    see(page, "#em-history-news").to_have_text("↑ 1 new")
    page.click("#em-history-news")
    page.wait_for_selector(f"{TILE}[data-place='0']")
    page.wait_for_selector("#em-history-news", state="hidden")


def test_a_search_without_a_find_says_so_and_can_be_undone(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}")
    page.evaluate("emulsion.tabs.open('history')")
    page.wait_for_selector(TILE)
    page.fill("#em-history-text", "nothing of that kind")
    page.wait_for_selector("#em-history-empty:not([hidden])")
    see_all(page, TILE).to_have_count(0)
    page.click("#em-history-empty-act")
    page.wait_for_selector(TILE)


def test_a_picture_goes_to_inpaint(open_page: Callable[..., Any], word: str) -> None:
    page = open_page()
    make(page, f"a {word}")
    open_gallery(page, word, 1)
    page.click(TILE)
    page.click("[data-view-send=inpaint]")
    page.wait_for_function("document.body.dataset.tab === 'inpaint' && emulsion.canvas.has()")


def test_on_a_phone_nothing_is_wider_than_the_screen(open_page: Callable[..., Any], word: str) -> None:
    page = open_page(width=390, height=844, locale="zh-CN", has_touch=True)
    make(page, f"a {word}", count=2)
    open_gallery(page, word, 2)
    page.click("#em-history-filters-button")
    page.wait_for_selector("#em-history-filters:not([hidden])")
    until(page, "document.documentElement.scrollWidth <= 390", True)
    page.tap(TILE)
    page.wait_for_selector(".em-view")
    bar = ".em-view-bar"
    until(page, f"document.querySelector('{bar}').scrollWidth <= innerWidth", True)
