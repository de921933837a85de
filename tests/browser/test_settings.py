"""Settings, quick settings, styles and presets, in the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.browser.conftest import see, see_all, until

PROMPT = "#em-prompt textarea"
QUALITY = ".em-option[data-name='quality']"


@pytest.fixture(autouse=True)
def as_before(address: str) -> Iterator[None]:
    """The server is shared: settings, styles and presets go back afterwards."""
    yield
    everything = httpx.get(f"{address}/ui/options").json()["settings"]
    names = [setting["name"] for setting in everything if not setting["locked"]]
    httpx.post(f"{address}/ui/options/reset", json={"names": names}).raise_for_status()
    for style in httpx.get(f"{address}/ui/styles").json()["styles"]:
        httpx.delete(f"{address}/ui/styles", params={"name": style["name"]}).raise_for_status()
    for preset in httpx.get(f"{address}/ui/presets").json()["presets"]:
        httpx.delete(f"{address}/ui/presets", params={"name": preset}).raise_for_status()


def value_of(address: str, name: str) -> Any:
    """A setting as the server has it."""
    return next(one["value"] for one in httpx.get(f"{address}/ui/options").json()["settings"] if one["name"] == name)


def open_settings(page: Any) -> None:
    """Go to the tab and wait for its rows."""
    page.evaluate("emulsion.tabs.open('settings')")
    page.wait_for_selector(QUALITY)


def wait_value(page: Any, selector: str, value: str) -> None:
    """Wait until a field shows a value."""
    page.wait_for_function("([s, v]) => document.querySelector(s)?.value === v", arg=[selector, value])


def test_a_setting_is_changed_refused_and_put_back_at_its_place(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    open_settings(page)
    number = page.locator(f"{QUALITY} input[type=number]")
    number.fill("500")
    number.press("Tab")
    page.wait_for_selector(f"{QUALITY} .em-option-error:visible")
    see(page, f"{QUALITY} .em-option-error").to_have_text("It must be from 1 to 100.")
    assert value_of(address, "quality") == 90
    number.fill("75")
    number.press("Tab")
    page.wait_for_function("s => document.querySelector(s + ' .em-option-state').textContent === 'Saved'", arg=QUALITY)
    see(page, f"{QUALITY} .em-option-error").to_be_hidden()
    assert value_of(address, "quality") == 75
    folder = page.locator(".em-option[data-name='folder_txt2img'] input")
    folder.fill("../elsewhere")
    folder.press("Tab")
    page.wait_for_selector(".em-option[data-name='folder_txt2img'] .em-option-error:visible")
    lines = page.locator(".em-option[data-name='vae_choices'] textarea")
    lines.fill("no value")
    lines.press("Tab")
    page.wait_for_selector(".em-option[data-name='vae_choices'] .em-option-error:visible")
    page.click(f"{QUALITY} .em-option-row .em-link")
    wait_value(page, f"{QUALITY} input[type=number]", "90")
    assert value_of(address, "quality") == 90


def test_the_search_leaves_what_fits_and_says_when_nothing_does(open_page: Callable[..., Any]) -> None:
    page = open_page()
    open_settings(page)
    page.fill("#em-options-search", "jpeg_quality")
    page.wait_for_function("document.querySelectorAll('.em-option:not([hidden])').length === 1")
    see(page, QUALITY).to_be_visible()
    page.fill("#em-options-search", "dark")  # a choice, which stands in no name
    page.wait_for_selector(".em-option[data-name='theme']:visible")
    see(page, QUALITY).to_be_hidden()
    page.fill("#em-options-search", "qqqq")
    page.wait_for_selector("#em-options-nothing:visible")


def test_changes_from_elsewhere_are_seen_when_the_tab_is_opened_again(
    open_page: Callable[..., Any], address: str
) -> None:
    page = open_page()
    open_settings(page)
    page.evaluate("emulsion.tabs.open('txt2img')")
    httpx.put(f"{address}/ui/options", json={"quality": 33})
    page.evaluate("emulsion.tabs.open('settings')")
    wait_value(page, f"{QUALITY} input[type=number]", "33")


def test_a_section_goes_back_and_forth(open_page: Callable[..., Any], address: str) -> None:
    httpx.put(f"{address}/ui/options", json={"quality": 20, "save_grids": True})
    page = open_page()
    open_settings(page)
    folder = page.locator(".em-option[data-name='folder_txt2img'] input")
    folder.fill("../elsewhere")
    folder.press("Tab")
    page.click(".em-options-section[data-section=saving] .em-options-back")
    wait_value(page, f"{QUALITY} input[type=number]", "90")
    assert folder.input_value() == "txt2img"
    see_all(page, ".em-option-error:visible").to_have_count(0)
    page.click(".em-toast .em-button")
    wait_value(page, f"{QUALITY} input[type=number]", "20")
    assert value_of(address, "save_grids") is True


def test_language_and_theme_count_at_once(open_page: Callable[..., Any]) -> None:
    page = open_page()
    open_settings(page)
    page.select_option(".em-option[data-name='theme'] select", "dark")
    page.wait_for_selector("body.dark")
    page.select_option(".em-option[data-name='language'] select", "zh-CN")
    page.wait_for_function("document.querySelector('#em-section-page').textContent === '界面'")
    see(page, "#em-language").to_have_value("zh-CN")
    page.select_option(".em-option[data-name='language'] select", "auto")
    page.wait_for_function("document.querySelector('#em-section-page').textContent === 'Page'")
    page.select_option(".em-option[data-name='theme'] select", "auto")
    page.wait_for_selector("body:not(.dark)")


def test_the_reader_chooses_what_stands_at_the_top(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    open_settings(page)
    page.select_option(".em-option[data-name='quick_settings'] select", "emphasis")
    page.wait_for_selector("#em-quick-emphasis")
    page.click(".em-option[data-name='quick_settings'] .em-chip:has-text('Clip skip')")
    page.wait_for_selector("#em-clip-skip", state="hidden")
    page.reload()
    page.wait_for_selector("body.em-ready")
    page.wait_for_selector("#em-quick-emphasis")
    see(page, "#em-clip-skip").to_be_hidden()
    see(page, "#em-vae").to_be_visible()
    with page.expect_response(lambda answer: answer.url.endswith("/ui/options")):
        page.select_option("#em-quick-emphasis", "No norm")
    assert value_of(address, "emphasis") == "No norm"
    # The open page's own field follows, so that the next picture is made with it.
    page.wait_for_function("async () => (await emulsion.fields.values()).emphasis === 'No norm'")


def test_a_style_is_made_from_the_prompts_worked_in_and_deleted(open_page: Callable[..., Any]) -> None:
    page = open_page()
    see_all(page, "#em-styles").to_have_count(0)
    page.fill(PROMPT, "ink drawing of {prompt}")
    page.click("#em-styles-edit")
    page.wait_for_function("document.querySelector('#em-style-prompt')?.value === 'ink drawing of {prompt}'")
    page.fill("#em-style-name", "Ink")
    page.press("#em-style-name", "Enter")
    page.wait_for_function("document.querySelector('#em-style-list').value === 'Ink'")
    page.keyboard.press("Escape")
    page.wait_for_selector("#em-styles input")
    page.fill(PROMPT, "a cat")
    page.click("#em-styles input")
    page.click("[role=option]:has-text('Ink')")
    page.keyboard.press("Escape")
    page.click("#em-styles-insert")
    wait_value(page, PROMPT, "ink drawing of a cat")
    page.click(".em-toast .em-button")  # undo
    wait_value(page, PROMPT, "a cat")
    page.click("#em-styles-edit")
    page.wait_for_selector("#em-style-list option[value=Ink]", state="attached")
    page.select_option("#em-style-list", "Ink")
    for _ in range(2):  # the first press asks
        page.click(".em-styles-dialog .em-dialog-row .em-button:has-text('Delete'), .em-styles-dialog [data-asked]")
    page.wait_for_selector("#em-style-list option[value=Ink]", state="detached")
    page.keyboard.press("Escape")
    page.wait_for_selector("#em-styles", state="detached")


def test_a_preset_brings_the_whole_studio_back(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    steps = "#em-steps input[type=number]"
    page.fill(PROMPT, "a dog")
    page.fill(steps, "17")
    page.press(steps, "Tab")
    page.click("#em-presets")
    page.fill("#em-preset-name", "Dogs")
    page.press("#em-preset-name", "Enter")
    page.wait_for_selector(".em-toast:has-text('Dogs')")
    page.fill(PROMPT, "a cat")
    page.click("#em-presets")
    page.click(".em-presets-load:has-text('Dogs')")
    wait_value(page, PROMPT, "a dog")
    page.click(".em-toast .em-button")  # undo
    wait_value(page, PROMPT, "a cat")
    page.click("#em-presets")
    page.click("[aria-label^='Begin with this preset']")
    page.wait_for_selector(".em-presets-act[aria-pressed=true]")
    page.reload()
    page.wait_for_selector("body.em-ready")
    wait_value(page, PROMPT, "a dog")
    wait_value(page, steps, "17")
    page.click("#em-presets")
    page.click("dialog .em-link")  # restore defaults
    wait_value(page, PROMPT, "")
    wait_value(page, steps, "8")


def test_on_a_phone_the_menu_of_presets_is_within_the_screen(open_page: Callable[..., Any], address: str) -> None:
    httpx.put(f"{address}/ui/presets", json={"name": "A preset with a rather long name " * 3, "values": {"steps": 5}})
    page = open_page(width=390, height=844, has_touch=True, is_mobile=True)
    page.click("#em-presets")
    page.wait_for_selector(".em-presets-load")
    box = page.locator(".em-menu").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] >= 0 and box["y"] + box["height"] <= 844
    page.keyboard.press("Escape")
    open_settings(page)
    until(page, "document.documentElement.scrollWidth", 390)
