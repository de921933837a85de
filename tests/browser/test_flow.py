"""The whole way of a picture in the real program: made, repainted in part, enlarged, found again."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest
from PIL import Image

from tests.api.started import REAL, server
from tests.browser.conftest import generate

PATIENCE = 240  # seconds: a bound for a very busy machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the program."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def program(home: Path) -> Iterator[str]:
    """The address of the real program with the starter and the upscalers that come along."""
    with server(home, "offline=True", engine=REAL) as started:
        yield started.address


def make(page: Any, prompt: str) -> None:
    """Press the button and wait for the end of the job."""
    page.fill("#em-prompt textarea", prompt)
    generate(page)
    assert not page.is_visible("#em-error"), page.inner_text("#em-error")


def shown(page: Any) -> Any:
    """What the studio says of the picture that it shows."""
    return page.evaluate("emulsion.pictures.shown()")


def file_of(program: str, picture: Any) -> bytes:
    """The file of a finished picture."""
    return httpx.get(f"{program}/ui/jobs/{picture['job']}/pictures/{picture['index']}").content


def pixels(file: bytes) -> numpy.ndarray:
    """[H, W, 3] of a picture file."""
    return numpy.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def mask_of(page: Any) -> bytes:
    """What the canvas is painted with, as a picture file."""
    read = "async () => [...new Uint8Array(await (await emulsion.canvas.mask()).arrayBuffer())]"
    return bytes(page.evaluate(read))


def over_http(program: str, picture: bytes, mask: bytes, infotext: str) -> bytes:
    """The file of what `/sdapi/v1/img2img` makes of a picture and a mask with the settings of an infotext."""
    init, painted = (base64.b64encode(file).decode() for file in (picture, mask))
    body = {"init_images": [init], "mask": painted, "infotext": infotext}
    answer = httpx.post(f"{program}/sdapi/v1/img2img", json=body, timeout=PATIENCE)
    return base64.b64decode(answer.raise_for_status().json()["images"][0])


@pytest.mark.slow
def test_a_picture_is_made_repainted_enlarged_and_found_again(program: str, home: Path, chromium: Any) -> None:
    page = chromium.page(program, 1440, 1000)
    page.set_default_timeout(1000 * PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(program)
    page.wait_for_selector("body.em-ready")
    page.fill("#em-seed input", "7")
    make(page, "a panda, flat style, orange background")
    made = shown(page)

    page.click("[data-send-to=inpaint]")
    page.wait_for_function("emulsion.canvas.has() && emulsion.tabs.current() === 'inpaint'")
    box = page.locator("#em-canvas-stage").bounding_box()
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.4
    page.mouse.move(middle - 60, height)
    page.mouse.down()
    page.mouse.move(middle + 60, height, steps=6)
    page.mouse.up()
    page.fill("#em-mask-blur input[type=number]", "0")
    page.keyboard.press("Tab")
    make(page, "a robot, flat style, orange background")
    repainted = shown(page)
    assert "Denoising strength: 0.75" in repainted["infotext"]
    first, second, mask = file_of(program, made), file_of(program, repainted), mask_of(page)
    changed = (pixels(first) != pixels(second)).any(axis=2)
    painted = pixels(mask).any(axis=2)
    assert 0.02 < painted.mean() < 0.7 and changed[painted].mean() > 0.5
    assert not changed[~painted].any()
    again = over_http(program, first, mask, repainted["infotext"])
    assert (pixels(again) == pixels(second)).all()

    page.click("[data-send-to=inpaint]")  # another round: the mask is still there
    page.wait_for_function("name => emulsion.canvas.name() === name", arg=repainted["name"])
    assert (pixels(mask_of(page)).any(axis=2) == painted).all()

    page.click("[data-send-to=extras]")
    page.wait_for_function("emulsion.tabs.current() === 'extras'")
    page.click("#em-extras-go:not([disabled])")
    page.wait_for_selector("#em-extras-status.em-over")

    page.click("#em-tab-history-button")
    page.wait_for_function("document.querySelectorAll('.em-shot').length >= 3")
    enlarged = max((home / "outputs").rglob("*.png"), key=lambda path: path.stat().st_mtime)
    assert Image.open(enlarged).size == (256, 256)
    assert errors == []
