"""The size of what is made from a picture follows the picture, until another one is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.canvas_page import gradient, url
from tests.browser.conftest import generate, open_fold, see
from webui.engine.recommended import fitting

CHOOSE = "async (url) => emulsion.canvas.replace(await (await fetch(url)).blob())"
SIZE = "[...document.querySelectorAll('#em-width input, #em-height input')].map((field) => Number(field.value))"


def wait_size(page: Any, *size: int) -> None:
    page.wait_for_function(f"wanted => String({SIZE}) === String(wanted)", arg=list(size))


def opened(open_page: Callable[..., Any], tab: str) -> tuple[Any, int]:
    """The page at a tab, and the native side of its checkpoint."""
    page = open_page()
    page.click(f"#em-tab-{tab}-button")
    return page, int(page.locator("#em-preset input").first.get_attribute("value").split("x")[0])


def grow(page: Any, side: str, pixels: int) -> None:
    page.fill(f"#em-outpaint-{side} input[type=number]", str(pixels))
    page.keyboard.press("Tab")


@pytest.mark.parametrize("share", [0.5, 1.4, 3])
def test_a_chosen_picture_gives_the_size_as_it_does_on_the_command_line(
    open_page: Callable[..., Any], share: float
) -> None:
    page, native = opened(open_page, "img2img")
    width, height = round(native * share), round(native * share * 0.7)
    page.evaluate(CHOOSE, url(gradient(width, height)))
    wait_size(page, *fitting(width, height, native))
    see(page, "#em-picture-proportions").to_be_hidden()


def test_outpainting_makes_room_for_what_is_new(open_page: Callable[..., Any], last_request: Any) -> None:
    page, _ = opened(open_page, "inpaint")
    page.evaluate(CHOOSE, url(gradient(128, 96)))
    wait_size(page, 128, 96)
    open_fold(page, "em-outpaint", "#em-outpaint-left input[type=number]")
    grow(page, "left", 64)
    wait_size(page, 192, 96)
    grow(page, "down", 32)
    wait_size(page, 192, 128)
    page.click("#em-tab-img2img-button")
    wait_size(page, 128, 96)  # there nothing grows
    page.click("#em-tab-inpaint-button")
    wait_size(page, 192, 128)
    generate(page)
    step = last_request()["passes"][0]
    assert (step["width"], step["height"], step["outpaint"]["left"]) == (192, 128, 64)


def test_a_button_of_each_direction_grows_the_picture_and_takes_it_back(
    open_page: Callable[..., Any], last_request: Any
) -> None:
    page, _ = opened(open_page, "inpaint")
    see(page, "[data-grow=left]").to_be_disabled()
    page.evaluate(CHOOSE, url(gradient(128, 96)))
    wait_size(page, 128, 96)
    size = [128, 96]
    for side, growth in (("left", (32, 0)), ("right", (32, 0)), ("up", (0, 24)), ("down", (0, 24))):
        page.click(f"[data-grow={side}]")
        size = [size[0] + growth[0], size[1] + growth[1]]
        wait_size(page, *size)
        page.wait_for_selector(f"[data-grow={side}][aria-pressed=true]")
    page.click("[data-grow=right]")
    wait_size(page, 160, 144)
    generate(page)
    assert last_request()["passes"][0]["outpaint"] == {"left": 32, "right": 0, "up": 24, "down": 24}


def test_making_from_words_goes_on_at_its_own_size(open_page: Callable[..., Any]) -> None:
    page, native = opened(open_page, "img2img")
    wait_size(page, native, native)
    page.evaluate(CHOOSE, url(gradient(128, 96)))
    wait_size(page, 128, 96)
    page.click("#em-tab-txt2img-button")
    wait_size(page, native, native)
    page.click("#em-tab-inpaint-button")
    wait_size(page, 128, 96)
    page.fill("#em-width input", "160")
    page.keyboard.press("Tab")
    page.wait_for_selector("#em-picture-proportions:not([hidden])")
    page.click("#em-tab-txt2img-button")
    wait_size(page, 160, 96)  # what was typed is meant


def test_a_typed_size_stays_and_other_proportions_are_told(open_page: Callable[..., Any]) -> None:
    page, _ = opened(open_page, "inpaint")
    page.evaluate(CHOOSE, url(gradient(128, 96)))
    wait_size(page, 128, 96)
    page.fill("#em-width input", "200")
    page.keyboard.press("Tab")
    page.wait_for_selector("#em-picture-proportions:has-text('128 × 96')")
    open_fold(page, "em-outpaint", "#em-outpaint-left input[type=number]")
    grow(page, "left", 64)
    page.wait_for_selector("#em-picture-sizes button:has-text('192 × 96')")
    wait_size(page, 200, 96)
    page.click("#em-picture-sizes button:has-text('× 2')")
    wait_size(page, 384, 192)
    page.wait_for_selector("#em-picture-proportions", state="hidden")


def test_a_size_out_of_bounds_is_named(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill("#em-width input", "99999")
    page.keyboard.press("Tab")
    page.click("#em-generate")
    page.wait_for_selector("#em-error:has-text('The width is 99999.')")
