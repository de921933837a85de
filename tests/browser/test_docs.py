"""The page /docs in a browser: search, fields, a try, both languages, and a narrow screen in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.started import server
from tests.browser.conftest import see, see_all, until

SHOWN = "details:not([hidden])"


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("docs")) as running:
        yield f"{running.address}/docs"


@pytest.fixture
def visit(browser: Any, docs: str) -> Iterator[Any]:
    """Opens the page; at the end there must be no error and no request to another host."""
    contexts, troubles = [], []

    def open_(**options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: m.type == "error" and troubles.append(m.text))
        page.on("request", lambda r: r.url.startswith((docs.removesuffix("/docs"), "data:")) or troubles.append(r.url))
        page.goto(docs)
        page.wait_for_selector("#groups[aria-busy=false]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


def test_a_route_is_found_by_its_words_shown_with_its_fields_and_tried(visit: Any) -> None:
    page = visit()
    page.fill("#search", "worker and the queue")
    see_all(page, SHOWN).to_have_count(1)
    page.click(f"{SHOWN} summary")
    page.click(f"{SHOWN} form button")
    page.wait_for_function("document.querySelector('pre[role=status]').textContent.includes('\"device\": \"fake\"')")
    page.fill("#search", "/api/v1/jobs make")
    page.click(f"{SHOWN} summary")
    page.locator(f"{SHOWN} code", has_text="request.passes[].sampler").first.wait_for(state="attached")
    page.fill("#search", "no such words at all")
    see_all(page, SHOWN).to_have_count(0)
    see(page, "#count").not_to_be_empty()


def test_an_address_with_a_name_opens_that_route(visit: Any, docs: str) -> None:
    page = visit()
    name = page.locator("details").nth(3).get_attribute("id")
    page.goto(f"{docs}#{name}")
    page.reload()
    page.wait_for_selector(f"#{name}[open] .inside")


def test_it_speaks_chinese_and_fits_a_phone_in_the_dark(visit: Any) -> None:
    page = visit(locale="zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark")
    see(page, "html").to_have_attribute("lang", "zh-CN")
    see(page, "#count").to_contain_text("接口")
    page.locator("summary").first.click()
    page.wait_for_selector(".inside")
    until(page, "document.documentElement.scrollWidth <= 390", True)
    light = "rgb(247, 247, 248)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.click("#language")
    page.wait_for_function("document.documentElement.lang === 'en'")
    see(page, "#count").to_contain_text("operations")
