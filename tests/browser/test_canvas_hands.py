"""The canvas under keys, fingers and pens, and how it looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.canvas_page import Canvas, assert_stroke, gradient, painted
from tests.browser.conftest import see, until

OpenCanvas = Callable[..., Canvas]


def test_keys_change_tool_and_size_but_never_while_a_text_is_typed(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=40)
    canvas.page.focus("#em-canvas-stage")
    for key, tool in (("e", "eraser"), ("r", "rectangle"), ("l", "lasso"), ("g", "fill"), ("b", "brush")):
        canvas.page.keyboard.press(key)
        see(canvas.page, f"#em-canvas [data-tool={tool}]").to_have_attribute("aria-pressed", "true")
    canvas.page.keyboard.press("]")
    see(canvas.page, "#em-canvas-size-value").to_have_text("46 px")
    canvas.page.keyboard.press("[")
    canvas.page.keyboard.press("[")
    see(canvas.page, "#em-canvas-size-value").to_have_text("35 px")
    canvas.drag((100, 100), (200, 200))
    canvas.page.click("#text")
    canvas.page.mouse.move(*canvas.point(100, 100))
    canvas.page.keyboard.type("[e]")
    canvas.page.keyboard.press("Control+z")
    see(canvas.page, "#em-canvas-size-value").to_have_text("35 px")
    assert canvas.mask() is not None


def test_the_space_bar_and_drag_move_the_picture(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    x, y = canvas.point(256, 256)
    canvas.page.focus("#em-canvas-stage")
    canvas.page.keyboard.down(" ")
    canvas.page.mouse.move(x, y)
    canvas.page.mouse.down()
    canvas.page.mouse.move(x + 60, y + 25)
    canvas.page.mouse.up()
    canvas.page.keyboard.up(" ")
    assert canvas.point(256, 256) == pytest.approx((x + 60, y + 25), abs=1)
    assert canvas.mask() is None
    until(canvas.page, "scrollY", 0)


def touch(session: Any, kind: str, *places: tuple[float, float]) -> None:
    """Real fingers, through the browser's own input."""
    points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_on_a_phone_one_finger_paints_and_two_move_and_zoom(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas(width=390, height=844, has_touch=True, is_mobile=True, device_scale_factor=2)
    canvas.load(gradient(768, 1152))
    canvas.brush(size=60)
    until(canvas.page, "document.documentElement.scrollWidth <= 390", True)
    fingers = canvas.page.context.new_cdp_session(canvas.page)
    start, end = canvas.point(200, 300), canvas.point(500, 600)
    touch(fingers, "touchStart", start)
    for share in (0.25, 0.5, 0.75, 1):
        touch(fingers, "touchMove", tuple(a + share * (b - a) for a, b in zip(start, end)))
    touch(fingers, "touchEnd")
    before = painted(canvas)
    assert_stroke(before, (200, 300), (500, 600), 30, 3)
    scale = canvas.page.evaluate("emulsion.canvasView.view.scale")
    x, y = canvas.point(400, 500)
    touch(fingers, "touchStart", (x - 20, y))
    touch(fingers, "touchStart", (x - 20, y), (x + 20, y))
    for far in (30, 40, 60):
        touch(fingers, "touchMove", (x - far, y + far), (x + far, y + far))
    touch(fingers, "touchEnd")
    assert canvas.page.evaluate("emulsion.canvasView.view.scale") == pytest.approx(3 * scale, rel=0.02)
    assert canvas.point(400, 500) == pytest.approx((x, y + 60), abs=2)
    assert (painted(canvas) == before).all()  # the first finger's beginning was taken back
    until(canvas.page, "scrollY", 0)


def test_a_pen_paints_as_wide_as_it_is_pressed(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=100)
    session = canvas.page.context.new_cdp_session(canvas.page)
    for kind, place, force in (
        ("mousePressed", (100, 200), 0.2),
        ("mouseMoved", (100, 201), 0.2),
        ("mouseMoved", (400, 201), 1.0),
        ("mouseReleased", (400, 201), 0),
    ):
        x, y = canvas.point(*place)
        button = {"button": "left", "buttons": 0 if kind == "mouseReleased" else 1, "clickCount": 1}
        session.send(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "pointerType": "pen", "force": force, **button}
        )
    widths = (painted(canvas) > 127).sum(0)
    assert [widths[100], widths[400]] == pytest.approx([20, 100], abs=4)
    assert (np.diff(widths[105:395].astype(int)) >= 0).all()


