"""Options of `generate` beyond plain txt2img: pictures, masks, second passes, refiners and tiles, as passes."""

from __future__ import annotations

import argparse
import base64
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import InvalidRequest
from webui.request import (
    LATENT_UPSCALERS,
    MASKED_CONTENTS,
    RESIZE_MODES,
    Inpaint,
    Outpaint,
    Pass,
    Refiner,
    SoftInpaint,
    Tiles,
)

if TYPE_CHECKING:
    from webui.families.base import ModelFacts

IMAGE_STRENGTH, HIRES_STRENGTH, HIRES_SCALE = 0.75, 0.7, 2.0  # A1111's own
PASS_FIELDS = {  # option -> field of an image pass
    "denoise": "denoising_strength",
    "resize_mode": "resize_mode",
    "upscaler": "upscaler",
    "exact_steps": "exact_steps",
    "noise_multiplier": "noise_multiplier",
    "extra_noise": "extra_noise",
    "match_colours": "match_colours",
    "background": "background",
}
INPAINT_FIELDS = {
    "invert_mask": "invert",
    "masked_content": "masked_content",
    "inpaint_area": "area",
    "padding": "padding",
    "mask_from_alpha": "from_alpha",
    "mask_weight": "condition_weight",
}
OF_A_MASK = ("invert_mask", "masked_content", "inpaint_area", "padding", "mask_blur", "soft_inpaint")
HIRES_FIELDS = {
    "hires_upscaler": "upscaler",
    "hires_steps": "steps",
    "hires_denoise": "denoising_strength",
    "hires_sampler": "sampler",
    "hires_schedule": "schedule",
    "hires_prompt": "prompt",
    "hires_negative": "negative_prompt",
    "hires_checkpoint": "checkpoint",
}


def add_pass_options(parser: argparse.ArgumentParser) -> None:
    """Declare them. None of them has a default, so that what was given can be told from what was not."""
    image = parser.add_argument_group("from a picture (img2img)")
    image.add_argument("--init-image", metavar="FILE", action="append", help="start from it (repeat it for a batch)")
    image.add_argument("--denoise", type=float, metavar="0..1", help="how much may change; default: 0.75")
    image.add_argument("--resize-mode", choices=RESIZE_MODES, help="how it gets the size; default: stretch")
    image.add_argument("--upscaler", metavar="NAME", help="what enlarges it; default: Lanczos")
    image.add_argument("--exact-steps", action="store_true", default=None, help="run all steps whatever --denoise is")
    image.add_argument("--noise-multiplier", type=float, metavar="X")
    image.add_argument("--extra-noise", type=float, metavar="X")
    image.add_argument("--match-colours", action="store_true", default=None, help="keep the picture's colours")
    image.add_argument("--background", metavar="#RRGGBB", help="what shows through a transparent picture")
    image.add_argument("--image-cfg", type=float, metavar="SCALE", help="second scale of instruct-pix2pix checkpoints")
    mask = parser.add_argument_group("masks (inpainting)")
    mask.add_argument("--mask", metavar="FILE", help="white (or what is drawn on a transparent picture) is repainted")
    mask.add_argument("--mask-from-alpha", action="store_true", default=None, help="repaint what is transparent")
    mask.add_argument("--mask-blur", type=int, metavar="PIXELS", help="default: 4")
    mask.add_argument("--invert-mask", action="store_true", default=None, help="repaint the rest")
    mask.add_argument("--masked-content", choices=MASKED_CONTENTS, help="what is there at first; default: original")
    mask.add_argument("--inpaint-area", choices=("whole", "masked"), help="paint at full size around the mask alone")
    mask.add_argument("--padding", type=int, metavar="PIXELS", help="around the masked area; default: 32")
    mask.add_argument("--mask-weight", type=float, metavar="0..1", help="of inpainting checkpoints")
    mask.add_argument("--soft-inpaint", action="store_true", default=None, help="blend by degrees")
    mask.add_argument("--outpaint", metavar="SIDES", help="add pixels at sides, such as left=64,down=128")
    hires = parser.add_argument_group("second pass (hires fix)")
    hires.add_argument("--hires-scale", type=float, metavar="X", help="default, if any of these is given: 2")
    hires.add_argument("--hires-width", type=int, metavar="PIXELS", help="instead of a scale")
    hires.add_argument("--hires-height", type=int, metavar="PIXELS")
    hires.add_argument("--hires-upscaler", metavar="NAME", help=f"a model's name or {', '.join(LATENT_UPSCALERS)}")
    hires.add_argument("--hires-steps", type=int, metavar="N", help="default: as in the first pass")
    hires.add_argument("--hires-denoise", type=float, metavar="0..1", help="default: 0.7")
    hires.add_argument("--hires-sampler", metavar="NAME")
    hires.add_argument("--hires-schedule", metavar="NAME")
    hires.add_argument("--hires-cfg", type=float, metavar="SCALE")
    hires.add_argument("--hires-prompt", metavar="TEXT")
    hires.add_argument("--hires-negative", metavar="TEXT")
    hires.add_argument("--hires-checkpoint", metavar="NAME")
    last = parser.add_argument_group("in the last pass")
    last.add_argument("--refiner", metavar="NAME", help="a checkpoint that takes over")
    last.add_argument("--refiner-at", type=float, metavar="0..1", help="the first one's share; default: 0.8")
    last.add_argument("--refiner-by-steps", action="store_true", default=None, help="a share of steps, not of noise")
    last.add_argument("--upscale-tiles", type=int, metavar="PIXELS", help="let the network see tiles; 0: native size")
    last.add_argument("--tile-overlap", type=int, metavar="PIXELS", help="default: 64")


