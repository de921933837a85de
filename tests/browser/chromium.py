"""One headless Chromium for the tests of this folder, which keeps what it has compiled from page to page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
PATIENCE = 60_000  # milliseconds: a bound for a very busy machine
UNSTEADY = Path(__file__).with_name("unsteady.js")
KEPT = "cookies,local_storage,indexeddb,cache_storage,service_workers,file_systems,storage_buckets"


def watch(page: Any, address: str, troubles: list[str]) -> None:
    """Write down each error of a page and each of its requests to another host."""

    def on_console(message: Any) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text}")

    def on_request(request: Any) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            troubles.append(f"call out: {request.url}")

    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("console", on_console)
    page.on("request", on_request)


def intercept(page: Any, pattern: str, handle: Callable[[Any], object], **options: Any) -> None:
    """Let `handle` answer a page's requests in place of the server, from now on.

    Chromium changes a page's way to the network a moment after Playwright has been told that it is done: until one
    request was seen to be taken, others may slip through.
    """
    page.route(pattern, handle, **options)
    page.route("**/requests?probe", lambda route: route.fulfill(body="taken"))
    probe = "fetch('/requests?probe').then((answer) => answer.text())"
    wait(page, lambda: page.evaluate(probe) == "taken", "no request was taken")


def wait(page: Any, happened: Callable[[], bool], else_: str) -> None:
    """Wait until something has happened outside of a page; it goes on meanwhile. Fails with words."""
    for _ in range(PATIENCE // 20):
        if happened():
            return
        page.wait_for_timeout(20)
    raise AssertionError(else_)


class Chromium:
    """A browser that starts when it is first asked for a page.

    Ordinary pages share a profile on the disk: Chromium keeps scripts there as compiled, which halves the work of
    opening the page. Whatever a page keeps itself is forgotten before the next one is opened.
    """

    unsteady = 0  # a number to draw delays from; 0: none

    def __init__(self) -> None:
        self._running = ExitStack()
        self._profile: Any = None
        self._contexts: list[Any] = []

    @property
    def profile(self) -> Any:
        """The context of ordinary pages. Starts the browser."""
        if self._profile is None:
            from playwright.sync_api import sync_playwright

            temporary = tempfile.TemporaryDirectory(prefix="emulsion-chromium-", ignore_cleanup_errors=True)
            folder = self._running.enter_context(temporary)
            playwright = self._running.enter_context(sync_playwright())
            self._profile = playwright.chromium.launch_persistent_context(
                folder, executable_path=PROGRAM, args=ARGUMENTS, locale="en-US"
            )
            self._running.callback(self._profile.close)
        return self._profile

    def page(self, address: str, width: int, height: int, **options: Any) -> Any:
        """An empty page that knows nothing of earlier visits to an address.

        With options of a context (language, touch, colours …), and beside another page, it has a profile of its own.
        """
        if options or len(self.profile.pages) > 1:
            size = {"width": width, "height": height}
            context = self.profile.browser.new_context(viewport=size, **{"locale": "en-US", **options})
            self._contexts.append(context)
            page = context.new_page()
        else:
            self._forget("{0.scheme}://{0.netloc}".format(urlsplit(address)))
            page = self.profile.new_page()
            page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        if self.unsteady:
            page.add_init_script(UNSTEADY.read_text("utf-8").replace("SEED", str(self.unsteady)))
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 3})
        return page

    def _forget(self, origin: str) -> None:
        session = self.profile.new_cdp_session(self.profile.pages[0])
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": KEPT})
        session.detach()
        self.profile.clear_cookies()
        self.profile.clear_permissions()

    def close_pages(self) -> None:
        """Close all pages that were opened since."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        if self._profile is not None:
            for page in self._profile.pages[1:]:  # the first is the empty one that keeps the browser open
                page.close()

    def close(self) -> None:
        """End the browser; the next page starts another."""
        self._contexts.clear()
        self._profile = None
        self._running.close()
