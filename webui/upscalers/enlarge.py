"""Pictures in any larger size by any upscaler: tensors, or Pillow's pictures with transparency and greys kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Required, TypedDict, Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.errors import FileError
from webui.imaging.convert import to_arrays, to_tensor
from webui.imaging.resize import eight_bits
from webui.paths import Paths
from webui.upscalers.builtin import UPSCALERS
from webui.upscalers.loading import UpscalerModel, load_upscaler
from webui.upscalers.names import find_upscaler
from webui.upscalers.tiles import enlarged_rows, fitted, sizes_between, tile_count

TILE, OVERLAP = 256, 32  # pixels of the small picture
SMALLEST = 64  # tiles are halved down to this where memory runs out


class Options(TypedDict, total=False):
    """How to enlarge. `paths` says where models lie; the others have defaults."""

    paths: Required[Paths]
    device: str | torch.device  # "cpu"
    tile: int  # side of a tile in pixels of the small picture; 0: none
    overlap: int  # of neighbouring tiles
    check: Callable[[], None]  # called before every tile; what it raises ends the work
    on_progress: Callable[[int, int], None]  # (tiles done, tiles in all)


@dataclass
class _Tally:
    """Tiles of one call, of all its pictures and passes."""

    total: int
    report: Callable[[int, int], None]
    done: int = 0

    def count(self) -> None:
        """One more is done."""
        self.done += 1
        self.report(self.done, self.total)


def enlarge(pictures: Tensor, name: str, size: tuple[int, int], **options: Unpack[Options]) -> Tensor:
    """`pictures` [B, 3, H, W] in [0, 1] in `size` (width, height), by the upscaler of a name: [B, 3, height, width].

    A model is used until the size is reached, and Lanczos brings its result to the exact size; where the size is not
    above the pictures' own, Lanczos alone does. Results are multiples of 1/255, on the CPU, in float32.
    Raises NotFound, UnknownModel and other FileErrors, and whatever `check` raises.
    """
    arrays = to_arrays(pictures)
    results = [enlarge_array(array, name, size, **options) for array in arrays]
    return torch.cat([to_tensor(result) for result in results])


def enlarge_picture(picture: Image.Image, name: str, size: tuple[int, int], **options: Unpack[Options]) -> Image.Image:
    """A picture of any mode in `size` (width, height): RGB, or L where it is grey, with an A where it is transparent.

    Transparency is enlarged by the same upscaler. Greys of 16 bits become 8. Raises as `enlarge`.
    """
    picture = eight_bits(picture)
    grey = picture.mode in ("1", "L", "LA")
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        if alpha.getextrema() == (255, 255):
            alpha = None
        else:
            picture = _bled(picture)
    parts = 1 if alpha is None else 2
    result = _image(picture.convert("RGB"), name, size, part_of(options, 0, parts))
    if grey:
        result = result.convert("L")
    if alpha is not None:
        result.putalpha(_image(alpha.convert("RGB"), name, size, part_of(options, 1, parts)).convert("L"))
    return result


def part_of(options: Options, index: int, count: int) -> Options:
    """The options for one of `count` equally long parts of the work, so that progress is that of the whole."""
    report = options.get("on_progress")
    if report is None or count == 1:
        return options
    return {**options, "on_progress": lambda done, total: report(index * total + done, count * total)}


def enlarge_array(picture: np.ndarray, name: str, size: tuple[int, int], **options: Unpack[Options]) -> np.ndarray:
    """As `enlarge`, for one picture [H, W, 3] uint8; memory beyond the model is the result and some rows."""
    found = find_upscaler(name, options["paths"])
    options.get("check", _nothing)()
    if found.file is None:
        image = Image.fromarray(picture)
        return np.asarray(image if image.size == size else UPSCALERS[found.name](image, size))
    try:
        model = load_upscaler(found.file, options.get("device", "cpu"))
    except OSError as error:
        raise FileError(f"{found.file.name} cannot be read: {error.strerror or error}.") from None
    return _by_model(picture, model, size, options)


def _by_model(picture: np.ndarray, model: UpscalerModel, size: tuple[int, int], options: Options) -> np.ndarray:
    tile = options.get("tile", TILE) if model.tiles else 0
    overlap = options.get("overlap", OVERLAP)
    before = (picture.shape[1], picture.shape[0])
    steps = sizes_between(before, size, model.scale)
    if not steps:
        return fitted(iter([picture]), before, size)
    sources = [before, *steps[:-1]]
    tally = _Tally(sum(tile_count(*source, tile, overlap) for source in sources), options.get("on_progress", _unheard))
    check = options.get("check", _nothing)
    for index, (source, target) in enumerate(zip(sources, steps)):
        result = None
        while result is None:
            rows = enlarged_rows(model, picture, model.scale, tile, overlap, check, tally.count)
            try:
                result = fitted(rows, (source[0] * model.scale, source[1] * model.scale), target)
            except torch.OutOfMemoryError:
                if tile < 2 * SMALLEST:
                    raise
                tile, overlap = tile // 2, min(overlap, tile // 8)
                tally.total = tally.done + sum(tile_count(*source, tile, overlap) for source in sources[index:])
        picture = result
    return picture


def _image(picture: Image.Image, name: str, size: tuple[int, int], options: Options) -> Image.Image:
    return Image.fromarray(enlarge_array(np.asarray(picture), name, size, **options))


def _bled(picture: Image.Image) -> Image.Image:
    """An RGBA picture as opaque RGB whose fully transparent pixels have the colours around them.

    Else whatever stands there, mostly black, would show as a fringe where the enlarged alpha is not yet 0.
    """
    result = picture.convert("RGBA")
    weighted = picture.convert("RGBa")
    shorter, step = min(picture.size), 2
    while step <= shorter:
        spread = weighted.reduce(step).resize(picture.size, Image.Resampling.BILINEAR).convert("RGBA")
        hidden = result.getchannel("A").point(lambda value: 255 if value == 0 else 0)
        result.paste(spread, (0, 0), hidden)
        step *= 2
    return result.convert("RGB")


def _nothing() -> None:
    """Where nobody asks to stop."""


def _unheard(done: int, total: int) -> None:
    """Where nobody asks how far it is."""


__all__ = ["Options", "enlarge", "enlarge_array", "enlarge_picture", "part_of"]
