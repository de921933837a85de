"""A plot in the page, as a visitor makes one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.browser import conftest
from tests.browser.chromium import intercept, wait
from tests.browser.conftest import see, see_all, until
from tests.browser.test_generating import PROMPT, set_number, wait_text

COST = "#em-script-cost"


def open_fold(page: Any) -> None:
    """Open the fold and wait for its menu."""
    conftest.open_fold(page, "em-script-fold", "#em-script-name option:nth-child(3)")


def wait_cost(page: Any, text: str) -> None:
    """Wait until the line below the fields says something."""
    page.wait_for_function(f"t => document.querySelector('{COST}').textContent.includes(t)", arg=text)


def test_a_plot_tells_its_cost_and_becomes_a_grid(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "a red apple")
    page.fill("#em-seed input", "7")
    set_number(page, "em-steps", 3)
    open_fold(page)
    page.select_option("#em-script-name", "X/Y/Z plot")
    page.select_option("[data-argument=x_type]", "Steps")
    page.fill("[data-argument=x_values]", "2-4 (+2)")
    wait_cost(page, "Pictures: 2 · steps: 6")
    page.select_option("[data-argument=y_type]", "Sampler")
    row = page.locator(".em-axis").nth(1)
    row.locator("select").nth(1).select_option("Euler")
    row.locator("select").nth(1).select_option("DDIM")
    see(page, "[data-argument=y_values]").to_have_value("Euler, DDIM")
    wait_cost(page, "Pictures: 4 · steps: 12")
    page.click("#em-generate")
    wait_text(page, "Done")
    see_all(page, "#em-strip .em-tile").to_have_count(5)
    page.wait_for_function("document.querySelector('#em-picture').naturalWidth > 256")
    see(page, "#em-infotext").to_contain_text("Script: X/Y/Z plot")
    page.reload()
    page.wait_for_selector("body.em-ready")
    see(page, PROMPT).to_have_value("a red apple")
    page.wait_for_function("document.querySelector('#em-script-fold [data-script]') !== null")
    open_fold(page)
    page.wait_for_selector("[data-argument=x_values]")
    see(page, "[data-argument=x_values]").to_have_value("2-4 (+2)")


def test_what_is_wrong_with_a_script_stands_below_it_and_stops_it(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    open_fold(page)
    page.select_option("#em-script-name", "X/Y/Z plot")
    page.fill("[data-argument=x_values]", "many")
    wait_cost(page, "'many' is no number")
    page.click("#em-generate")
    page.wait_for_selector("#em-error:not([hidden])")
    see(page, "#em-error").to_contain_text("'many' is no number")
    page.select_option("#em-script-name", "")
    page.fill(PROMPT, "no script any more")
    page.click("#em-generate")
    wait_text(page, "Done")
    assert last_request()["prompt"] == "no script any more"


def test_a_preset_keeps_the_script_and_undo_takes_it_back(open_page: Callable[..., Any]) -> None:
    page = open_page()
    open_fold(page)
    page.select_option("#em-script-name", "X/Y/Z plot")
    page.fill("[data-argument=x_values]", "3-5")
    page.click("#em-presets")
    page.fill("#em-preset-name", "a plot of mine")
    page.press("#em-preset-name", "Enter")
    page.wait_for_selector(".em-toast:has-text('a plot of mine')")
    page.select_option("#em-script-name", "")
    page.click("#em-presets")
    page.click(".em-presets-load:has-text('a plot of mine')")
    page.wait_for_selector("[data-argument=x_values]")
    see(page, "[data-argument=x_values]").to_have_value("3-5")
    page.click(".em-toast .em-button")
    page.wait_for_selector("[data-argument=x_values]", state="detached")
    see(page, "#em-script-name").to_have_value("")


def test_a_batch_of_files_is_sent_and_made_picture_by_picture(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.click("#em-tab-img2img-button")
    page.wait_for_selector('body[data-tab="img2img"]')
    open_fold(page)
    page.select_option("#em-script-name", "Batch from files")
    files = [
        {"name": f"{colour}.png", "mimeType": "image/png", "buffer": png(colour)} for colour in ("red", "green", "blue")
    ]
    page.set_input_files("[data-argument=files] input[type=file]", files)
    wait_cost(page, "Pictures: 3")
    see(page, "[data-argument=files]").to_contain_text("red.png, green.png, blue.png")
    page.click("#em-generate")
    wait_text(page, "Done")
    see_all(page, "#em-strip .em-tile").to_have_count(3)
    page.click("[data-argument=files] .em-link")
    wait_cost(page, "No picture was chosen")


def png(colour: str) -> bytes:
    """A small picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_settings_of_a_grid_fill_the_plot_that_made_it(open_page: Callable[..., Any]) -> None:
    page = open_page()
    plot = 'Script: X/Y/Z plot, X Type: Steps, X Values: "2, 4", Y Type: Sampler, Y Values: "Euler, DDIM"'
    text = f"a pear\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 3, Size: 128x128, {plot}"
    page.evaluate("text => emulsion.settings.apply(text)", text)
    page.wait_for_function("document.querySelector('#em-script-fold [data-script]') !== null")
    open_fold(page)
    page.wait_for_selector("[data-argument=y_values]")
    found = {name: page.input_value(f"[data-argument={name}]") for name in ("x_type", "x_values", "y_type", "y_values")}
    assert found == {"x_type": "Steps", "x_values": "2, 4", "y_type": "Sampler", "y_values": "Euler, DDIM"}
    see(page, PROMPT).to_have_value("a pear")
    wait_cost(page, "Pictures: 4")


def test_a_script_that_is_taken_over_counts_before_the_list_of_scripts_is_there(
    open_page: Callable[..., Any],
) -> None:
    page = open_page()
    waiting: list[Any] = []
    once = {"times": 1}  # opening the fold may ask once more
    intercept(page, "**/ui/scripts?*", lambda route: waiting.append(route), **once)
    page.evaluate("emulsion.script.restore('X/Y/Z plot', { x_type: 'Steps', x_values: '3-5' })")
    until(page, 'emulsion.script.value().includes(\'"x_values":"3-5"\')', True)
    wait(page, lambda: bool(waiting), "nothing was asked for")
    waiting[0].continue_()
    page.wait_for_selector("#em-script-fold [data-script]")
    open_fold(page)
    see(page, "#em-script-name").to_have_value("X/Y/Z plot")
    see(page, "[data-argument=x_values]").to_have_value("3-5")
    page.evaluate("emulsion.script.restore('no such script', {})")
    until(page, "emulsion.script.value()", "")
