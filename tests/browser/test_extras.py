"""Enlarging without a prompt, and putting pictures into words, as a visitor does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.browser.chromium import intercept
from tests.browser.conftest import see, see_all, until

AFTER = "document.querySelectorAll('#em-extras-versus img')[1]"
BEFORE = "document.querySelectorAll('#em-extras-versus img')[0]"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two pictures and a file that is none."""
    paths = [tmp_path / "one.png", tmp_path / "two.jpg", tmp_path / "three.png"]
    for path, size in zip(paths, ((60, 40), (32, 48)), strict=False):
        picture = Image.new("RGB", size, "white")
        ImageDraw.Draw(picture).ellipse((4, 4, 28, 28), fill="crimson")
        picture.save(path)
    paths[2].write_bytes(b"no picture")
    return paths


def extras(page: Any) -> None:
    """Open the panel and wait for its menus."""
    page.evaluate("emulsion.tabs.open('extras')")
    page.wait_for_function("document.querySelector('[data-extras=upscaler]').options.length > 0")


def enlarge(page: Any) -> None:
    """Press the button and wait for the end of the job."""
    page.wait_for_selector("#em-extras-go:not([disabled])")
    page.click("#em-extras-go")
    page.wait_for_selector("#em-extras-status.em-over")


def test_a_picture_becomes_twice_as_large_and_is_compared_with_its_source(
    open_page: Callable[..., Any], files: list[Path]
) -> None:
    page = open_page()
    extras(page)
    page.set_input_files("#em-extras-file", files[0])
    page.wait_for_function("document.querySelector('#em-extras-size').textContent === '60 × 40 → 120 × 80'")
    enlarge(page)
    page.wait_for_function(f"{AFTER}.naturalWidth === 120 && {AFTER}.naturalHeight === 80")
    page.wait_for_function(f"{BEFORE}.naturalWidth === 60")
    see(page, "#em-extras-told").to_contain_text("60 × 40 → 120 × 80")
    see(page, "#em-extras-infotext").to_contain_text("Postprocess upscale by: 2")
    page.focus("#em-extras-versus .em-versus-range")
    page.keyboard.press("End")
    sheet = page.locator(".em-versus-sheet")
    assert sheet.evaluate("e => parseFloat(getComputedStyle(e).getPropertyValue('--em-cut'))") == pytest.approx(
        sheet.evaluate("e => e.clientWidth"), abs=1
    )
    page.reload()
    page.wait_for_function(f"{AFTER}?.naturalWidth === 120")  # both are there again
    page.wait_for_function("document.querySelector('#em-extras-list').children.length === 1")


def test_several_pictures_are_made_to_one_size(open_page: Callable[..., Any], files: list[Path]) -> None:
    page = open_page()
    extras(page)
    page.check("[name=em-extras-mode][value=to]", force=True)
    page.fill("[data-extras=width]", "0")
    page.press("[data-extras=width]", "Tab")
    see(page, "[data-extras=width]").to_have_value("1")
    page.fill("[data-extras=width]", "90")
    page.fill("[data-extras=height]", "70")
    page.set_input_files("#em-extras-file", files[:2])
    page.wait_for_function("document.querySelector('#em-extras-list').children.length === 2")
    enlarge(page)
    see_all(page, "#em-extras-strip .em-tile").to_have_count(2)
    for place in (0, 1):
        page.locator("#em-extras-strip .em-tile").nth(place).click()
        page.wait_for_function(f"{AFTER}.complete && {AFTER}.naturalWidth === 90 && {AFTER}.naturalHeight === 70")
    page.locator("#em-extras-list button").first.click()
    page.wait_for_function("document.querySelector('#em-extras-list').children.length === 1")


def test_each_field_is_explained_and_named_in_the_readers_language(open_page: Callable[..., Any]) -> None:
    page = open_page()
    extras(page)
    fields = "#em-extras [data-extras], #em-extras-folder, #em-extras-out"
    without = f"""[...document.querySelectorAll('{fields}')].filter((e) => !e.closest('.em-explained')?.querySelector(
        '.em-help')).map((e) => e.outerHTML)"""
    until(page, without, [])
    box = page.locator(".em-explained:has([data-extras=max_side])")
    text = box.locator(".info-text")
    assert not text.is_visible()
    box.locator(".em-help").focus()
    page.keyboard.press("Enter")
    assert "0: no limit" in text.inner_text()
    assert box.locator(".em-help").get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert not text.is_visible()
    box.locator(".em-name > span").click()
    until(page, "document.activeElement.dataset.extras", "max_side")
    page.select_option("#em-language", "zh-CN")
    page.get_by_role("spinbutton", name="最长边上限", exact=True).wait_for()
    page.get_by_role("combobox", name="第二个放大算法", exact=True).wait_for()
    page.get_by_role("checkbox", name="按设置中的格式保存到输出文件夹").wait_for()
    page.get_by_role("button", name=": 最长边上限").wait_for()


