"""Pictures for tests of passes that start from one."""

import base64
import io

import numpy as np
from PIL import Image


def noise_picture(width=64, height=64, seed=0):
    """A picture of coloured blocks, so that latents of a random VAE still differ from place to place."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


def box_mask(width=64, height=64, box=(24, 16, 48, 40)):
    """A mask of one rectangle."""
    made = Image.new("L", (width, height), 0)
    made.paste(255, box)
    return made


def as_base64(picture):
    """The picture as requests carry it."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def pixels(picture):
    """uint8 array [H, W, 3]."""
    return np.asarray(picture.convert("RGB"))


def difference(first, second):
    """Largest difference of two pictures, in steps of 8 bits."""
    return int(np.abs(pixels(first).astype(int) - pixels(second).astype(int)).max())
