"""Small pictures as clients send them."""

from __future__ import annotations

import base64
import io
import json

from PIL import Image, ImageDraw


def picture(width: int = 64, height: int = 48, colour: str = "red") -> str:
    """A PNG of one colour as base64."""
    return encoded(Image.new("RGB", (width, height), colour))


def mask(width: int = 64, height: int = 48) -> str:
    """White in the middle of black."""
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).rectangle((width // 4, height // 4, width // 2, height // 2), fill=255)
    return encoded(image)


def encoded(image: Image.Image) -> str:
    """A picture as the base64 of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def opened(text: str) -> Image.Image:
    """A picture of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(text)))


def info_of(answer) -> dict:
    """The `info` of an answer, after it was seen that there is one."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["info"])
