"""Colours by ICC profiles, as telephones (Display P3), cameras (Adobe RGB) and printers (CMYK) write them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from webui.imaging.resize import eight_bits

_LIMIT = 8 << 20  # bytes of a profile
_SPACES = {"RGB": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}  # what a profile calls the colours of a mode
_NEAR = 2  # of 255: profiles that move no colour farther are sRGB, whatever they are called
_FAILURES = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


def in_srgb(picture: Image.Image) -> Image.Image:
    """A picture in the colours that networks know: RGB, grey or CMYK numbers of another profile become sRGB's.

    Transparency stays. The result is the same object where there is no profile, where it is damaged or belongs to
    other colours, and where it is sRGB's own, so that no number changes without need. Source: ICC.1:2022.
    """
    profile = picture.info.get("icc_profile") or b""
    if not isinstance(profile, bytes) or not profile or len(profile) > _LIMIT:
        return picture
    opaque, alpha = _parts(picture)
    if profile[16:20] != _SPACES.get(opaque.mode):
        return picture
    try:
        changed = _changed(opaque, profile)
    except _FAILURES:
        return picture
    if changed is None:
        return picture
    if opaque.mode == "L":
        changed = changed.getchannel("G")
    if alpha is not None:
        changed.putalpha(alpha)
    changed.info = {name: value for name, value in picture.info.items() if name not in ("icc_profile", "transparency")}
    return changed


def rgb_profile(picture: Image.Image) -> bytes:
    """The profile that an RGB picture's file keeps; empty where it has none for red, green and blue."""
    profile = picture.info.get("icc_profile") or b""
    return profile if picture.mode in ("RGB", "RGBA", "P") and profile[16:20] == b"RGB " else b""


def _parts(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Its colours as RGB, L or CMYK of 8 bits, and its transparency."""
    grey = picture.mode in ("1", "L", "LA") or picture.mode.startswith("I;16")
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if grey:
        return eight_bits(picture).convert("L"), alpha
    return (picture if picture.mode == "CMYK" else picture.convert("RGB")), alpha


def _changed(picture: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB, or None where it is so already. Raises one of _FAILURES."""
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), picture.mode, "RGB")
    if picture.mode != "CMYK":
        probe = _probe(picture.mode)
        moved = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
        if np.abs(moved - np.asarray(probe.convert("RGB"), np.int16)).max() <= _NEAR:
            return None
    return ImageCms.applyTransform(picture, transform)


def _probe(mode: str) -> Image.Image:
    """Colours from all over the space of a mode."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(cube.reshape(len(steps), -1, 3))