def with_pass_options(
    passes: tuple[Pass, ...], options: argparse.Namespace, facts: ModelFacts, settings: Mapping[str, Any]
) -> tuple[Pass, ...]:
    """The passes with what was given. Raises InvalidRequest for a file that cannot be read and options without use."""
    first, *later = passes
    if options.init_image:
        first = _from_image(first, options, facts, settings)
    first = _changed(first, options, PASS_FIELDS)
    if first.source != "image":
        names = (*PASS_FIELDS, *INPAINT_FIELDS, "mask", "mask_blur", "soft_inpaint", "outpaint")
        _refuse(options, names, "how to change a picture", "Name one with --init-image.")
    first = dataclasses.replace(first, inpaint=_inpaint(first.inpaint, options))
    if options.mask is not None:
        first = dataclasses.replace(first, mask=_read(options.mask))
    if options.outpaint is not None:
        first = dataclasses.replace(first, outpaint=_outpaint(options.outpaint))
    if first.source == "image" and not first.masked:
        _refuse(options, OF_A_MASK, "how to use a mask", "Give one with --mask, --mask-from-alpha or --outpaint.")
    if options.image_cfg is not None:
        guidance = dataclasses.replace(first.guidance, image_scale=options.image_cfg)
        first = dataclasses.replace(first, guidance=guidance)
    sized = ("hires_scale", "hires_width", "hires_height", "hires_cfg")
    if any(getattr(options, name) is not None for name in (*HIRES_FIELDS, *sized)):
        later[:1] = [_hires(first, later[0] if later else None, options)]
    *others, last = first, *later
    return *others, _last(last, options)


def _refuse(options: argparse.Namespace, names: Iterable[str], says: str, remedy: str) -> None:
    useless = next((name for name in names if getattr(options, name) is not None), None)
    if useless:
        raise InvalidRequest(f"--{useless.replace('_', '-')} says {says}.", remedy)


def _from_image(first: Pass, options: argparse.Namespace, facts: ModelFacts, settings: Mapping[str, Any]) -> Pass:
    """An image pass in the size of its picture, or of the checkpoint where that is far smaller."""
    from webui.engine.recommended import FROM_SETTINGS, fitting
    from webui.imaging.files import picture_size

    texts = [_read(file) for file in options.init_image]
    size = first.width, first.height
    if not options.width and not options.height:
        sides = _outpaint(options.outpaint) if options.outpaint else Outpaint()
        width, height = picture_size(base64.b64decode(texts[0]))
        size = fitting(width + sides.left + sides.right, height + sides.up + sides.down, facts.native_size)
    return dataclasses.replace(
        first,
        source="image",
        image=texts[0],
        images=tuple(texts[1:]),
        width=size[0],
        height=size[1],
        denoising_strength=IMAGE_STRENGTH,
        inpaint=dataclasses.replace(first.inpaint, condition_weight=settings["inpainting_mask_weight"]),
        **{name: settings[name] for name in FROM_SETTINGS},
    )


