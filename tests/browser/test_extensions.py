"""Options of extensions in the studio: their controls, what is sent, and what fills them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.browser.conftest import open_fold

AMOUNT = "[data-extension=tint] [data-option=amount]"
COLOUR = "[data-extension=tint] [data-option=colour]"
INFOTEXT = "a pear\nSteps: 2, Sampler: Euler, Seed: 1, Size: 128x128, Tint: 0.75, Tint colour: blue"


def opened(page: Any) -> Any:
    """The page with the fold open."""
    open_fold(page, "em-extensions-fold", AMOUNT)
    return page


def test_options_of_an_extension_are_sent_with_the_request(open_page: Callable[..., Any], address: str) -> None:
    page = opened(open_page())
    page.fill("#em-prompt textarea", "a tinted pear")
    page.fill(AMOUNT, "0.25")
    page.select_option(COLOUR, "green")
    page.wait_for_function("document.querySelector('#em-extensions-fold .label-wrap > span').dataset.on === 'Tint'")
    page.click("#em-generate")
    page.wait_for_function(
        "fetch('/requests').then((answer) => answer.text()).then((text) => text.includes('a tinted pear'))"
    )
    sent = [json.loads(one) for one in httpx.get(f"{address}/requests").json()["requests"]]
    request = next(one for one in reversed(sent) if one["prompt"] == "a tinted pear")
    assert request["extensions"] == {"tint": {"amount": 0.25, "colour": "green"}}


def test_an_infotext_fills_them_and_their_labels_follow_the_reader(open_page: Callable[..., Any]) -> None:
    page = opened(open_page())
    page.evaluate("(text) => emulsion.settings.apply(text)", INFOTEXT)
    shown = (
        "([amount, colour]) => [amount, colour].map((one) => document.querySelector(one).value).join() === '0.75,blue'"
    )
    page.wait_for_function(shown, arg=[AMOUNT, COLOUR])
    page.select_option("#em-language", "zh-CN")
    page.wait_for_function("document.querySelector('[data-extension=tint] legend').textContent === '着色'")
    page.wait_for_function(shown, arg=[AMOUNT, COLOUR])
