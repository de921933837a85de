"""Take docs/screenshots of a running page: `python tests/browser/take_screenshots.py ADDRESS [FOLDER]`."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
PROMPTS = (
    "a red apple, flat style, white background",
    "a panda, flat style, light blue background",
    "a rocket, 3d style, orange background",
    "a house, flat style, pink background",
)


def main(address: str, folder: Path = FOLDER) -> None:
    """One WebP file for each way to see the page."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, size, options, act in SHOTS:
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]}, device_scale_factor=2 if size[0] < 600 else 1, **options
            )
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector("body.em-ready")
            act(page)
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur(); scrollTo({ top: 0, behavior: 'instant' })")
            page.wait_for_timeout(400)
            Image.open(io.BytesIO(page.screenshot())).save(folder / f"{name}.webp", quality=88, method=6)
            context.close()
        browser.close()


def make(page: Any, prompts: tuple[str, ...] = PROMPTS) -> None:
    """Make pictures one after the other; the first prompt is made last, so it is the one shown."""
    for prompt in reversed(prompts):
        page.fill("#em-prompt textarea", prompt)
        before = page.inner_text("#em-infotext")
        page.click("#em-generate")
        page.wait_for_function(
            "before => document.querySelector('#em-infotext').textContent !== before", arg=before, timeout=120_000
        )
        page.wait_for_selector("body:not(.em-busy)")
    page.wait_for_function("document.querySelector('#em-picture').complete")


def half_way(page: Any) -> None:
    """Make two pictures and stop looking in the middle of a third."""
    make(page, PROMPTS[1:3])
    page.fill("#em-prompt textarea", PROMPTS[0])
    page.fill("#em-steps input[type=number]", "60")
    page.press("#em-steps input[type=number]", "Tab")
    page.click("#em-generate")
    page.wait_for_function(
        """parseFloat(document.querySelector('#em-bar').style.width) > 55
        && !document.querySelector('#em-preview').hidden""",
        timeout=120_000,
    )


def explained(page: Any) -> None:
    """A finished picture, and one of the explanations open."""
    make(page)
    page.mouse.wheel(0, -5000)
    page.click("#em-guidance-scale .em-help")


SHOTS: tuple[tuple[str, tuple[int, int], dict[str, Any], Callable[[Any], None]], ...] = (
    ("wide", (1440, 900), {"locale": "en-US"}, make),
    ("dark", (1440, 900), {"locale": "en-US", "color_scheme": "dark"}, half_way),
    ("phone", (390, 844), {"locale": "en-US", "has_touch": True, "is_mobile": True}, half_way),
    ("zh-CN", (1440, 900), {"locale": "zh-CN"}, explained),
)

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER)
