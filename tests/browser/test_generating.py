"""From a prompt to a picture, as a visitor does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.browser.chromium import intercept, wait
from tests.browser.conftest import generate, ready, see, see_all, until

PROMPT, STATUS = "#em-prompt textarea", "#em-status-text"


def set_number(page: Any, field: str, value: int) -> None:
    """Type a number into a slider's field."""
    page.fill(f"#{field} input[type=number]", str(value))
    page.press(f"#{field} input[type=number]", "Tab")


def wait_text(page: Any, text: str) -> None:
    """Wait until the status says something."""
    page.wait_for_function("t => document.querySelector('#em-status-text').textContent.includes(t)", arg=text)


def test_the_page_is_small(open_page: Callable[..., Any]) -> None:
    page = open_page()
    assert page.evaluate("document.querySelectorAll('*').length") < 2500


def test_a_prompt_becomes_a_picture_with_progress_preview_and_settings(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple that takes long")
    page.fill("#em-negative-prompt textarea", "blurry")
    page.fill("#em-seed input", "77")
    set_number(page, "em-steps", 6)
    generate(page, over=False)
    page.wait_for_selector("#em-preview:not([hidden])")
    wait_text(page, "of 6")
    until(page, "document.querySelector('#em-bar').style.width !== '0%'", True)
    page.click("#em-stop-after")
    wait_text(page, "Interrupted")
    page.wait_for_function("document.querySelector('#em-picture').naturalWidth === 128")
    see(page, "#em-preview").to_be_hidden()
    see(page, "#em-infotext").to_contain_text("Seed: 77")
    request = last_request()
    assert (request["prompt"], request["negative_prompt"], request["seed"]) == (
        *("an apple that takes long", "blurry"),
        77,
    )
    assert request["passes"][0]["steps"] == 6
    assert request["checkpoint"] == "starter.safetensors"


def test_the_old_picture_stays_until_the_new_one_is_there(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "a red apple")
    generate(page)
    first = page.get_attribute("#em-picture", "src")
    page.fill(PROMPT, "an apple that takes long")
    generate(page, over=False)
    page.wait_for_selector("#em-preview:not([hidden])")
    see(page, "#em-picture").to_have_attribute("src", first)
    page.click("#em-stop-after")
    page.wait_for_function("old => document.querySelector('#em-picture').src !== old", arg=first)
    see_all(page, "#em-strip .em-tile").to_have_count(2)
    page.click("#em-strip .em-tile >> nth=1")
    see(page, "#em-picture").to_have_attribute("src", first)


def test_interrupt_ends_the_job(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple that takes long")
    generate(page, over=False)
    page.click("#em-interrupt")
    wait_text(page, "Interrupted")
    page.wait_for_selector("body:not(.em-busy)")
    see(page, "#em-interrupt").to_be_hidden()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_buttons_beside_generate_keep_to_one_row(open_page: Callable[..., Any], locale: str) -> None:
    page = open_page(locale=locale)
    height = "document.querySelector('#em-run').offsetHeight"
    page.fill(PROMPT, "an apple that takes long")
    generate(page, over=False)
    page.wait_for_selector("body.em-busy #em-interrupt")
    for width in (1440, 1280, 1120, 1024):
        page.set_viewport_size({"width": width, "height": 900})
        until(page, f"[{width}, innerWidth, {height} < 60]", [width, width, True])  # two rows have 88 px
        if width > 1240:
            see(page, "#em-forever").to_be_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.em-busy)")


def test_skip_goes_on_with_the_next_batch(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill("#em-seed input", "10")
    page.fill(PROMPT, "an apple that takes long")
    set_number(page, "em-count", 2)
    generate(page, over=False)
    wait_text(page, "batch 1 of 2")
    page.keyboard.press("Alt+Enter")
    wait_text(page, "batch 2 of 2")
    page.click("#em-stop-after")
    wait_text(page, "Interrupted")
    see(page, "#em-infotext").to_contain_text("Seed: 11")


def test_stop_after_this_finishes_the_picture(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple that takes long")
    set_number(page, "em-count", 5)
    generate(page, over=False)
    wait_text(page, "batch 1 of 5")
    page.click("#em-stop-after")
    wait_text(page, "Interrupted")
    page.wait_for_function("document.querySelector('#em-picture').naturalWidth > 0")


def test_forever_starts_again_until_it_is_switched_off(
    open_page: Callable[..., Any], address: str, last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    set_number(page, "em-steps", 2)
    before = len(httpx.get(f"{address}/requests").json()["requests"])
    page.click("#em-forever")
    page.wait_for_function("document.querySelectorAll('#em-strip .em-tile').length >= 3")
    set_number(page, "em-steps", 40)
    page.fill(PROMPT, "an apple that takes long")
    wait(page, lambda: "takes long" in last_request()["prompt"], "no such job was sent")
    wait_text(page, "of 40")  # in the middle of a job: between two of them the next may be on its way
    page.click("#em-forever")
    page.click("#em-interrupt")
    page.wait_for_selector("body:not(.em-busy)")
    after = len(httpx.get(f"{address}/requests").json()["requests"])
    assert after - before >= 3
    page.wait_for_timeout(800)
    assert len(httpx.get(f"{address}/requests").json()["requests"]) == after


def test_a_reload_in_the_middle_finds_the_job_its_preview_and_its_fields(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple that takes long")
    set_number(page, "em-steps", 20)
    generate(page, over=False)
    wait_text(page, "Step")
    page.reload()
    ready(page)
    page.wait_for_selector("#em-preview:not([hidden])")
    wait_text(page, "of 20")
    see(page, PROMPT).to_have_value("an apple that takes long")
    see(page, "#em-steps input[type=number]").to_have_value("20")
    page.keyboard.press("Escape")
    wait_text(page, "Interrupted")


def test_after_a_reload_the_finished_picture_is_there(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "a red apple")
    page.click("#em-generate")
    wait_text(page, "Done")
    page.reload()
    ready(page)
    page.wait_for_function("document.querySelector('#em-picture').naturalWidth > 0")
    see(page, "#em-infotext").to_contain_text("a red apple")


def test_a_failed_job_says_why(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "fail please")
    page.click("#em-generate")
    page.wait_for_selector("#em-error:not([hidden])")
    see(page, "#em-error").to_contain_text("Choose another VAE")


def test_a_value_that_cannot_be_used_is_named_and_nothing_is_sent(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    before = len(httpx.get(f"{address}/requests").json()["requests"])
    page.fill("#em-seed input", "apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-error:not([hidden])")
    see(page, "#em-error").to_contain_text("Seed is 'apple'")
    assert len(httpx.get(f"{address}/requests").json()["requests"]) == before


def test_jobs_wait_in_line_and_can_be_cancelled(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple that takes long")
    generate(page, over=False)
    wait_text(page, "Step")
    page.click("#em-generate")
    page.wait_for_function("document.querySelector('#em-status-more').textContent.includes('1')")
    page.click("#em-clear-waiting")
    page.wait_for_function("!document.querySelector('#em-status-more').textContent")
    page.click("#em-interrupt")
    wait_text(page, "Interrupted")


def test_gradio_keeps_no_copies_of_pictures(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    kept = set(httpx.get(f"{address}/requests").json()["kept"])
    page.fill(PROMPT, "a red apple")
    page.click("#em-generate")
    wait_text(page, "Done")
    assert set(httpx.get(f"{address}/requests").json()["kept"]) == kept


def test_two_tabs_keep_their_own_pictures(open_page: Callable[..., Any]) -> None:
    first = open_page()
    second = first.context.new_page()
    second.goto(first.url)
    ready(second)
    first.fill(PROMPT, "an apple in the first tab")
    first.click("#em-generate")
    second.fill(PROMPT, "an apple in the second tab")
    second.click("#em-generate")
    for page, words in ((first, "first"), (second, "second")):
        page.wait_for_function("w => document.querySelector('#em-infotext').textContent.includes(w)", arg=words)
    first.reload()
    ready(first)
    first.wait_for_function("document.querySelector('#em-infotext').textContent.includes('first tab')")


def test_settings_beyond_the_sliders_make_the_picture_that_they_describe(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    text = "a red apple\nSteps: 3, Sampler: Euler, CFG scale: 60, Seed: 7, Size: 64x64, Aesthetic embedding: gone"
    page.evaluate("text => emulsion.settings.apply(text)", text)
    page.wait_for_selector(".em-toast:has-text('gone')")
    page.click("#em-generate")
    wait_text(page, "Done")
    assert last_request()["passes"][0]["guidance"]["scale"] == 60 and last_request()["aesthetic"] is None


def test_masks_stand_behind_their_picture_which_is_the_one_that_is_shown(open_page: Callable[..., Any]) -> None:
    page = open_page()
    intercept(
        page, "**/ui/jobs/made/**", lambda route: route.fulfill(status=200, content_type="image/svg+xml", body="")
    )
    order = page.evaluate(
        """() => {
          const told = (index, aside) =>
            ({ index, seed: "1", name: "n", infotext: "", width: 8, height: 8, facts: aside ? { aside } : {} });
          emulsion.pictures.add("made", [told(0), told(1, "mask"), told(2, "mask-composite")]);
          emulsion.pictures.add("made", [told(3), told(4, "mask"), told(5, "mask-composite")]);
          const tiles = [...document.querySelectorAll("#em-strip .em-tile")];
          return [emulsion.pictures.shown().index, ...tiles.map((tile) => tile.dataset.key)];
        }"""
    )
    assert order == [3, "made/3", "made/4", "made/5", "made/0", "made/1", "made/2"]
