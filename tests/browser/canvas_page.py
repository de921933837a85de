"""A page with nothing but the canvas, and what the tests of the canvas do with it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.browser.chromium import Chromium, watch
from webui.ui.assets import STYLES, asset
from webui.ui.language import languages

ADDRESS = "http://canvas.test/"  # answered by the tests themselves; no secure origin, as in a home network
SCRIPTS = (
    *(
        "core.js",
        "sentences.js",
        "canvas_paint.js",
        "canvas_files.js",
        "canvas.js",
        "canvas_view.js",
        "canvas_tools.js",
    ),
    "canvas_bar.js",
)
Place = tuple[float, float]


def page_text() -> str:
    """The page: a stub of Gradio's configuration, styles, a tab that can be hidden with the canvas, a text field."""
    texts = {name: dict(keys) for name, keys in languages().items()}
    config = json.dumps({"i18n_translations": texts}).replace("<", "\\u003c")
    defaults = json.dumps({"language": "auto", "theme": "auto"})
    styles = "".join(f"<style>{asset(name)}</style>" for name in STYLES)
    scripts = "".join(f"<script>{asset(name)}</script>" for name in SCRIPTS)
    return (
        f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">{styles}'
        f"<body><script>window.gradio_config = {config}; const emulsionDefaults = {defaults};</script>{scripts}"
        f'<div id="tab" class="gradio-container" style="max-width: 720px; margin: 12px">{asset("canvas.html")}</div>'
        '<textarea id="text"></textarea>'
        '<div style="height: 1500px"></div></body>'
    )


def url(picture: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """A picture as a data address."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def gradient(width: int, height: int, seed: int = 1) -> Image.Image:
    """A smooth picture in which all places differ."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y + 40 * seed) // 8 % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


class Canvas:
    """The canvas in an open page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def load(self, picture: Image.Image | str, mode: str = "mask", name: str = "a.png") -> None:
        """Set a picture and what is painted into it."""
        source = picture if isinstance(picture, str) else url(picture)
        self.mode(mode)
        self.page.evaluate("([url, name]) => emulsion.canvas.setPicture(url, { name })", [source, name])
        self.settle()

    def mode(self, mode: str) -> None:
        """Switch between image, sketch and mask as the page does."""
        self.page.evaluate("mode => { document.querySelector('#em-canvas').dataset.mode = mode }", mode)
        self.page.wait_for_function("mode => emulsion.canvas.mode() === mode", arg=mode)

    def settle(self) -> None:
        """Wait until the screen shows what there is."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def brush(self, **values: Any) -> None:
        """Set size (pixels of the picture), hardness, opacity (0 to 1) or colour."""
        self.page.evaluate("values => emulsion.canvasTools.setBrush(values)", values)

    def tool(self, name: str) -> None:
        """Press a tool's button."""
        self.page.click(f"#em-canvas [data-tool={name}]")

    def point(self, x: float, y: float) -> Place:
        """Where a place of the picture is on the screen."""
        return tuple(
            self.page.evaluate(
                """([x, y]) => {
                  const { view, paper } = emulsion.canvasView, box = paper().getBoundingClientRect();
                  return [box.left + (view.x + x * view.scale) / view.ratio,
                          box.top + (view.y + y * view.scale) / view.ratio];
                }""",
                [x, y],
            )
        )

    def drag(self, *places: Place, button: str = "left") -> None:
        """Press at the first place of the picture, move over the others, let go."""
        self.page.mouse.move(*self.point(*places[0]))
        self.page.mouse.down(button=button)
        for place in places[1:]:
            self.page.mouse.move(*self.point(*place), steps=2)
        self.page.mouse.up(button=button)
        self.settle()

    def file(self, what: str) -> bytes | None:
        """What `emulsion.canvas.picture()` or `.mask()` gives, or None."""
        text = self.page.evaluate(
            """async what => {
              const blob = await emulsion.canvas[what]();
              if (!blob) return null;
              const reader = new FileReader();
              await new Promise((done) => { reader.onload = done; reader.readAsDataURL(blob); });
              return reader.result.split(",")[1];
            }""",
            what,
        )
        return None if text is None else base64.b64decode(text)

    def mask(self) -> np.ndarray | None:
        """The mask [height, width], 255 = repaint, or None."""
        data = self.file("mask")
        if data is None:
            return None
        with Image.open(io.BytesIO(data)) as image:
            rgb = np.asarray(image.convert("RGB"))
        assert (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all()
        return rgb[..., 0].astype(int)

    def picture(self) -> np.ndarray:
        """The picture [height, width, 3]."""
        data = self.file("picture")
        assert data is not None
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB")).astype(int)

    def ask(self, name: str) -> Any:
        """The answer of one of the canvas's functions without arguments."""
        return self.page.evaluate(f"() => emulsion.canvas.{name}()")

    def screen(self) -> np.ndarray:
        """All that is on the canvas's part of the screen, [height, width, 4]."""
        data = self.page.evaluate("() => emulsion.canvasView.paper().toDataURL()").split(",")[1]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return np.asarray(image.convert("RGBA")).astype(int)

    def shown(self, x: float, y: float) -> list[int]:
        """The colour on the screen at a place of the picture."""
        return self.page.evaluate(
            """([x, y]) => {
              const { view, paper } = emulsion.canvasView;
              return [...paper().getContext("2d").getImageData(
                Math.floor(view.x + x * view.scale), Math.floor(view.y + y * view.scale), 1, 1).data];
            }""",
            [x, y],
        )


def canvas_in(chromium: Chromium, troubles: list[str], width: int, height: int, **options: Any) -> Canvas:
    """The canvas in a page of a new visitor; errors and requests that lead elsewhere are added to `troubles`."""
    page = chromium.page(ADDRESS, width, height, **options)
    page.route("**/*", lambda route: route.fulfill(body=page_text(), content_type="text/html"))
    watch(page, ADDRESS, troubles)
    page.goto(ADDRESS)
    page.wait_for_function("emulsion.canvasView.paper()")
    page.evaluate("() => emulsion.canvas.ready")
    return Canvas(page)


def painted(canvas: Canvas) -> np.ndarray:
    """The mask, which must be there."""
    mask = canvas.mask()
    assert mask is not None
    return mask


def distances(shape: tuple[int, int], a: Place, b: Place) -> np.ndarray:
    """How far each pixel's middle is from the line between two places: the witness for strokes."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    (ax, ay), (bx, by) = a, b
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1) if length else 0
    return np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))


def assert_stroke(mask: np.ndarray, a: Place, b: Place, radius: float, slack: float) -> None:
    """All within the radius is painted, nothing beyond it; `slack` for the pointer's own whole pixels."""
    far = distances(mask.shape, a, b)
    assert (mask[far < radius - slack] == 255).all()
    assert (mask[far > radius + slack] == 0).all()
