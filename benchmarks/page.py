"""From opening the address in headless Chromium to a page whose every field works, and from tab to tab."""

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

# Clicks each tab and waits until its content was drawn.
SWITCHES = """async () => {
    const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const taken = {};
    for (const tab of document.querySelectorAll(".em-tabs [role=tab]")) {
        const began = performance.now();
        tab.click();
        await drawn();
        taken[tab.dataset.opens] = (performance.now() - began) / 1000;
    }
    return taken;
}"""


@BENCHMARKS.register("page")
def page(setting: Setting) -> Iterable[Row]:
    """Seconds until the page is ready, for a browser that never was there and for one that was; of the slowest tab."""
    if PROGRAM is None:
        sys.stderr.write("chromium is not installed: the page was not opened\n")
        return
    chromium = Chromium()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), "nowebui=False") as running:
        try:
            for case, fresh in (("a first visit", True), ("a later visit", False)):
                visits = [_opened(chromium, running.address, fresh) for _ in range(setting.repeats + 1)][1:]
                yield _row(case, [seconds for seconds, _, _ in visits], {"elements": visits[-1][1]})
                slowest = [max(switches.values()) for _, _, switches in visits]
                yield _row(f"{case}: the slowest tab", slowest, {"tabs": len(visits[-1][2])})
        finally:
            chromium.close()


def _opened(chromium: Chromium, address: str, fresh: bool) -> tuple[float, int, dict[str, float]]:
    """Seconds, number of elements, seconds of each tab. `fresh`: in a profile of its own."""
    options: dict[str, Any] = {"locale": "en-GB"} if fresh else {}
    tab = chromium.page(address, 1280, 900, **options)
    began = time.perf_counter()
    tab.goto(address)
    ready(tab)
    seconds = time.perf_counter() - began
    elements = tab.evaluate("document.querySelectorAll('*').length")
    switches = tab.evaluate(SWITCHES)
    chromium.close_pages()
    return seconds, elements, switches


def _row(case: str, taken: list[float], facts: dict[str, Any]) -> Row:
    return Row("page", case, statistics.median(taken), min(taken), max(taken), 0.0, len(taken), 0.0, facts=facts)