def test_a_folder_that_holds_nothing_is_said_to(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page()
    extras(page)
    page.check("[name=em-extras-from][value=folder]", force=True)
    page.fill("#em-extras-folder", str(tmp_path))
    enlarge(page)
    see(page, "#em-extras-error").to_contain_text("holds no pictures")


def test_a_finished_picture_is_sent_to_extras_and_on_to_img2img(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill("#em-prompt textarea", "a red apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-details", state="visible")
    page.click("[data-send-to=extras]")
    extras(page)
    page.wait_for_function("document.querySelector('#em-extras-facts').textContent.includes('128 × 128')")
    enlarge(page)
    page.wait_for_function(f"{AFTER}.naturalWidth === 256")
    see(page, "#em-extras-infotext").to_contain_text("a red apple")
    page.click("[data-extras-send=img2img]")
    page.wait_for_function("emulsion.canvas.size()?.join() === '256,256'")
    until(page, "emulsion.tabs.current()", "img2img")


def test_without_a_captioner_describing_says_how_to_get_one(open_page: Callable[..., Any], files: list[Path]) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('img2img')")
    see(page, "#em-describe").to_be_hidden()
    page.set_input_files("#em-canvas-file", files[0])
    page.click("#em-describe")
    page.wait_for_selector(".em-toast.em-bad")
    see(page, ".em-toast").to_contain_text("hf download")
    see(page, "#em-prompt textarea").to_have_value("")


def test_a_description_becomes_the_prompt_and_can_be_taken_back(
    open_page: Callable[..., Any], files: list[Path]
) -> None:
    page = open_page()
    view = {"state": "done", "pictures": [], "outcome": {"captions": ["a red ball on white"]}}
    asked: list[str] = []

    def start(route: Any) -> None:
        asked.append(route.request.post_data_json["captioner"])
        route.fulfill(json={"job": "words"})

    intercept(page, "**/ui/tasks/caption", start)
    intercept(
        *(page, "**/ui/jobs/words?*"),
        lambda route: route.fulfill(body=json.dumps(view), content_type="application/json"),
    )
    page.evaluate("emulsion.tabs.open('inpaint')")
    page.fill("#em-prompt textarea", "my own words")
    page.set_input_files("#em-canvas-file", files[0])
    page.select_option("#em-describe-by", "tagger")
    page.click("#em-describe")
    page.wait_for_function("document.querySelector('#em-prompt textarea').value === 'a red ball on white'")
    assert asked == ["tagger"]
    page.click(".em-toast .em-button")
    page.wait_for_function("document.querySelector('#em-prompt textarea').value === 'my own words'")


def test_dropped_files_that_are_no_pictures_are_named(browser: Any, address: str, files: list[Path]) -> None:
    page = browser.new_page()  # the browser reports the refused upload as an error of the page
    try:
        page.goto(address)
        page.wait_for_selector("body.em-ready")
        extras(page)
        files[1].write_bytes(b"none either")
        page.set_input_files("#em-extras-file", [files[2], files[0], files[1]])
        page.wait_for_selector(".em-toast.em-bad")
        see(page, ".em-toast").to_contain_text("three.png: ")
        see(page, ".em-toast").to_contain_text("two.jpg: ")
        page.wait_for_function("document.querySelector('#em-extras-list').children.length === 1")
    finally:
        page.close()


def test_the_panel_fits_a_phone(open_page: Callable[..., Any], files: list[Path]) -> None:
    page = open_page(width=390, height=844)
    extras(page)
    page.set_input_files("#em-extras-file", files[0])
    enlarge(page)
    page.wait_for_function(f"{AFTER}.naturalWidth === 120")
    until(page, "document.documentElement.scrollWidth <= 390", True)
