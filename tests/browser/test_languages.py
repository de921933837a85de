"""A change of language reaches all that is on the page at once, also what other tabs show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

LOCALES = Path(__file__).resolve().parents[2] / "webui" / "ui" / "locales"
TEXTS = {name: json.loads((LOCALES / f"{name}.json").read_text("utf-8")) for name in ("en", "zh-CN")}
CHINESE = re.compile("[\u4e00-\u9fff]")
# Every text and name of the page, with where it stands; not what the reader wrote, and no names of languages.
WORDS = """() => {
  const found = [];
  const add = (element, text) => {
    if (!text?.trim() || element.closest("#em-language, #em-option-language, .em-toast, script, style, pre")) return;
    found.push([text.trim(), `${element.closest("[id]")?.id} ${element.tagName}.${element.className}`]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) add(walker.currentNode.parentElement, walker.currentNode.data);
  for (const element of document.body.querySelectorAll("*")) {
    for (const name of ["title", "aria-label", "placeholder", "alt", "label"]) add(element, element.getAttribute(name));
    if (element.matches("[role=listbox], [role=combobox]")) add(element, element.value);
  }
  return found;
}"""


def pattern(text: str) -> re.Pattern[str]:
    """What a text with places to fill fits."""
    return re.compile(re.sub(r"\\\{\w+\\\}", ".*", re.escape(text)), re.DOTALL)


def left_over(page: Any, language: str) -> list[list[str]]:
    """Words of the other language than this one."""
    words = page.evaluate(WORDS)
    if language == "en":
        return [word for word in words if CHINESE.search(word[0])]
    other, same = TEXTS["en"], set(TEXTS[language].values())
    texts = {text for text in other.values() if text not in same and len(re.sub(r"\{\w+\}|\W", "", text)) > 2}
    patterns = [pattern(text) for text in texts if "{" in text]
    rest = [word for word in words if not CHINESE.search(word[0]) and word[0] not in same]
    return [word for word in rest if word[0] in texts or any(one.fullmatch(word[0]) for one in patterns)]


def open_everything(page: Any, picture: Path) -> None:
    """Make a picture, open every tab and fold, and put something into each."""
    page.fill("#em-prompt textarea", "apple <lora:film:0.7>")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    page.evaluate("document.querySelectorAll('.label-wrap:not(.open)').forEach((head) => head.click())")
    page.wait_for_selector("#em-script-name option:nth-child(3)", state="attached")
    page.select_option("#em-script-name", "X/Y/Z plot")
    page.wait_for_selector("[data-argument=x_values]")
    page.click("#em-add-lora")
    page.wait_for_selector(".em-drawer .em-model")
    for tab, ready in (
        ("library", "#em-library .em-model"),
        ("history", ".em-shot"),
        ("models", "#em-merge-about:not(:empty)"),
        ("settings", "#em-option-vae option"),
        ("inpaint", "#em-canvas"),
        ("picture_info", "#em-info-file"),
        ("extras", "[data-extras=upscaler] option"),
    ):
        page.evaluate("tab => emulsion.tabs.open(tab)", tab)
        page.wait_for_selector(ready, state="attached")
    page.set_input_files("#em-info-file", picture)
    page.wait_for_selector("#em-info-items:not([hidden])", state="attached")
    page.evaluate("emulsion.tabs.open('extras')")
    page.set_input_files("#em-extras-file", picture)
    page.wait_for_selector("#em-extras-go:not([disabled])")
    page.click("#em-extras-go")
    page.wait_for_selector("#em-extras-status.em-over")
    page.set_input_files("#em-canvas-file", picture)
    page.wait_for_function("emulsion.canvas.has()")


@pytest.mark.parametrize(("before", "after"), [("en", "zh-CN"), ("zh-CN", "en")])
def test_no_word_of_the_other_language_is_left(
    open_page: Callable[..., Any], tmp_path: Path, before: str, after: str
) -> None:
    picture = tmp_path / "one.png"
    told = PngInfo()
    told.add_text(
        "parameters", "a red apple\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 60x40, Unheard of: 5"
    )
    Image.new("RGB", (60, 40), "crimson").save(picture, pnginfo=told)
    page = open_page(f"/?__lang={before}")
    open_everything(page, picture)
    page.select_option("#em-language", after)
    for _ in range(300):  # what the server says comes a moment later
        found = left_over(page, after)
        if not found:
            break
        page.wait_for_timeout(100)
    assert found == []
