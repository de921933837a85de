"""The page in headless Chromium before the fake service. Each page must stay free of errors and of calls out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STEP_SECONDS = 0.06


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip with the reason where there is no browser."""
    why = None
    if CHROMIUM is None:
        why = "chromium is not installed: apt-get install chromium"
    else:
        try:
            import playwright  # noqa: F401
        except ImportError:
            why = "playwright is not installed: pip install -r requirements-dev.txt"
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of a running page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "tests" / "ui" / "fake_server.py"), str(port), str(STEP_SECONDS)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"})
    try:
        end = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/requests", timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server did not answer"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page in a fresh profile; at the end there must be no error and no request to another host."""
    contexts, troubles = [], []

    def watch(page: Any) -> None:
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("console", lambda m: m.type == "error" and troubles.append(f"console: {m.text}"))
        page.on(
            "request",
            lambda r: r.url.startswith((address, "data:", "blob:")) or troubles.append(f"call out: {r.url}"),
        )

    def open_(path: str = "/", width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **{"locale": "en-US", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        watch(page)
        page.goto(address + path)
        ready(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def open_canvas(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the canvas alone in a fresh profile; there too must be no error and no request to another host."""
    from tests.browser.canvas_page import canvas_in

    troubles: list[str] = []
    with ExitStack() as stack:
        yield lambda width=900, height=800, **options: stack.enter_context(
            canvas_in(browser, troubles, width, height, **options)
        )
    assert troubles == []


def ready(page: Any) -> None:
    """Wait until the page has its fields and their first values."""
    page.wait_for_selector("#em-generate")
    page.wait_for_selector("#em-prompt .em-counter")
    page.wait_for_selector("body.em-ready")


@pytest.fixture
def last_request(address: str) -> Callable[[], dict[str, Any]]:
    """What was submitted last, as plain data."""

    def ask() -> dict[str, Any]:
        import json

        return json.loads(httpx.get(f"{address}/requests").json()["requests"][-1])

    return ask
