"""Answers that come late take nothing away, bring nobody back, and nothing is done twice because of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.chromium import intercept, wait
from tests.browser.conftest import see, see_all, until
from tests.browser.test_history import TILE, make, open_gallery, word

__all__ = ["word"]
OpenPage = Callable[..., Any]
MADE = """async ([side, name]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const blob = await new Promise((done) => canvas.toBlob(done));
  emulsion.studio.sendTo("extras", { url: URL.createObjectURL(blob), name });
}"""

REFUSED = """() => {
  const [quick, full] = [fetch, { error: { found: "The disk is full.", wanted: "", remedy: "Make some space." } }];
  window.fetch = (path, options) => String(path).endsWith("/ui/history/trash")
    ? Promise.resolve(Response.json(full, { status: 507 })) : quick(path, options);
}"""


class Held:
    """Requests to an address that wait until they are let go."""

    def __init__(self, page: Any, pattern: str, method: str) -> None:
        self._page, self._method = page, method
        self.waiting: list[Any] = []
        self._holds = True
        self.asked = 0
        intercept(page, pattern, self._take)

    def _take(self, route: Any) -> None:
        if route.request.method != self._method or not self._holds:
            return route.continue_()
        self.asked += 1
        return self.waiting.append(route)

    def wait(self, count: int = 1, address: str = "") -> None:
        """Until so many wait, those alone that ask for this."""

        def came() -> bool:
            return sum(address in route.request.url for route in self.waiting) >= count

        wait(self._page, came, "the requests did not come")

    def open(self) -> None:
        """All of them go on, and those that come later too."""
        self._holds = False
        while self.waiting:
            self.let_go()

    def let_go(self, place: int = 0) -> None:
        """One of them goes on."""
        self.waiting.pop(place).continue_()


def test_of_two_pictures_sent_to_extras_the_last_one_is_there(open_page: OpenPage) -> None:
    page = open_page()
    held = Held(page, "**/ui/uploads", "POST")
    page.evaluate(MADE, [24, "first.png"])
    held.wait()
    page.evaluate(MADE, [32, "second.png"])
    held.wait(2)
    held.let_go(1)
    page.wait_for_function("emulsion.extrasSources.list().length === 1")
    held.let_go()
    page.wait_for_function("emulsion.extrasSources.coming() === 0")
    until(page, "emulsion.extrasSources.list().map((one) => one.name)", ["second.png"])


def test_extras_begins_once_whatever_is_changed_meanwhile(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(MADE, [24, "one.png"])
    page.wait_for_selector("#em-extras-go:not([disabled])")
    held = Held(page, "**/ui/tasks/extras", "POST")
    page.click("#em-extras-go")
    held.wait()
    page.fill("[data-extras=scale]", "3")
    see(page, "#em-extras-go").to_be_disabled()
    held.let_go()
    page.wait_for_selector("#em-extras-status.em-over")
    assert held.asked == 1
    page.wait_for_selector("#em-extras-go:not([disabled])")


def test_delete_pressed_twice_deletes_once_and_what_is_chosen_meanwhile_stays(open_page: OpenPage, word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=1, count=3)
    open_gallery(page, word, 3)
    held = Held(page, "**/ui/history/trash", "POST")
    first, second = page.locator(f"{TILE}[data-place='0']"), page.locator(f"{TILE}[data-place='1']")
    kept = second.get_attribute("title")
    first.focus()
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    held.wait()
    second.click(modifiers=["Control"])
    held.let_go()
    page.wait_for_selector(".em-toast:has-text('trash')")
    assert held.asked == 1
    see(page, f"{TILE}[aria-selected=true]").to_have_attribute("title", kept)
    page.click(".em-toast .em-button")
    page.wait_for_function("document.querySelectorAll('.em-shot').length === 3")


def test_who_has_gone_on_to_the_next_picture_keeps_it_when_the_last_one_is_gone(open_page: OpenPage, word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=1, count=3)
    open_gallery(page, word, 3)
    page.locator(f"{TILE}[data-place='0']").click()
    shown = "document.querySelector('.em-facts').innerText"
    page.wait_for_function(f"{shown}.includes('3')")
    held = Held(page, "**/ui/history/trash", "POST")
    page.keyboard.press("Delete")
    held.wait()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.em-view-place').textContent === '2 / 3'")
    seen = page.evaluate(shown)
    held.let_go()
    page.wait_for_function("document.querySelector('.em-view-place').textContent === '1 / 2'")
    until(page, shown, seen)


def test_files_of_pictures_that_go_to_the_trash_are_not_waited_for(open_page: OpenPage, word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=1, count=3)
    small, large = Held(page, "**/ui/history/*/thumbnail*", "GET"), Held(page, "**/ui/history/*/file*", "GET")
    open_gallery(page, word, 3)
    small.wait(3)
    page.locator(f"{TILE}[data-place='0']").click()
    large.wait(2)  # that of the next one too
    page.keyboard.press("Delete")
    page.wait_for_function("document.querySelector('.em-view-place').textContent === '1 / 2'")
    large.wait(3)  # and that of the next one but one: now all come, and two of them are not there any more
    small.open()
    large.open()
    page.wait_for_function("document.querySelector('.em-view-picture').naturalWidth > 0")
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelectorAll('.em-shot img.em-there').length === 2")


def test_a_picture_that_cannot_go_to_the_trash_is_shown_after_all(open_page: OpenPage, word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=1)
    small = Held(page, "**/ui/history/*/thumbnail*", "GET")
    open_gallery(page, word, 1)
    address = page.get_attribute(f"{TILE} img[src]", "src")
    small.wait(1, address)
    page.evaluate(REFUSED)
    page.locator(TILE).focus()
    page.keyboard.press("Delete")
    small.wait(2, address)
    small.open()
    page.wait_for_function("document.querySelector('.em-shot img.em-there')")


def test_marks_are_seen_at_once_and_the_last_one_counts(open_page: OpenPage, word: str) -> None:
    page = open_page()
    make(page, f"a {word}", seed=1)
    open_gallery(page, word, 1)
    held = Held(page, "**/ui/history/*", "PUT")
    marks = page.locator(f"{TILE} .em-shot-marks")
    page.locator(TILE).focus()
    for key, words in (("f", "♥"), ("4", "♥ ★4"), ("f", "★4")):
        page.keyboard.press(key)
        page.wait_for_function("w => document.querySelector('.em-shot-marks').textContent.trim() === w", arg=words)
    for _ in range(3):
        held.wait()
        held.let_go()
    page.wait_for_timeout(300)
    assert marks.inner_text().strip() == "★4"
    page.reload()
    page.wait_for_selector("body.em-ready")
    open_gallery(page, word, 1)
    page.wait_for_function("document.querySelector('.em-shot-marks').textContent.trim() === '★4'")


def test_menus_that_are_asked_for_twice_open_once(open_page: OpenPage) -> None:
    page = open_page()
    held = Held(page, "**/ui/presets", "GET")
    page.dblclick("#em-presets")
    held.wait()
    held.let_go()
    page.wait_for_selector(".em-menu[open]")
    assert held.asked == 1
    page.keyboard.press("Escape")
    page.wait_for_selector(".em-menu", state="detached")
    page.click("#em-presets")
    held.wait()
    page.evaluate("emulsion.tabs.open('extras')")
    held.let_go()
    page.wait_for_timeout(300)
    see_all(page, ".em-menu").to_have_count(0)


def test_a_style_that_is_typed_while_the_list_comes_is_kept(open_page: OpenPage) -> None:
    page = open_page()
    page.fill("#em-prompt textarea", "of the page")
    held = Held(page, "**/ui/styles", "GET")
    page.click("#em-styles-edit")
    held.wait()
    page.fill("#em-style-name", "typed early")
    page.fill("#em-style-prompt", "my words")
    held.let_go()
    page.wait_for_timeout(300)
    see(page, "#em-style-name").to_have_value("typed early")
    see(page, "#em-style-prompt").to_have_value("my words")
    saving = Held(page, "**/ui/styles", "PUT")
    page.press("#em-style-name", "Enter")
    saving.wait()
    page.fill("#em-style-prompt", "my words, and more")
    saving.let_go()
    page.wait_for_selector("#em-style-list option[value='typed early']", state="attached")
    see(page, "#em-style-prompt").to_have_value("my words, and more")
    see(page, "#em-style-list").to_have_value("typed early")


def test_a_setting_that_is_switched_twice_does_not_jump_back(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('settings')")
    box = "#em-option-save_grids"
    page.wait_for_selector(box)
    before = page.is_checked(box)
    held = Held(page, "**/ui/options", "PUT")
    page.click(box)
    held.wait()
    page.click(box)
    page.evaluate(
        """box => { window.seen = []; const look = () => (seen.push(document.querySelector(box).checked),
        requestAnimationFrame(look)); look(); }""",
        box,
    )
    held.let_go()
    held.wait()
    held.let_go()
    page.wait_for_timeout(300)
    assert set(page.evaluate("seen")) == {before}


def test_notes_of_a_file_open_once_and_are_offered_to_be_saved_when_they_are_left(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("emulsion.tabs.open('library')")
    page.click("#em-library .em-kind[data-kind=loras]")
    more = page.locator("#em-library .em-model", has_text="style 002").locator(".em-model-more")
    more.dblclick()
    page.wait_for_selector(".em-library-details[open]")
    page.wait_for_timeout(300)
    see_all(page, ".em-library-details").to_have_count(1)
    page.fill(".em-notes-form [name=notes]", "left too early")
    page.keyboard.press("Escape")
    page.click(".em-toast .em-button")
    page.wait_for_function(
        """async () => (await emulsion.ask("library/loras?text=left%20too%20early&limit=5&language=en&checkpoint="))
        .cards.length === 1"""
    )
