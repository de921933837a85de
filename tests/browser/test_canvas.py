"""The canvas in a real browser: what is painted comes out, exactly and at the picture's own size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.browser.canvas_page import Canvas, assert_stroke, distances, gradient, painted
from tests.browser.conftest import see, until

OpenCanvas = Callable[..., Canvas]
SIZES = [(512, 512), (768, 1152), (2048, 1536)]


# ---- places ----


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_strokes_come_out_where_they_were_painted_at_any_zoom(open_canvas: OpenCanvas, width: int, height: int) -> None:
    canvas = open_canvas()
    canvas.load(gradient(width, height))
    canvas.brush(size=40)
    for act in (lambda: None, lambda: canvas.page.click("#em-canvas-actual"), lambda: zoom_in(canvas)):
        act()
        canvas.page.evaluate("emulsion.canvas.clearStrokes()")
        x, y = middle_of_view(canvas)
        a, b = (x - 12.0, y - 9.0), (x + 14.0, y + 11.0)
        canvas.drag(a, b)
        assert canvas.mask().shape == (height, width)
        assert_stroke(painted(canvas), a, b, 20, 2)


def zoom_in(canvas: Canvas) -> None:
    """By the wheel beside the middle, and then a pan with the middle button."""
    box = canvas.page.locator("#em-canvas-stage").bounding_box()
    canvas.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    canvas.page.mouse.wheel(0, -400)
    x, y = middle_of_view(canvas)
    before = canvas.point(x, y)
    canvas.page.mouse.down(button="middle")
    canvas.page.mouse.move(box["x"] + box["width"] * 0.6 + 35, box["y"] + box["height"] * 0.4 - 20)
    canvas.page.mouse.up(button="middle")
    after = canvas.point(x, y)
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((35, -20), abs=1.1)


def middle_of_view(canvas: Canvas) -> tuple[float, float]:
    """The place of the picture in the middle of the stage."""
    x, y = canvas.page.evaluate(
        """() => { const { view, paper } = emulsion.canvasView;
          return [(paper().width / 2 - view.x) / view.scale, (paper().height / 2 - view.y) / view.scale]; }"""
    )
    return round(x), round(y)


def test_the_wheel_zooms_towards_the_pointer(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(768, 1152))
    pointer = (427, 209)  # whole pixels: a wheel's event knows no others
    (left, top), scale = canvas.point(0, 0), canvas.page.evaluate("emulsion.canvasView.view.scale")
    place = ((pointer[0] - left) / scale, (pointer[1] - top) / scale)
    canvas.page.mouse.move(*pointer)
    for _ in range(12):
        canvas.page.mouse.wheel(0, -50)
        canvas.settle()
    assert canvas.point(*place) == pytest.approx(pointer, abs=1.1)  # twice half a pixel; a shift would add up
    until(canvas.page, "emulsion.canvasView.view.scale > 1", True)
    canvas.page.click("#em-canvas-fit")
    see(canvas.page, "#em-canvas-scale").to_have_text("40%")
    until(canvas.page, "scrollY", 0)


def test_the_wheel_with_the_control_key_sizes_the_brush_and_two_fingers_zoom(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    look = "[emulsion.canvasTools.brush.size, emulsion.canvasView.view.scale]"
    canvas.brush(size=50)
    size, scale = canvas.page.evaluate(look)
    canvas.page.mouse.move(427, 309)
    canvas.page.keyboard.down("Control")
    canvas.page.mouse.wheel(0, -100)
    canvas.page.wait_for_function("before => emulsion.canvasTools.brush.size > before", arg=size)
    canvas.page.mouse.wheel(0, 400)
    canvas.page.wait_for_function("before => emulsion.canvasTools.brush.size < before", arg=size)
    canvas.page.keyboard.up("Control")
    size, now = canvas.page.evaluate(look)
    assert now == scale
    pinch = """() => document.querySelector("#em-canvas-stage").dispatchEvent(
        new WheelEvent("wheel", { deltaY: -20, ctrlKey: true, bubbles: true, cancelable: true }))"""
    canvas.page.evaluate(pinch)
    assert canvas.page.evaluate(look)[0] == size and canvas.page.evaluate(look)[1] > scale


def test_a_wheel_that_scrolls_the_page_does_not_begin_to_zoom(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas(height=500)
    canvas.load(gradient(512, 512))
    # Both events in one turn of the page, so that a slow machine cannot pull them apart.
    left_alone = """() => {
      const before = emulsion.canvasView.view.scale;
      const wheel = () => new WheelEvent("wheel", { deltaY: 120, bubbles: true, cancelable: true });
      dispatchEvent(wheel());
      const passes = document.querySelector("#em-canvas-stage").dispatchEvent(wheel());
      return passes && emulsion.canvasView.view.scale === before;
    }"""
    assert canvas.page.evaluate(left_alone)


@pytest.mark.parametrize("ratio", [1.5, 2])
def test_screens_with_finer_pixels_show_and_paint_the_same_places(open_canvas: OpenCanvas, ratio: float) -> None:
    canvas = open_canvas(device_scale_factor=ratio)
    canvas.load(gradient(512, 512))
    canvas.brush(size=60)
    canvas.drag((200, 200), (300, 260))
    assert_stroke(painted(canvas), (200, 200), (300, 260), 30, 1.6)
    box = canvas.page.locator("#em-canvas-paper").bounding_box()
    until(canvas.page, "emulsion.canvasView.paper().width", round(box["width"] * ratio))
    red, green, _, _ = canvas.shown(250, 230)
    assert red > 127 + 40 > green  # tinted


def test_a_stroke_goes_on_outside_the_canvas_and_ends_there(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=40)
    canvas.drag((400, 256), (1200, 256))  # beyond the stage
    mask = painted(canvas)
    assert (mask[256, 400:] == 255).all()
    canvas.page.mouse.move(*canvas.point(100, 100))  # the button is up
    assert (painted(canvas) == mask).all()


# ---- undo ----


def test_undo_and_redo_give_back_exactly_what_was_there(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(640, 640))
    canvas.brush(size=70, hardness=0.3, opacity=0.7)
    states = [None]
    for i, tool in enumerate(("brush", "rectangle", "eraser", "lasso")):
        canvas.tool(tool)
        canvas.drag((150 + 60 * i, 200), (300 + 60 * i, 420), (200, 500 + 40 * i))
        states.append(painted(canvas))
    for state in reversed(states[:-1]):
        canvas.page.keyboard.press("Control+z")
        mask = canvas.mask()
        assert (mask is None) == (state is None)
        assert mask is None or (mask == state).all()
    see(canvas.page, "#em-canvas-undo").to_be_disabled()
    for state in states[1:]:
        canvas.page.keyboard.press("Control+Shift+Z")
        assert (painted(canvas) == state).all()
    see(canvas.page, "#em-canvas-redo").to_be_disabled()


def test_a_new_stroke_after_undo_ends_the_way_forward(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.drag((100, 100), (150, 150))
    canvas.page.click("#em-canvas-undo")
    canvas.drag((300, 300), (350, 350))
    see(canvas.page, "#em-canvas-redo").to_be_disabled()
    mask = painted(canvas)
    assert (mask[125, 125], mask[325, 325]) == (0, 255)


def test_fifty_steps_can_be_undone_and_memory_stays_bounded(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    result = canvas.page.evaluate(
        """() => {
          const { begin, finish, undo, makeLayer } = emulsion.paint;
          const count = (bytes, times) => {
            const layer = makeLayer(256, 256, 4);
            for (let i = 0; i < times; i++) {
              const step = begin(layer);
              step.before.set(0, new Uint8ClampedArray(bytes)); // what a step over many tiles keeps
              finish(step);
            }
            let undone = 0;
            while (undo(layer)) undone++;
            return undone;
          };
          return [count(2 ** 18, 60), count(2 ** 26, 5), count(2 ** 28, 2)];
        }"""
    )
    assert result == [50, 3, 1]  # at most 50, at most 192 MB, but always the last one


def test_all_strokes_can_be_removed_and_had_back(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.drag((100, 100), (400, 150))
    before = painted(canvas)
    canvas.page.click("#em-canvas-wipe")
    assert canvas.mask() is None
    canvas.page.click("#em-canvas-undo")
    assert (painted(canvas) == before).all()


# ---- tools ----


def test_a_soft_brush_falls_off_smoothly_from_its_middle(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.page.click("#em-canvas-actual")
    canvas.brush(size=200, hardness=0.2)
    canvas.drag((256, 256))
    mask = painted(canvas)
    right = mask[256, 256:358]
    assert (np.diff(right) <= 0).all()
    assert (right[:18] == 255).all()
    assert right[-1] == 0
    assert np.abs(np.diff(right)).max() <= 6  # no edge: 80 pixels of slope
    assert abs(int(right[60]) - 128) < 8  # half way between the hard middle (20) and the rim (100)
    assert np.abs(mask - mask[:, ::-1]).max() <= 8  # round, but for half a pixel of the pointer


def test_a_stroke_that_crosses_itself_is_not_stronger_there(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=50, opacity=0.5)
    canvas.drag((100, 100), (400, 400), (100, 400), (400, 100))
    mask = painted(canvas)
    assert mask.max() == 128
    inside = [distances(mask.shape, *line) < 23 for line in (((100, 100), (400, 400)), ((100, 400), (400, 100)))]
    assert (mask[inside[0] | inside[1]] == 128).all()


def test_the_eraser_and_the_right_button_take_the_mask_away(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=80)
    canvas.drag((100, 256), (400, 256))
    canvas.tool("eraser")
    canvas.brush(size=30)
    canvas.drag((200, 100), (200, 400))
    canvas.tool("brush")
    canvas.drag((300, 100), (300, 400), button="right")
    row = painted(canvas)[256]
    assert [row[x] for x in (150, 200, 250, 300, 350)] == [255, 0, 255, 0, 255]
    canvas.tool("eraser")
    canvas.brush(size=300)
    canvas.drag((50, 256), (450, 256))
    assert canvas.mask() is None  # erased to the last pixel: nothing was painted


def test_rectangle_and_lasso_cover_what_they_surround(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(2048, 1536))
    canvas.tool("rectangle")
    canvas.drag((1400, 1000), (600, 300))  # towards the left and up
    ys, xs = np.nonzero(painted(canvas))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == pytest.approx((600, 300, 1400, 1000), abs=3)
    assert (painted(canvas)[310:990, 610:1390] == 255).all()
    canvas.page.click("#em-canvas-undo")
    canvas.tool("lasso")
    canvas.drag((500, 200), (1500, 200), (500, 1200))
    mask = painted(canvas)
    assert (mask[400, 700], mask[250, 1400], mask[1000, 1300], mask[1100, 480]) == (255, 255, 0, 0)


@pytest.mark.parametrize("hardness", [1, 0])
def test_fill_reaches_the_line_that_surrounds_it_and_stops_there(open_canvas: OpenCanvas, hardness: float) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=40, hardness=hardness)
    canvas.drag((150, 150), (350, 150), (350, 350), (150, 350), (150, 150))
    canvas.tool("fill")
    canvas.drag((250, 250))
    mask = painted(canvas)
    assert (mask[152:348, 152:348] > 250).all()  # no seam between line and filling
    assert mask[100, 100] == mask[400, 250] == 0
    canvas.drag((250, 250), button="right")
    assert canvas.mask() is None


def test_shift_draws_a_straight_line_from_the_last_stroke(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.brush(size=30)
    canvas.drag((100, 100))
    canvas.page.keyboard.down("Shift")
    canvas.drag((400, 300))
    canvas.page.keyboard.up("Shift")
    assert_stroke(painted(canvas), (100, 100), (400, 300), 15, 2)


def test_escape_gives_up_a_stroke_that_is_being_made(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.page.mouse.move(*canvas.point(100, 100))
    canvas.page.mouse.down()
    canvas.page.mouse.move(*canvas.point(300, 300))
    canvas.page.keyboard.press("Escape")
    canvas.page.mouse.up()
    assert canvas.mask() is None
    see(canvas.page, "#em-canvas-undo").to_be_disabled()


# ---- sketch ----


def test_a_sketch_is_laid_over_the_picture_at_full_size(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    picture = gradient(768, 1152)
    canvas.load(picture, "sketch")
    canvas.brush(size=100, colour="#2040c0")
    canvas.drag((200, 300), (500, 600))
    canvas.brush(opacity=0.5, colour="#ffffff")
    canvas.drag((200, 900), (500, 900))
    original = np.asarray(picture).astype(int)
    result = canvas.picture()
    assert result.shape == original.shape
    assert result[450, 350].tolist() == [0x20, 0x40, 0xC0]
    assert np.abs(result[900, 350] - (original[900, 350] + 255) / 2).max() <= 1
    away = (distances((1152, 768), (200, 300), (500, 600)) > 53) & (distances((1152, 768), (200, 900), (500, 900)) > 53)
    assert (result[away] == original[away]).all()
    shown = canvas.shown(350, 450)
    assert np.abs(np.array(shown[:3]) - [0x20, 0x40, 0xC0]).max() <= 2


def test_erased_parts_of_a_sketch_show_the_picture_again(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    picture = gradient(512, 512)
    canvas.load(picture, "sketch")
    before = canvas.file("picture")
    canvas.brush(size=90, colour="#00ff00")
    canvas.drag((100, 100), (400, 400))
    canvas.tool("eraser")
    canvas.brush(size=200)
    canvas.drag((250, 250))
    result, original = canvas.picture(), np.asarray(picture)
    assert result[250, 250].tolist() == original[250, 250].tolist()
    assert result[120, 120].tolist() == [0, 255, 0]
    canvas.drag((100, 100), (400, 400))
    assert canvas.file("picture") == before  # nothing is left of it: the file's own bytes


def test_fill_in_a_sketch_covers_what_looks_alike(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    picture = Image.new("RGB", (512, 512), "white")
    picture.paste((20, 120, 20), (100, 100, 300, 300))
    canvas.load(picture, "sketch")
    canvas.brush(colour="#ff0000")
    canvas.tool("fill")
    canvas.drag((200, 200))
    result = canvas.picture()
    assert (result[100:300, 100:300] == [255, 0, 0]).all()
    assert (result[:, 310:] == 255).all()


@pytest.mark.parametrize("way", ["Alt", "button"])
def test_the_pipette_takes_the_colour_of_picture_and_sketch(open_canvas: OpenCanvas, way: str) -> None:
    canvas = open_canvas()
    canvas.load(Image.new("RGB", (512, 512), (10, 200, 30)), "sketch")
    canvas.brush(size=60, colour="#ff0000", opacity=0.5)
    canvas.drag((100, 100), (200, 100))
    for place, colour in (((400, 400), "#0ac81e"), ((150, 100), "#85640f")):
        if way == "button":
            canvas.page.click("#em-canvas-pick")
            canvas.drag(place)
        else:
            canvas.page.keyboard.down("Alt")
            canvas.drag(place)
            canvas.page.keyboard.up("Alt")
        see(canvas.page, "#em-canvas-colour").to_have_value(colour)
    assert canvas.picture()[400, 400].tolist() == [10, 200, 30]  # nothing was painted


def test_mask_and_sketch_do_not_touch_each_other(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512), "sketch")
    original = canvas.file("picture")
    canvas.drag((100, 100), (200, 200))
    assert canvas.mask() is None
    canvas.mode("mask")
    assert canvas.file("picture") == original
    canvas.drag((300, 300), (400, 400))
    canvas.page.keyboard.press("Control+z")
    canvas.page.keyboard.press("Control+z")
    assert canvas.mask() is None
    canvas.mode("sketch")
    assert canvas.file("picture") != original
