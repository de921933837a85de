"""People who do not wait for one thing before they do the next: the newest wish wins, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.browser.conftest import generate, see

PROMPT = "#em-prompt textarea"
HOLD = """name => {
    const quick = window[name];
    window.letGo = null;
    window[name] = async (...words) => {
        window[name] = quick;
        await new Promise((after) => (window.letGo = after));
        return quick(...words);
    };
}"""  # the next call of a function waits for letGo()


def make(page: Any, prompt: str) -> None:
    """Make a picture and wait for it."""
    page.fill(PROMPT, prompt)
    generate(page)


def held(page: Any) -> None:
    """Wait until the held function has been called."""
    page.wait_for_function("Boolean(window.letGo)")


def test_who_goes_elsewhere_while_a_picture_is_on_its_way_is_not_fetched_back(open_page: Callable[..., Any]) -> None:
    page = open_page()
    make(page, "a red apple")
    page.evaluate(HOLD, "createImageBitmap")
    page.click("[data-send-to=inpaint]")
    held(page)
    page.click("#em-tab-history-button")
    page.evaluate("letGo()")
    page.wait_for_function("emulsion.canvas.has()")
    assert page.evaluate("new Promise((done) => setTimeout(() => done(emulsion.tabs.current()), 100))") == "history"


def test_of_two_pictures_that_are_sent_the_newer_stays(open_page: Callable[..., Any]) -> None:
    page = open_page()
    make(page, "a red apple")
    first = page.evaluate("emulsion.pictures.shown().name")
    page.evaluate(HOLD, "fetch")
    page.evaluate("void emulsion.studio.sendTo('img2img')")
    held(page)
    page.evaluate("letGo = [letGo]")
    make(page, "a green apple")
    second = page.evaluate("emulsion.pictures.shown().name")
    assert second != first
    page.evaluate("emulsion.studio.sendTo('img2img')")
    assert page.evaluate("emulsion.canvas.name()") == second
    page.evaluate("letGo[0]()")
    assert page.evaluate("new Promise((done) => setTimeout(() => done(emulsion.canvas.name()), 200))") == second


def test_the_chosen_size_is_marked_however_quickly_it_changes(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate(HOLD, "fetch")
    page.click("#em-preset label:has-text('144 × 112')")
    held(page)
    page.click("#em-swap")
    page.wait_for_function("document.querySelector('#em-height input').value === '144'")
    page.evaluate("letGo()")
    page.wait_for_selector("#em-preset label.selected:has-text('112 × 144')")
    assert page.evaluate("new Promise((done) => setTimeout(() => done(true), 200))")
    assert page.locator("#em-preset label.selected").inner_text() == "112 × 144"


def test_fields_are_filled_in_the_order_of_the_wishes(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate(HOLD, "fetch")
    page.evaluate("emulsion.settings.fill({ values: { prompt: 'first', seed: '1' }, quiet: true })")
    held(page)
    page.evaluate("emulsion.settings.fill({ values: { prompt: 'second' }, quiet: true })")
    page.evaluate("letGo()")
    page.wait_for_function("document.querySelector('#em-prompt textarea').value === 'second'")
    see(page, "#em-seed input").to_have_value("1")


def test_two_choices_of_one_moment_are_both_answered(open_page: Callable[..., Any]) -> None:
    page = open_page()
    answers = page.evaluate("Promise.all([emulsion.choosing.set({ steps: 9 }), emulsion.choosing.set({ steps: 12 })])")
    assert answers == [{"steps": 9}, {"steps": 12}]
    page.wait_for_function("document.querySelector('#em-steps input[type=number]').value === '12'")


def test_settings_are_kept_in_the_order_of_their_changes(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    page.evaluate(HOLD, "fetch")
    page.evaluate("void emulsion.options.save({ preview_period: 700 })")
    held(page)
    page.evaluate("void (window.second = emulsion.options.save({ preview_period: 900 }))")
    page.evaluate("letGo()")
    assert page.evaluate("second.then((values) => values.preview_period)") == 900
    assert page.evaluate("emulsionDefaults.preview_period") == 900
    assert page.evaluate("emulsion.ask('options/page').then((said) => said.values.preview_period)") == 900


def test_of_two_files_that_are_dropped_the_newer_fills_the_fields(open_page: Callable[..., Any]) -> None:
    page = open_page()
    file = (
        "new File(['{} apple\\nSteps: 7, Sampler: Euler, Seed: 5, Size: 128x128'], 'a.txt', {{ type: 'text/plain' }})"
    )
    page.evaluate(HOLD, "fetch")
    page.evaluate(f"void emulsion.settings.applyFile({file.format('a red')})")
    held(page)
    page.evaluate(f"emulsion.settings.applyFile({file.format('a green')})")
    page.wait_for_function("document.querySelector('#em-prompt textarea').value === 'a green apple'")
    page.evaluate("letGo()")
    late = "new Promise((done) => setTimeout(() => done(document.querySelector('#em-prompt textarea').value), 300))"
    assert page.evaluate(late) == "a green apple"


def test_a_picture_is_enlarged_once_however_often_the_button_is_pressed_while_it_is_sent(
    open_page: Callable[..., Any], address: str
) -> None:
    page = open_page()
    make(page, "a red apple")
    before = len(httpx.get(f"{address}/requests").json()["requests"])
    page.evaluate(HOLD, "fetch")
    page.dblclick("#em-enlarge")
    held(page)
    page.click("#em-enlarge")
    page.wait_for_selector("#em-enlarge[aria-busy=true]")
    page.evaluate("letGo()")
    page.wait_for_selector("#em-enlarge:not([aria-busy])")
    page.wait_for_function("document.querySelectorAll('#em-strip .em-tile:not(.em-live)').length === 2")
    assert len(httpx.get(f"{address}/requests").json()["requests"]) == before + 1


def test_a_job_whose_picture_does_not_reach_the_server_is_not_sent(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    make(page, "a red apple")
    page.click("[data-send-to=inpaint]")
    page.wait_for_function("emulsion.canvas.has() && emulsion.tabs.current() === 'inpaint'")
    before = len(httpx.get(f"{address}/requests").json()["requests"])
    full = {"error": {"found": "The disk is full.", "wanted": "", "remedy": "Make room."}}
    page.evaluate(
        """(full) => {
            const quick = fetch;
            window.fetch = (path, options) => String(path).endsWith("/ui/uploads")
                ? Promise.resolve(Response.json(full, { status: 507 })) : quick(path, options);
        }""",
        full,
    )
    page.click("#em-generate")
    page.wait_for_selector("#em-error:has-text('The disk is full.')")
    assert len(httpx.get(f"{address}/requests").json()["requests"]) == before
