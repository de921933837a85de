"""From opening the address in headless Chromium to a page whose every field works, as a visitor waits for it."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.registry import BENCHMARKS, Row, Setting
from tests.api.started import server
from tests.browser.chromium import PROGRAM, Chromium
from tests.browser.conftest import ready


@BENCHMARKS.register("page")
def page(setting: Setting) -> Iterable[Row]:
    """Seconds until the page is ready, for a browser that never was there and for one that was."""
    if PROGRAM is None:
        sys.stderr.write("chromium is not installed: the page was not opened\n")
        return
    chromium = Chromium()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), "nowebui=False") as running:
        try:
            for case, fresh in (("a first visit", True), ("a later visit", False)):
                visits = [_opened(chromium, running.address, fresh) for _ in range(setting.repeats + 1)]
                yield _row(case, visits[1:])
        finally:
            chromium.close()


def _opened(chromium: Chromium, address: str, fresh: bool) -> tuple[float, int]:
    """Seconds, and the number of elements. `fresh`: in a profile of its own."""
    options: dict[str, Any] = {"locale": "en-GB"} if fresh else {}
    tab = chromium.page(address, 1280, 900, **options)
    began = time.perf_counter()
    tab.goto(address)
    ready(tab)
    seconds = time.perf_counter() - began
    elements = tab.evaluate("document.querySelectorAll('*').length")
    chromium.close_pages()
    return seconds, elements


def _row(case: str, taken: list[tuple[float, int]]) -> Row:
    seconds = [one for one, _ in taken]
    facts = {"elements": taken[-1][1]}
    return Row("page", case, statistics.median(seconds), min(seconds), max(seconds), 0.0, len(taken), 0.0, facts=facts)
