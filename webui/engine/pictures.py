"""The pictures of an image pass: read from a request, made as large as the pass, masked, and pasted back. No torch."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops

from webui.errors import InvalidRequest
from webui.imaging.colour import with_colours_of
from webui.imaging.files import load_picture
from webui.imaging.masks import (
    Box,
    blurred,
    filled,
    inverted,
    mask_of,
    masked_region,
    outpainted,
    pasted,
    strengthened,
    transparency_of,
)
from webui.imaging.profiles import in_srgb
from webui.imaging.resize import LANCZOS, Enlarge, flattened, resized, stretched
from webui.request import Outpaint, Pass


def picture_bytes(text: str) -> bytes:
    """The bytes of a picture in base64, with or without "data:image/png;base64," before it. Raises InvalidRequest."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except ValueError:  # binascii.Error is one
        raise InvalidRequest("A picture of the request is no base64 text.") from None


@dataclass(frozen=True)
class Paste:
    """What a finished picture is laid over: the original, by a mask of its size; `box` is the part that was made."""

    original: Image.Image
    mask: Image.Image
    box: Box | None = None


@dataclass(frozen=True)
class SourcePicture:
    """What one picture of an image pass starts from.

    `picture` (RGB) and `mask` (grey, white = repaint) have the size of the pass; in resize mode "latent" the picture
    has its own. `fingerprint` tells pictures apart in an infotext. `colours` (RGB) is whose colours the result takes.
    """

    picture: Image.Image
    mask: Image.Image | None
    paste: Paste | None
    fingerprint: str = ""
    colours: Image.Image | None = None


def read_source(
    step: Pass, number: int, factor: int, enlarge: Enlarge = stretched, note: Callable[[str], None] = lambda _: None
) -> SourcePicture:
    """The source of picture `number` of a job; sides of what is encoded are multiples of `factor`. `note` is told what
    a user may not have meant.

    Raises InvalidRequest for an empty mask, DamagedFile or UnsafeFile for what is no picture.
    """
    source = _source(step, number, factor, enlarge, note)
    if not step.match_colours:
        return source
    colours = flattened(_given(step.colours_of), step.background) if step.colours_of else source.picture
    return dataclasses.replace(source, colours=colours)


def _given(text: str) -> Image.Image:
    return in_srgb(load_picture(picture_bytes(text)))


def _source(step: Pass, number: int, factor: int, enlarge: Enlarge, note: Callable[[str], None]) -> SourcePicture:
    sources = step.sources
    given = _given(sources[number % len(sources)])
    picture, size = flattened(given, step.background), (step.width, step.height)
    fingerprint = hashlib.md5(picture.tobytes(), usedforsecurity=False).hexdigest()
    mask = _mask(step, given, note)
    if step.outpaint != Outpaint():
        sides = step.outpaint
        picture, mask = outpainted(picture, sides.left, sides.right, sides.up, sides.down, mask)
    if mask is None:
        if step.resize_mode == "latent":
            return SourcePicture(stretched(picture, _whole_cells(picture.size, factor)), None, None, fingerprint)
        return SourcePicture(resized(picture, size, step.resize_mode, enlarge), None, None, fingerprint)
    mask = blurred(mask, step.inpaint.mask_blur)
    if mask.getbbox() is None:
        raise _empty_mask(step)
    mode = "stretch" if step.resize_mode == "latent" else step.resize_mode
    if step.inpaint.area == "masked":
        box = masked_region(mask, step.inpaint.padding, size)
        paste = Paste(picture, mask, box)
        picture = resized(picture.crop(box), size, "fill", enlarge)
        mask = resized(mask.crop(box), size, "fill")
    else:
        picture, mask = resized(picture, size, mode, enlarge), resized(mask, size, mode)
        paste = Paste(picture, strengthened(mask))
    if step.inpaint.masked_content != "original":
        picture = filled(picture, mask)
    return SourcePicture(picture, mask, paste, fingerprint)


def _empty_mask(step: Pass) -> InvalidRequest:
    wanted = "Something to repaint was wanted."
    if step.inpaint.invert:
        return InvalidRequest("The mask covers the whole picture, and is inverted.", wanted, "Do not invert it.")
    if step.inpaint.from_alpha:
        return InvalidRequest("No part of the picture is transparent.", wanted, "Give a mask of its own.")
    return InvalidRequest("The mask is empty.", wanted, "Paint over it, or invert it.")


def _mask(step: Pass, given: Image.Image, note: Callable[[str], None]) -> Image.Image | None:
    """The mask of the whole given picture, inverted where that is wanted; None where all is repainted."""
    if not step.masked:
        return None
    if step.inpaint.from_alpha:
        mask = transparency_of(given)
    elif step.mask:
        mask = mask_of(load_picture(picture_bytes(step.mask)))
    else:
        mask = Image.new("L", given.size, 0)  # outpainting alone
    if mask.size != given.size:
        (width, height), (across, down) = mask.size, given.size
        if abs(width * down - height * across) > 0.02 * height * across:
            note(f"The mask of {width}×{height} pixels was stretched to the picture's {across}×{down}.")
        mask = mask.resize(given.size, LANCZOS)
    if step.inpaint.invert and (step.mask or step.inpaint.from_alpha):
        mask = inverted(mask)
    return mask


def changed_mask(paste: Paste, changed: Image.Image) -> Image.Image:
    """The mask of what has changed, made of one in the size of the pass; nothing that was not painted is in it, and the
    outermost of what was painted by degrees, so that no edge is seen where a blurred mask ends."""
    if paste.box is None:
        whole = stretched(changed, paste.original.size)
    else:
        left, top, right, bottom = paste.box
        whole = Image.new("L", paste.original.size, 0)
        whole.paste(resized(changed, (right - left, bottom - top), "crop"), (left, top))
    return ImageChops.darker(whole, paste.mask.point(lambda value: min(255, 8 * value)))


def _whole_cells(size: tuple[int, int], factor: int) -> tuple[int, int]:
    width, height = (max(factor, round(side / factor) * factor) for side in size)
    return width, height


def finished(made: Image.Image, source: SourcePicture, match_colours: bool, mask: Image.Image | None) -> Image.Image:
    """A decoded picture in the colours of its source and pasted back; `mask` takes the place of the source's own."""
    if match_colours and source.colours is not None:
        made = with_colours_of(made, source.colours)
    paste = source.paste
    return made if paste is None else pasted(paste.original, made, mask or paste.mask, paste.box)
