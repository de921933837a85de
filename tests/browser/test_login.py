"""The login page in Chromium, before a started server: in, one picture, out; and what a smaller role sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.people import PASSWORD, make_file
from tests.api.started import Started, server
from tests.browser.chromium import PATIENCE
from tests.browser.conftest import ready, see, until


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("login")
    make_file(folder / "data")
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True)
    (models / "first.safetensors").write_bytes(b"first")
    with server(folder, "nowebui=False") as running:
        yield running


@pytest.fixture
def open_login(browser: Any, started: Started) -> Iterator[Callable[..., Any]]:
    """Opens an address of the server in a fresh profile. No error, no call out; 401 is what the wrong password gets."""
    contexts, troubles = [], []

    def open_(path: str = "/", width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **{"locale": "en-US", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on(
            "console", lambda m: m.type == "error" and "401" not in m.text and troubles.append(f"{m.text} {m.location}")
        )
        own = (started.address, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or troubles.append(f"call out: {r.url}"))
        page.goto(started.address + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


def log_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.fill("#em-name", name)
    page.fill("#em-password", password)
    page.click("button[type=submit]")


def test_one_logs_in_makes_a_picture_and_logs_out(open_login: Callable[..., Any], started: Started) -> None:
    page = open_login("/?__theme=light")
    assert page.url.startswith(f"{started.address}/login?next=")
    log_in(page, "adam", "wrong password")
    page.wait_for_selector("[role=alert]")
    see(page, "#em-name").to_have_value("adam")
    until(page, "document.activeElement.id", "em-password")
    log_in(page, "adam")
    page.wait_for_url(f"{started.address}/?__theme=light")
    ready(page)
    see(page, "#em-account-name").to_have_text("adam")
    page.fill("#em-prompt textarea", "a red apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    page.click("#em-account button")
    page.wait_for_url(f"{started.address}/login")
    page.goto(f"{started.address}/config")
    assert "/login?next=%2Fconfig" in page.url


def test_a_role_that_only_looks_gets_a_page_without_what_it_may_not_do(open_login: Callable[..., Any]) -> None:
    page = open_login()
    log_in(page, "rita")
    page.wait_for_selector("body.em-ready[data-role='read-only']")
    hidden = ("#em-generate", "#em-tab-models-button", "#em-tab-settings-button")
    for selector in hidden:
        see(page, selector).to_be_hidden()
    for tab in ("library", "history", "picture_info", "extras"):
        page.click(f"#em-tab-{tab}-button")
        page.wait_for_selector(f"#em-panel-{tab}")
    assert page.evaluate("emulsion.ask('library/status').then(() => 'answered')") == "answered"


def test_a_session_that_ends_says_so_and_offers_the_way_back(open_login: Callable[..., Any], started: Started) -> None:
    page = open_login()
    log_in(page, "uma")
    ready(page)
    page.context.clear_cookies()
    page.evaluate("emulsion.ask('me').catch(() => null)")
    page.click(".em-toast .em-button")
    page.wait_for_url(f"{started.address}/login")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("locale", "title"), [("en-US", "Log in"), ("zh-CN", "登录")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_reader(
    open_login: Callable[..., Any], width: int, locale: str, title: str, scheme: str
) -> None:
    page = open_login(width=width, locale=locale, color_scheme=scheme)
    see(page, "h2").to_have_text(title)
    until(page, f"document.documentElement.scrollWidth <= {width}", True)
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red < 60) == (scheme == "dark")
    see(page, "#em-name").to_have_attribute("autocomplete", "username")
    see(page, "#em-password").to_have_attribute("autocomplete", "current-password")
    until(page, "document.activeElement.id", "em-name")
    page.click("nav a:not([aria-current])")
    see(page, "h2").not_to_have_text(title)


def test_the_page_works_without_scripts(open_login: Callable[..., Any], started: Started) -> None:
    page = open_login("/ui/me", java_script_enabled=False)
    log_in(page, "uma")
    page.wait_for_url(f"{started.address}/ui/me")
    assert '"uma"' in page.content()
