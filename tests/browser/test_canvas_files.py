"""Pictures and masks onto the canvas and off it, and what lasts."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.browser.canvas_page import Canvas, assert_stroke, gradient, painted, url
from tests.browser.conftest import see, see_all

OpenCanvas = Callable[..., Canvas]


# ---- files ----


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_nobody_drew_on_keeps_its_own_bytes(open_canvas: OpenCanvas, kind: str) -> None:
    canvas = open_canvas()
    source = url(gradient(300, 200), kind)
    for mode in ("image", "sketch", "mask"):
        canvas.load(source, mode)
        assert canvas.file("picture") == base64.b64decode(source.split(",")[1])


def test_a_photo_that_lies_on_its_side_is_put_upright_as_the_server_does(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    photo = Image.new("RGB", (320, 160), "blue")
    photo.paste("red", (0, 0, 160, 160))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    for kind in ("JPEG", "WEBP", "PNG"):
        canvas.load(url(photo, kind, exif=exif), "mask")
        assert canvas.ask("size") == [160, 320]
        data = canvas.file("picture")
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("PNG", (160, 320))
            assert image.getexif().get(0x0112, 1) == 1
            pixels = image.convert("RGB")
        assert pixels.getpixel((80, 60))[0] > 200 > 60 > pixels.getpixel((80, 260))[0]


@pytest.mark.parametrize("lies", range(1, 9))
def test_every_way_a_photo_can_lie_is_shown_as_pillow_shows_it(open_canvas: OpenCanvas, lies: int) -> None:
    canvas = open_canvas()
    photo = Image.fromarray(np.random.default_rng(lies).integers(0, 256, (20, 30, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = lies
    canvas.load(url(photo, "WEBP", exif=exif, lossless=True), "mask")
    photo.getexif()[0x0112] = lies
    assert (canvas.picture() == np.asarray(ImageOps.exif_transpose(photo))).all()


def test_a_mask_can_be_loaded_and_keeps_its_greys(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(768, 1152))
    values = np.tile(np.arange(768) * 255 // 767, (1152, 1)).astype(np.uint8)
    canvas.page.evaluate("url => emulsion.canvas.setMask(url)", url(Image.fromarray(values)))
    assert (painted(canvas) == values).all()
    see_all(canvas.page, ".em-toast").to_have_count(0)
    canvas.page.evaluate("emulsion.canvas.invertMask()")
    assert (painted(canvas) == 255 - values).all()
    canvas.page.keyboard.press("Tab")
    canvas.page.evaluate("emulsion.canvas.undo(); emulsion.canvas.undo()")
    assert canvas.mask() is None


def test_a_mask_of_another_size_is_scaled_to_the_nearest_pixel_and_the_page_says_so(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    small = np.random.default_rng(3).integers(0, 256, (64, 128)).astype(np.uint8)
    with canvas.page.expect_file_chooser() as chooser:
        canvas.page.click("#em-canvas-upload")
    file = io.BytesIO()
    Image.fromarray(small).save(file, "PNG")
    chooser.value.set_files([{"name": "mask.png", "mimeType": "image/png", "buffer": file.getvalue()}])
    canvas.page.wait_for_selector(".em-toast")
    see(canvas.page, ".em-toast").to_contain_text("512 × 512")
    assert (painted(canvas) == small.repeat(8, 0).repeat(4, 1)).all()


def test_a_mask_file_with_transparency_is_read_by_its_alpha(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(256, 256))
    alpha = np.zeros((256, 256), np.uint8)
    alpha[40:90, 60:200] = 255
    black = Image.merge("RGBA", [Image.new("L", (256, 256))] * 3 + [Image.fromarray(alpha)])
    canvas.page.evaluate("url => emulsion.canvas.setMask(url)", url(black))
    assert (painted(canvas) == alpha).all()


def test_transparent_parts_of_the_picture_become_the_mask(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    picture = gradient(600, 500).convert("RGBA")
    alpha = np.tile(np.linspace(0, 255, 600).astype(np.uint8), (500, 1))
    picture.putalpha(Image.fromarray(alpha))
    canvas.load(picture)
    canvas.page.click("#em-canvas-alpha")
    assert (painted(canvas) == 255 - alpha.astype(int)).all()
    canvas.load(gradient(600, 500))
    canvas.page.click("#em-canvas-alpha")
    see(canvas.page, ".em-toast").to_contain_text("no transparent parts")
    assert canvas.mask() is None


def test_files_that_are_no_pictures_or_too_large_are_refused_in_words(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(256, 256))
    revision = canvas.ask("revision")
    message = "url => emulsion.canvas.setPicture(url).then(() => '', error => error.message)"
    canvas.page.evaluate(SERVER, [json.dumps({"error": {"found": "The picture is a HEIC."}}), 422, ""])
    assert "HEIC" in canvas.page.evaluate(message, "data:image/png;base64,AAAA")
    canvas.page.evaluate(SERVER, ["gone", 404, ""])
    assert "no picture" in canvas.page.evaluate(message, "data:image/png;base64,AAAA")
    huge = Image.new("1", (8001, 8000))
    assert "8001 × 8000" in canvas.page.evaluate(message, url(huge))
    assert (canvas.ask("size"), canvas.ask("revision")) == ([256, 256], revision)


def test_a_picture_that_the_browser_cannot_show_is_shown_by_the_servers_copy(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    picture = gradient(60, 40)
    canvas.page.evaluate(SERVER, [json.dumps({"id": "blob:abc"}), 200, url(picture)])
    canvas.page.evaluate("url => emulsion.canvas.setPicture(url)", "data:image/tiff;base64,SUkqAA==")
    assert canvas.ask("size") == [60, 40]
    shown = canvas.file("picture")
    assert shown is not None
    assert Image.open(io.BytesIO(shown)).convert("RGB").tobytes() == picture.tobytes()


# The server that a page without one asks: what it says to an upload, and the picture that it gives back.
SERVER = """([said, status, copy]) => {
  window.realFetch ??= window.fetch;
  window.fetch = (address, options) =>
    options ? Promise.resolve(new Response(said, { status })) :
    /uploads\\/abc$/.test(address) ? realFetch(copy) : realFetch(address);
}"""


# ---- ways in, and what lasts ----


HAND_OVER = """async ([kind, url, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch(url)).blob()], name, { type: "image/png" }));
  const stage = document.querySelector("#em-canvas-stage");
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste") stage.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
  else for (const type of ["dragover", "drop"])
    stage.dispatchEvent(new DragEvent(type, { ...options, dataTransfer: data }));
}"""


def test_a_picture_can_be_dropped_pasted_or_chosen(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.mode("mask")
    with canvas.page.expect_file_chooser() as chooser:
        canvas.page.click("#em-canvas-empty")
    file = io.BytesIO()
    gradient(300, 200).save(file, "PNG")
    chooser.value.set_files([{"name": "chosen.png", "mimeType": "image/png", "buffer": file.getvalue()}])
    canvas.page.wait_for_function("emulsion.canvas.name() === 'chosen.png'")
    canvas.page.focus("#em-canvas-stage")
    for kind, width in (("drop", 310), ("paste", 320)):
        canvas.page.evaluate(HAND_OVER, [kind, url(gradient(width, 200)), f"{kind}.png"])
        canvas.page.wait_for_function("width => emulsion.canvas.size()[0] === width", arg=width)
    see(canvas.page, "#em-canvas-facts").to_have_text("320 × 200 · paste.png")


def test_in_the_whole_page_a_dropped_picture_and_its_strokes_stay_on_the_canvas(open_page: Callable[..., Any]) -> None:
    canvas = Canvas(open_page())
    canvas.page.fill("#em-prompt textarea", "a prompt that stays")
    canvas.page.evaluate("emulsion.tabs.open('inpaint')")
    canvas.page.wait_for_function("emulsion.canvasView.paper()?.clientWidth > 0 && emulsion.canvas.mode() === 'mask'")
    canvas.page.evaluate(HAND_OVER, ["drop", url(gradient(300, 200)), "dropped.png"])
    canvas.page.wait_for_function("emulsion.canvas.name() === 'dropped.png'")
    see_all(canvas.page, ".em-cover").to_have_count(0)  # what reads settings from pictures leaves it alone
    canvas.page.locator("#em-canvas-stage").scroll_into_view_if_needed()
    canvas.settle()
    canvas.drag((100, 100), (200, 120))
    before = painted(canvas)
    for tab in ("txt2img", "img2img", "inpaint"):
        canvas.page.evaluate("tab => emulsion.tabs.open(tab)", tab)
        canvas.page.wait_for_function("tab => document.body.dataset.tab === tab", arg=tab)
    canvas.page.wait_for_function("emulsion.canvas.mode() === 'mask'")
    assert (painted(canvas) == before).all()
    see(canvas.page, "#em-prompt textarea").to_have_value("a prompt that stays")


def test_a_picture_of_the_same_size_can_keep_the_mask(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(300, 200))
    canvas.drag((100, 100), (200, 120))
    before = painted(canvas)
    again = "url => emulsion.canvas.setPicture(url, { keepMask: true })"
    canvas.page.evaluate(again, url(gradient(300, 200, seed=2)))
    assert (painted(canvas) == before).all()
    canvas.page.evaluate(again, url(gradient(200, 300)))
    assert canvas.mask() is None


def test_a_mask_that_stays_on_a_new_picture_can_be_wiped(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(300, 200))
    canvas.drag((100, 100), (200, 120))
    before = painted(canvas)
    canvas.page.evaluate("url => emulsion.canvas.replace(url, { keepMask: true })", url(gradient(300, 200, seed=2)))
    assert (painted(canvas) == before).all()
    canvas.page.click(".em-toast .em-button")
    assert canvas.mask() is None
    canvas.page.evaluate("emulsion.canvas.undo()")
    assert (painted(canvas) == before).all()


def test_strokes_lost_with_a_replaced_picture_can_be_had_back(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(512, 512))
    canvas.drag((100, 100), (300, 300))
    before = painted(canvas)
    canvas.page.click("#em-canvas-remove")
    assert not canvas.ask("has")
    assert (canvas.ask("size"), canvas.mask()) == (None, None)
    canvas.page.click(".em-toast .em-button")
    assert (painted(canvas) == before).all()
    assert canvas.ask("size") == [512, 512]


def test_every_change_raises_the_revision_and_is_announced(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.page.evaluate(
        "document.addEventListener('emulsion:canvas', (e) => (window.heard ??= []).push(e.detail.what))"
    )
    canvas.load(gradient(256, 256))
    revisions = [canvas.ask("revision")]
    for act in (
        lambda: canvas.drag((50, 50), (90, 90)),
        *(lambda n=n: canvas.ask(n) for n in ("undo", "redo", "clear")),
    ):
        act()
        revisions.append(canvas.ask("revision"))
    assert revisions == sorted(set(revisions))
    assert canvas.page.evaluate("heard") == ["picture", "strokes", "strokes", "strokes", "picture"]
    canvas.page.click("#em-canvas-fit", force=True)
    canvas.mode("sketch")
    assert canvas.ask("revision") == revisions[-1]  # looking is no change


def test_strokes_outlive_hiding_resizing_another_language_and_being_built_anew(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(768, 1152))
    canvas.drag((200, 200), (500, 700))
    before = painted(canvas)
    canvas.page.evaluate("document.querySelector('#tab').style.display = 'none'")
    canvas.page.set_viewport_size({"width": 500, "height": 700})
    canvas.page.evaluate("document.querySelector('#tab').style.display = ''")
    canvas.page.set_viewport_size({"width": 1100, "height": 900})
    canvas.page.evaluate(
        "emulsion.chosenLanguage = 'zh-CN'; document.dispatchEvent(new CustomEvent('emulsion:language'))"
    )
    assert (painted(canvas) == before).all()
    canvas.page.evaluate("() => { const tab = document.querySelector('#tab'); tab.innerHTML = tab.innerHTML; }")
    canvas.page.wait_for_function("emulsion.canvasView.paper().isConnected")
    canvas.settle()
    assert (painted(canvas) == before).all()
    assert canvas.ask("mode") == "mask"
    canvas.brush(size=30)
    canvas.drag((600, 100), (650, 150))
    assert painted(canvas)[125, 625] == 255
    red, green = canvas.shown(350, 450)[:2]
    assert red > green


def test_a_reload_brings_back_picture_mask_and_sketch(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.load(gradient(768, 1152), "sketch", name="kept.png")
    canvas.brush(size=50, hardness=0.5, colour="#ff8000")
    canvas.drag((200, 200), (500, 700))
    sketched = canvas.file("picture")
    canvas.mode("mask")
    canvas.drag((300, 900), (600, 1000))
    before = painted(canvas)
    canvas.brush(hardness=1)
    canvas.drag((100, 100), (300, 100))
    canvas.page.reload()  # at once: the last stroke is kept too
    canvas.page.wait_for_function("emulsion.canvas.has()")
    canvas.mode("mask")
    assert (painted(canvas)[200:] == before[200:]).all()
    assert_stroke(painted(canvas)[:200], (100, 100), (300, 100), 25, 2)
    assert canvas.ask("name") == "kept.png"
    canvas.mode("sketch")
    assert canvas.file("picture") == sketched
    canvas.ask("clear")
    canvas.page.reload()
    canvas.page.evaluate("() => emulsion.canvas.ready")
    assert not canvas.ask("has")


def test_a_browser_that_keeps_nothing_paints_all_the_same(open_canvas: OpenCanvas) -> None:
    canvas = open_canvas()
    canvas.page.add_init_script("Object.defineProperty(window, 'indexedDB', { get() { throw new Error('private'); } })")
    canvas.page.reload()
    canvas.page.wait_for_function("emulsion.canvasView.paper()")
    canvas.load(gradient(256, 256))
    canvas.drag((50, 50), (90, 90))
    canvas.page.wait_for_timeout(500)
    assert painted(canvas)[70, 70] == 255