def test_the_mask_can_be_hidden_and_painting_shows_it_again(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(Image.new("RGB", (512, 512), (20, 160, 60)))
    canvas.drag((200, 200), (300, 300))
    assert canvas.shown(250, 250)[0] > 80
    canvas.page.click("#em-canvas-shown")
    canvas.settle()
    assert canvas.shown(250, 250) == [20, 160, 60, 255]
    canvas.drag((400, 100), (420, 120))
    assert canvas.shown(250, 250)[0] > 80
    see(canvas.page, "#em-canvas-shown").to_have_attribute("aria-pressed", "true")


def test_only_the_part_that_changed_is_drawn_again_and_equals_drawing_all(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(2048, 1536))
    canvas.brush(size=150, hardness=0.5)
    canvas.drag((300, 300), (900, 700), (1500, 500))
    canvas.tool("eraser")
    canvas.drag((600, 200), (700, 900))
    partly = canvas.screen()
    canvas.page.evaluate("emulsion.canvasView.redraw()")
    canvas.settle()
    assert np.abs(canvas.screen() - partly).max() <= 1  # the browser rounds a clipped picture's colours in another way


def test_the_ring_at_the_pointer_has_the_brushs_size(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(768, 1152))
    canvas.brush(size=200)
    place = canvas.point(400, 600)
    canvas.page.mouse.move(*place)
    ring = canvas.page.locator("#em-canvas-ring").bounding_box()
    width = canvas.point(500, 0)[0] - canvas.point(300, 0)[0]
    assert (ring["width"], ring["height"]) == pytest.approx((width, width), abs=0.6)
    assert (ring["x"] + width / 2, ring["y"] + width / 2) == pytest.approx(place, abs=1)


def test_every_button_is_named_in_the_readers_language_and_can_be_reached_by_keys(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas(locale="zh-CN")
    canvas.load(gradient(256, 256))
    nameless = canvas.page.evaluate(
        """() => [...document.querySelectorAll("#em-canvas button, #em-canvas input:not([hidden])")]
          .filter((e) => e.offsetParent && !e.getAttribute("aria-label") && !e.textContent.trim() && !e.labels?.length)
          .map((e) => e.id)"""
    )
    assert nameless == []
    see(canvas.page, "#em-canvas [data-tool=eraser]").to_have_attribute("title", "橡皮擦（E）")
    canvas.page.focus("#em-canvas [data-tool=brush]")
    canvas.page.keyboard.press("Tab")
    canvas.page.keyboard.press("Enter")
    see(canvas.page, "#em-canvas [data-tool=eraser]").to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(("width", "locale"), [(1280, "en-US"), (390, "en-US"), (390, "zh-CN"), (360, "en-US")])
def test_nothing_jumps_and_nothing_is_cut_off(open_canvas: OpenCanvas, width: int, locale: str) -> None:
    canvas = open_canvas(width=width, height=844, locale=locale)
    for mode in ("mask", "sketch"):
        canvas.ask("clear")
        canvas.mode(mode)
        canvas.settle()
        frame = canvas.page.locator("#em-canvas").bounding_box()
        canvas.load(gradient(800, 600), mode, name="a rather long name of a picture that does not fit the line.png")
        canvas.drag((300, 300), (400, 400))
        assert canvas.page.locator("#em-canvas").bounding_box() == frame
        beyond = canvas.page.evaluate(
            """() => { const edge = document.querySelector("#em-canvas").getBoundingClientRect().right + 1;
              return [...document.querySelectorAll("#em-canvas *")]
                .filter((e) => e.getBoundingClientRect().right > edge)
                .filter((e) => !e.closest("#em-canvas-ring, .em-canvas-swatch"))
                .map((e) => e.id || e.className || e.tagName); }"""
        )
        assert beyond == []
