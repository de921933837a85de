"""Downloads and the checkpoint merger in the page."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import see, see_all, until
from tests.ui.fake_models import write_lora

OpenPage = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[str]:
    """The address of a server with one LoRA."""
    write_lora(tmp_path / "fetched.safetensors")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def page(open_page: OpenPage) -> Any:
    """The page with its tab for models open."""
    page = open_page()
    page.evaluate("emulsion.tabs.open('models')")
    page.wait_for_selector("#em-download-kind option[value=loras]", state="attached")
    page.wait_for_selector("#em-merge-form option[value='portrait.safetensors']", state="attached")
    return page


def test_a_file_is_fetched_and_has_a_card(page: Any, files: str) -> None:
    page.fill("#em-download-source", f"{files}/fetched.safetensors")
    page.select_option("#em-download-kind", "loras")
    page.click("#em-download-form button")
    page.wait_for_selector("#em-download-list .em-done:has-text('fetched.safetensors')")
    page.evaluate("emulsion.tabs.open('library')")
    page.click("#em-library .em-kind[data-kind=loras]")
    page.wait_for_selector("#em-library .em-model strong:text-is('fetched')")


def test_why_a_download_failed_is_told_and_it_can_be_tried_again(page: Any, files: str) -> None:
    page.fill("#em-download-source", f"{files}/missing.safetensors")
    page.click("#em-download-form button")
    failed = page.locator("#em-download-list .em-failed", has_text="missing.safetensors")
    failed.wait_for()
    assert "404" in failed.inner_text()
    before = failed.get_attribute("data-download")
    failed.locator("button").first.click()
    page.wait_for_function(  # the new try has failed too, and the old one is off the list
        "before => { const found = [...document.querySelectorAll('#em-download-list .em-failed')]; "
        "return found.length === 1 && found[0].dataset.download !== before; }",
        arg=before,
    )
    failed.locator(".em-close").click()
    failed.wait_for(state="detached")


def test_a_merge_runs_and_its_result_can_be_chosen(page: Any) -> None:
    page.select_option("#em-merge-form [name=A]", "portrait.safetensors")
    page.select_option("#em-merge-form [name=B]", "portrait.safetensors")
    see(page, "#em-merge-form [required]:not(select)").to_have_value("portrait-portrait-merge")
    page.click("#em-merge-form [type=submit]")
    page.wait_for_selector("#em-merge-outcome .em-done:has-text('portrait-portrait-merge.safetensors')")
    page.wait_for_selector(
        "#em-merge-form [name=A] option[value='portrait-portrait-merge.safetensors']", state="attached"
    )


def test_the_form_asks_for_what_the_method_takes_and_offers_curves_over_the_blocks(page: Any) -> None:
    counts = {}
    for method in ("No interpolation", "Weighted sum", "Add difference"):
        page.select_option("#em-merge-form [name=method]", method)
        counts[method] = page.locator("#em-merge-form select[required]").count()
        see_all(page, "#em-merge-form select[required]:visible").to_have_count(counts[method])
    assert counts == {"No interpolation": 1, "Weighted sum": 2, "Add difference": 3}
    recipe = page.evaluate("emulsion.merge.recipe()")
    assert (recipe["method"], len(recipe["models"]), recipe["alpha"]) == ("Add difference", 3, 0.5)
    for name in ("deep", "outer", "input", "output", "rising", "falling"):
        curve = page.evaluate("name => emulsion.merge.curve(name)", name)
        assert len(curve) == 25 and min(curve) == 0 and max(curve) == 1
    until(page, "emulsion.merge.curve('deep')[12]", 1)