def _inpaint(inpaint: Inpaint, options: argparse.Namespace) -> Inpaint:
    changes: dict[str, Any] = _given(options, INPAINT_FIELDS)
    if options.mask_blur is not None:
        changes["mask_blur"] = (options.mask_blur, options.mask_blur)
    if options.soft_inpaint:
        changes["soft"] = inpaint.soft or SoftInpaint()
    return dataclasses.replace(inpaint, **changes)


def _outpaint(text: str) -> Outpaint:
    sides = {}
    for part in text.split(","):
        side, _, pixels = (word.strip() for word in part.partition("="))
        if side not in Outpaint.__dataclass_fields__ or not pixels.isdigit():
            raise InvalidRequest(f"--outpaint is {text!r}.", "Wanted: sides and pixels, such as left=64,down=128.")
        sides[side] = int(pixels)
    return Outpaint(**sides)


def _hires(first: Pass, second: Pass | None, options: argparse.Namespace) -> Pass:
    """The second pass: as the first, in another size."""
    if second is None:
        plain = dataclasses.replace(
            Pass("previous"), steps=first.steps, sampler=first.sampler, schedule=first.schedule, guidance=first.guidance
        )
        scale = options.hires_scale or HIRES_SCALE
        second = dataclasses.replace(
            plain,
            width=round(first.width * scale),
            height=round(first.height * scale),
            options=first.options,
            denoising_strength=HIRES_STRENGTH,
        )
    elif options.hires_scale:
        width, height = round(first.width * options.hires_scale), round(first.height * options.hires_scale)
        second = dataclasses.replace(second, width=width, height=height)
    if options.hires_width or options.hires_height:
        width = options.hires_width or round(options.hires_height * first.width / first.height)
        height = options.hires_height or round(options.hires_width * first.height / first.width)
        second = dataclasses.replace(second, width=width, height=height)
    if options.hires_cfg is not None:
        second = dataclasses.replace(second, guidance=dataclasses.replace(second.guidance, scale=options.hires_cfg))
    return _changed(second, options, HIRES_FIELDS)


def _last(last: Pass, options: argparse.Namespace) -> Pass:
    if options.refiner is not None:
        last = dataclasses.replace(last, refiner=Refiner(options.refiner))
    changes = _given(options, {"refiner_at": "switch_at", "refiner_by_steps": "by_steps"})
    if changes:
        if last.refiner is None:
            raise InvalidRequest("--refiner-at says when a refiner takes over.", "Name one with --refiner.")
        last = dataclasses.replace(last, refiner=dataclasses.replace(last.refiner, **changes))
    changes = _given(options, {"upscale_tiles": "size", "tile_overlap": "overlap"})
    return dataclasses.replace(last, tiles=dataclasses.replace(last.tiles or Tiles(), **changes)) if changes else last


def _changed(step: Pass, options: argparse.Namespace, names: Mapping[str, str]) -> Pass:
    return dataclasses.replace(step, **_given(options, names))


def _given(options: argparse.Namespace, names: Mapping[str, str]) -> dict[str, Any]:
    return {field: getattr(options, name) for name, field in names.items() if getattr(options, name) is not None}


def _read(file: str) -> str:
    """A file as base64. Raises InvalidRequest where it cannot be read or is no picture."""
    from webui.errors import FileError
    from webui.imaging.files import open_picture, read_bytes

    try:
        data = read_bytes(Path(file))
        open_picture(data)
    except FileError as error:
        found = error.found if error.found.startswith(Path(file).name) else f"{file}: {error.found}"
        raise InvalidRequest(found, error.wanted, error.remedy) from None
    return base64.b64encode(data).decode()
