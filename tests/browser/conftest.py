"""The page in headless Chromium before the fake service. Each page must stay free of errors and of calls out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.chromium import PATIENCE, PROGRAM, Chromium, watch

ROOT = Path(__file__).resolve().parents[2]
STEP_SECONDS = 0.06
RUNNING = Chromium()


def pytest_configure(config: pytest.Config) -> None:
    """Take over from the command line how unsteady the pages are."""
    RUNNING.unsteady = config.getoption("--unsteady", 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip with the reason where there is no browser."""
    why = None
    if PROGRAM is None:
        why = "chromium is not installed: apt-get install chromium"
    else:
        try:
            import playwright  # noqa: F401
        except ImportError:
            why = "playwright is not installed: pip install -r requirements-dev.txt"
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """The browser ends with this folder's last test: while it runs, no other test of the process can use asyncio."""
    try:
        return (yield)
    finally:
        if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
            RUNNING.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of a running page."""
    command = [sys.executable, str(ROOT / "tests" / "ui" / "fake_server.py"), str(STEP_SECONDS)]
    environment = {"OMP_NUM_THREADS": "2", **os.environ}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = next((line for line in process.stdout if " at http" in line), None)
            assert said is not None, "the server ended"
            yield said.split(" at ")[1].strip()
        finally:
            process.kill()


@pytest.fixture
def chromium() -> Iterator[Chromium]:
    """The browser that all tests share; a test's pages are closed at its end."""
    yield RUNNING
    RUNNING.close_pages()


@pytest.fixture
def browser(chromium: Chromium) -> Any:
    """The same as playwright has it, for profiles of one's own."""
    return chromium.profile.browser


@pytest.fixture
def open_page(chromium: Chromium, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page as a new visitor does; at the end there must be no error and no request to another host."""
    troubles: list[str] = []

    def open_(path: str = "/", width: int = 1280, height: int = 900, **options: Any) -> Any:
        page = chromium.page(address, width, height, **options)
        watch(page, address, troubles)
        page.goto(address + path)
        ready(page)
        return page

    yield open_
    chromium.close_pages()
    assert troubles == []


@pytest.fixture
def open_canvas(chromium: Chromium) -> Iterator[Callable[..., Any]]:
    """Opens the canvas alone as a new visitor does; there too must be no error and no request to another host."""
    from tests.browser.canvas_page import canvas_in

    troubles: list[str] = []
    yield lambda width=900, height=800, **options: canvas_in(chromium, troubles, width, height, **options)
    chromium.close_pages()
    assert troubles == []


def ready(page: Any) -> None:
    """Wait until the page has its fields and their first values."""
    page.wait_for_selector("#em-generate")
    page.wait_for_selector("#em-prompt .em-counter")
    page.wait_for_selector("body.em-ready")


def generate(page: Any, over: bool = True) -> None:
    """Press the button; wait until the job is known, or over. A job may be too short to be seen at work."""
    before = page.evaluate("emulsion.jobs.last()")
    page.click("#em-generate")
    page.wait_for_function(
        "before => emulsion.jobs.last() !== before || !document.querySelector('#em-error').hidden", arg=before
    )
    assert page.evaluate("emulsion.jobs.last()") != before, page.inner_text("#em-error")
    if over:
        page.wait_for_function("!emulsion.jobs.busy()")


def open_fold(page: Any, fold: str, content: str) -> None:
    """Open a closed part and wait for something in it. Gradio puts its fields' values in one frame after the fields."""
    page.click(f"#{fold} > button")
    page.wait_for_selector(content, state="attached")
    page.evaluate("new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(on, 0))))")


def see(page: Any, selector: str) -> Any:
    """What to expect of the first element that a selector finds, as in Playwright: `see(…).to_have_value("1")` waits
    until it is so."""
    return see_all(page, selector, 0)


def see_all(page: Any, selector: str, place: int | None = None) -> Any:
    """The same of all of them, or of one."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    found = page.locator(selector)
    return expect(found if place is None else found.nth(place))


def until(page: Any, script: str, wanted: Any) -> None:
    """Wait until a script says what is wanted; where it does not, fail with what it says."""
    from playwright.sync_api import TimeoutError as TooLate

    try:
        same = f"wanted => JSON.stringify({script}) === JSON.stringify(wanted)"
        page.wait_for_function(same, arg=wanted)
    except TooLate:
        assert page.evaluate(script) == wanted


@pytest.fixture
def last_request(address: str) -> Callable[[], dict[str, Any]]:
    """What was submitted last, as plain data."""

    def ask() -> dict[str, Any]:
        import json

        return json.loads(httpx.get(f"{address}/requests").json()["requests"][-1])

    return ask
