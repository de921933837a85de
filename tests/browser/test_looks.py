"""Narrow screens, the dark and light look, and languages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import ready, see, until

FOLDS = ("em-variation", "em-guidance", "em-sampling", "em-reading")
# Elements whose text is cut off although it should be read whole. The bar of tabs scrolls sideways.
CUT = """() => [...document.querySelectorAll("label span, button, .em-hint, h1, p, [data-testid='block-info']")]
  .filter((e) => e.offsetParent && getComputedStyle(e).fontSize !== "0px")
  .filter((e) => !e.closest(".info-text, .em-tabs, [aria-hidden=true]"))
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).overflow !== "visible"
    || e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.id || e.textContent.trim().slice(0, 40))"""


def open_everything(page: Any) -> None:
    """Make a picture and open all folds."""
    page.fill("#em-prompt textarea", "a red apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    for fold in FOLDS:
        page.click(f"#{fold} > button")
    page.wait_for_selector("#em-save")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_is_wider_than_the_screen_or_cut_off(open_page: Callable[..., Any], locale: str) -> None:
    page = open_page(width=390, height=844, locale=locale)
    open_everything(page)
    for width in (390, 360, 700, 901, 950, 1101, 1280, 2200):
        page.set_viewport_size({"width": width, "height": 844})
        until(page, f"[innerWidth, document.documentElement.scrollWidth <= {width}, ({CUT})()]", [width, True, []])


def test_on_a_phone_generate_is_always_within_reach(open_page: Callable[..., Any]) -> None:
    page = open_page(width=390, height=844, has_touch=True)
    for share in (0, 1):
        page.evaluate("share => scrollTo(0, share * document.body.scrollHeight)", share)
        box = page.locator("#em-generate").bounding_box()
        assert 700 < box["y"] < box["y"] + box["height"] <= 844
        assert box["height"] >= 44
    columns = {page.locator(f"#{area}").bounding_box()["x"] for area in ("em-words", "em-outcome", "em-settings")}
    assert len(columns) == 1


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_the_look_follows_the_system(open_page: Callable[..., Any], scheme: str, dark: bool) -> None:
    page = open_page(color_scheme=scheme)
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red < 60) == dark
    field = page.evaluate("getComputedStyle(document.querySelector('#em-prompt textarea')).backgroundColor")
    assert (int(field.split("(")[1].split(",")[0]) < 60) == dark


# Pairs of text and ground that a reader has to tell apart: WCAG 2.2, success criterion 1.4.3, asks for 4.5 to 1.
CONTRAST = """(selector) => {
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => { const [r, g, b] = colour.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const element = document.querySelector(selector);
  let ground = element;
  while (ground && (numbers(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(ground ?? document.body).backgroundColor]
    .map((text) => light(numbers(text).slice(0, 3))).sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


READ = ("#em-generate", "#em-sampler [data-testid=block-info]", ".em-counter", "#em-read", ".em-empty p", ".em-chip")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_texts_stand_out_from_their_ground(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    until(page, f"{json.dumps(READ)}.filter((selector) => ({CONTRAST})(selector) < 4.5)", [])


def test_a_chinese_browser_gets_a_chinese_page(open_page: Callable[..., Any]) -> None:
    page = open_page(locale="zh-CN")
    page.wait_for_function("document.querySelector('#em-generate').textContent.trim() === '生成'")
    see(page, "#em-prompt").to_contain_text("提示词")
    see(page, "#em-prompt textarea").to_have_attribute("placeholder", "描述画面：主体、风格、背景")
    see(page, "#em-vae input").to_have_value("自动")
    see(page, "#em-result").to_contain_text("图片会显示在这里")
    see(page, "html").to_have_attribute("lang", "zh-CN")
    page.fill("#em-width input", "1024")
    page.press("#em-width input", "Tab")
    page.wait_for_selector("#em-hint:has-text('大得多')")


def test_another_name_of_chinese_is_understood(open_page: Callable[..., Any]) -> None:
    page = open_page(locale="zh-Hans-CN")
    page.wait_for_function("document.querySelector('#em-generate').textContent.trim() === '生成'")


def test_the_language_can_be_chosen_and_is_kept(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    page.fill("#em-prompt textarea", "an apple that stays")
    page.select_option("#em-language", "zh-CN")
    page.wait_for_function("document.querySelector('#em-generate').textContent.trim() === '生成'")
    page.wait_for_function("document.querySelector('#em-vae input').value === '自动'")
    see(page, "#em-prompt textarea").to_have_value("an apple that stays")
    page.reload()
    ready(page)
    page.wait_for_function("document.querySelector('#em-generate').textContent.trim() === '生成'")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    request = last_request()
    assert (request["vae"], request["passes"][0]["schedule"]) == ("Automatic", "Automatic")
    see(page, "#em-infotext").to_contain_text("Schedule type: Automatic")  # infotexts stay English


def test_the_address_can_name_the_language(open_page: Callable[..., Any]) -> None:
    page = open_page("/?__lang=zh-CN")
    page.wait_for_function("document.querySelector('#em-generate').textContent.trim() === '生成'")
