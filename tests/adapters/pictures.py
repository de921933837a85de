"""Embeddings in pictures, written after the description of the format and with nothing of the reader."""

import base64
import io
import itertools
import json
import random
import zlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def as_json(tensors, **facts):
    """The JSON of nested dictionaries of tensors."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return {"TORCHTENSOR": value.tolist()} if hasattr(value, "tolist") else value

    return json.dumps(plain({**tensors, **facts})).encode()


def a1111(vectors, name="inside"):
    """What A1111 trains."""
    return as_json({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}}, name=name, step=12)


def motif(width=40, height=48):
    """A picture with colours up to its edges."""
    image = Image.new("RGB", (width, height))
    image.putdata([(40 + x * 5 % 200, 40 + y * 4 % 200, 17) for y in range(height) for x in range(width)])
    return image


def encoded(image, format="PNG", **options):
    """The bytes of a picture file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def in_text(data, keyword="sd-ti-embedding"):
    """A PNG with the JSON as base64 in a text chunk."""
    info = PngInfo()
    info.add_text(keyword, base64.b64encode(data).decode())
    return encoded(motif(), pnginfo=info)


def stream_of_halves():
    """s ← (1664525·s + 1013904223) mod 2³² from 0; of s mod 255, the low half of the byte."""
    state = 0
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state % 255 & 0x0F


def block(halves, height, seed):
    """A picture of `height` rows whose colours carry the halves below a random decoration."""
    width = -(-len(halves) // (3 * height))
    decoration = random.Random(seed)
    padded = list(itertools.islice(itertools.cycle(halves), width * height * 3))
    values = [h ^ g | decoration.randrange(1, 16) << 4 for h, g in zip(padded, stream_of_halves(), strict=False)]
    return Image.frombytes("RGB", (width, height), bytes(values))


def in_pixels(data, border=0, deflated=None):
    """A picture with the JSON in its pixels: low halves, a black column, the motif, another one, high halves."""
    packed = zlib.compress(data, 9) if deflated is None else deflated
    middle = motif()
    height = middle.height
    low, high = block([b & 15 for b in packed], height, 1), block([b >> 4 for b in packed], height, 2)
    whole = Image.new("RGB", (2 * low.width + middle.width + 2 + 2 * border, height + 2 * border))
    whole.paste(low, (border, border))
    whole.paste(middle, (border + low.width + 1, border))
    whole.paste(high, (border + low.width + 1 + middle.width + 1, border))
    return whole
