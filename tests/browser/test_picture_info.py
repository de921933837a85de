"""Pictures and workflows of other programs: all that they say is shown, and the fields are filled from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.browser.conftest import see, see_all
from tests.exchange.graphs import DEFAULT, changed, node
from tests.exchange.writers import png

SEED = 2**64 - 3  # longer than a browser's numbers
WORKFLOW = changed(
    DEFAULT,
    n3={"seed": SEED},
    n9=node("SaveImage", filename_prefix="ComfyUI", images=("20", 0)),
    n20=node("FaceDetailerOfSomebody", image=("8", 0), steps=9),
)
PROMPT = "beautiful scenery nature glass bottle landscape"
DROP = """([selector, name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: name.endsWith(".png") ? "image/png" : "" }));
  const options = { dataTransfer: data, bubbles: true, cancelable: true };
  for (const kind of ["dragover", "drop"]) document.querySelector(selector).dispatchEvent(new DragEvent(kind, options));
}"""


def drop(page: Any, selector: str, name: str, data: bytes) -> None:
    """Drop a file onto an element."""
    page.evaluate(DROP, [selector, name, list(data)])


def wait_filled(page: Any) -> None:
    """Wait until the workflow's values are in the fields."""
    page.wait_for_function("p => document.querySelector('#em-prompt textarea').value === p", arg=PROMPT)
    see(page, "#em-seed input").to_have_value(str(SEED))
    see(page, "#em-steps input[type=number]").to_have_value("23")


def test_a_comfyui_picture_dropped_on_the_prompt_fills_the_fields(open_page: Callable[..., Any]) -> None:
    page = open_page()
    drop(page, "#em-prompt textarea", "a.png", png({"prompt": json.dumps(WORKFLOW)}))
    wait_filled(page)
    page.wait_for_selector(".em-toast:has-text('FaceDetailerOfSomebody #20')")
    page.click(".em-toast .em-button")
    page.wait_for_selector("#em-info-left-out tbody th:has-text('FaceDetailerOfSomebody #20')")
    see(page, "#em-info-program").to_have_text("ComfyUI")


def test_a_workflow_file_dropped_on_the_page_does_the_same(open_page: Callable[..., Any]) -> None:
    page = open_page()
    drop(page, "#em-result", "workflow.json", json.dumps(WORKFLOW).encode())
    wait_filled(page)


def test_the_tab_shows_all_that_a_picture_says_and_hands_it_on(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('picture_info')")
    page.wait_for_selector("#em-info-drop")
    drop(page, "#em-info", "a.png", png({"prompt": json.dumps(WORKFLOW), "Author": "me"}, size=(96, 64)))
    page.wait_for_function("document.querySelector('#em-info-picture').naturalWidth === 96")
    see(page, "#em-info-text").to_contain_text(f"Seed: {SEED}")
    see(page, "#em-prompt textarea").to_have_value("")  # shown, not taken over
    see_all(page, "#em-info-items summary", 1).to_have_text(re.compile("^Author"))
    page.click("#em-info-items summary >> nth=0")
    page.wait_for_selector(f"#em-info-items pre:has-text('{SEED}')")
    page.click("[data-info-send=txt2img]")
    wait_filled(page)
    see(page, "#em-generate").to_be_visible()
    page.evaluate("emulsion.tabs.open('picture_info')")
    page.click("[data-info-send=img2img]")
    page.wait_for_function("document.body.dataset.tab === 'img2img' && emulsion.canvas.has()")


def test_a_picture_without_settings_says_so(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('picture_info')")
    page.wait_for_selector("#em-info-drop")
    drop(page, "#em-info", "plain.png", png({}))
    page.wait_for_selector("#em-info-none:not([hidden])")
    see(page, "[data-info-send=txt2img]").to_be_hidden()
    see(page, "[data-info-send=inpaint]").to_be_visible()


def test_what_enlarged_a_picture_is_shown_and_taken_over_by_extras(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('picture_info')")
    page.wait_for_selector("#em-info-drop")
    said = "Postprocess upscale by: 3, Postprocess upscaler: Lanczos, Postprocess upscaler 2: R-ESRGAN 4x+"
    drop(page, "#em-info", "a.png", png({"postprocessing": said}))
    page.wait_for_selector(f"#em-info-text:has-text('{said}')")
    see(page, "[data-info-send=txt2img]").to_be_hidden()
    see(page, "#em-info-none").to_be_hidden()
    page.click("[data-info-send=extras]")
    page.wait_for_selector(".em-toast:has-text('R-ESRGAN 4x+')")
    see(page, "#em-extras [data-extras=scale]").to_have_value("3")
    see(page, "#em-extras [data-extras=upscaler]").to_have_value("Lanczos")
    page.click(".em-toast .em-button")
    see(page, "#em-extras [data-extras=scale]").to_have_value("2")
