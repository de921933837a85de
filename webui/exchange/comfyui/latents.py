"""Where a sampler's latents come from: nothing, a picture, or the sampler before it, and what was done on the way."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from webui.exchange.comfyui.graph import HOPS, Link, Node
from webui.exchange.comfyui.samplers import is_sampling
from webui.exchange.comfyui.walk import Walk
from webui.exchange.documents import as_integer, as_number, as_text
from webui.exchange.names import file_stem

EMPTY = ("EmptyLatentImage", "EmptySD3LatentImage", "StableCascade_EmptyLatentImage", "EmptyHunyuanLatentVideo")
LOADERS = ("LoadImage", "LoadImageOutput", "LoadImageFromUrl", "ETN_LoadImageBase64")
_ENCODERS = ("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint", "InpaintModelConditioning")
_DECODERS = ("VAEDecode", "VAEDecodeTiled")
_LATENT_METHODS = {
    "nearest-exact": "Latent (nearest-exact)",
    "bilinear": "Latent",
    "bicubic": "Latent (bicubic)",
}
_PICTURE_METHODS = {"lanczos": "Lanczos", "nearest-exact": "Nearest"}
_HANDED_ON = ("samples", "latent", "latent_image", "pixels", "image", "images")
_MODEL_SCALE = re.compile(r"(?:^|[^0-9])([1-8])x|x([1-8])(?:[^0-9]|$)", re.IGNORECASE)


@dataclass
class Origin:
    """What a sampler starts from. `sampler` is the one before it, `loader` the node that reads a picture.

    `resizes` are functions of what was there: ("size", width, height), ("scale", factor) or ("pixels", number), in
    the order in which they happen.
    """

    sampler: Node | None = None
    loader: Node | None = None
    width: int | None = None
    height: int | None = None
    batch_size: int = 1
    resizes: list[tuple[Any, ...]] = field(default_factory=list)
    upscaler: str | None = None
    crop: bool = False
    masked: bool = False
    masked_content: str = "original"

    def size(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """The size after all resizes of something that was so large, in pixels."""
        for kind, *numbers in self.resizes:
            if kind == "size":
                wide, high = numbers
                if width and height:  # 0 keeps the proportions
                    wide, high = wide or round(width * high / height), high or round(height * wide / width)
                width, height = wide or width, high or height
            elif width and height:
                factor = numbers[0] if kind == "scale" else math.sqrt(numbers[0] / (width * height))
                width, height = round(width * factor), round(height * factor)
        return width, height


def walk_latents(walk: Walk, value: Any) -> Origin:
    """From a sampler's latents back to where they begin."""
    origin = Origin()
    for _ in range(HOPS):
        node = walk.graph.origin(value)
        if node is None:
            return origin
        if is_sampling(node):
            origin.sampler = node
            return origin
        walk.use(node)
        if node.type in LOADERS:
            origin.loader = node
            return origin
        if "width" in node.inputs and not _picture_input(node):
            if node.type not in EMPTY:
                walk.note(node, "Empty latents of this kind are not known here; their size is taken.")
            _read_empty(walk, node, origin)
            return origin
        _read_step(walk, node, origin)
        name = _picture_input(node)
        value = node.inputs.get(name) if name else None
    return origin


def walk_picture(walk: Walk, value: Any) -> tuple[Node | None, Node | None, list[Node]]:
    """From an output's picture back to the sampler: it, the decoder, and the nodes behind the decoder."""
    behind: list[Node] = []
    for _ in range(HOPS):
        node = walk.graph.origin(value)
        if node is None or node.type in LOADERS:
            return None, None, behind
        if is_sampling(node):
            return node, None, behind
        if node.type in _DECODERS:
            return _sampler_before(walk, node.inputs.get("samples")), walk.use(node), behind
        behind.append(node)
        name = _picture_input(node)
        value = node.inputs.get(name) if name else None
    return None, None, behind


def _sampler_before(walk: Walk, value: Any) -> Node | None:
    for _ in range(HOPS):
        node = walk.graph.origin(value)
        if node is None or is_sampling(node):
            return node
        name = _picture_input(node)
        value = node.inputs.get(name) if name else None
    return None


def _picture_input(node: Node) -> str | None:
    """The input that what a node gives is made of."""
    links = [name for name, value in node.inputs.items() if isinstance(value, Link)]
    known = (name for name in _HANDED_ON if name in links)
    return next(known, next((name for name in links if "image" in name), None))  # nodes of others: input_image, image_a


def _read_empty(walk: Walk, node: Node, origin: Origin) -> None:
    origin.width, origin.height = (as_integer(walk.value(node, name)) for name in ("width", "height"))
    origin.batch_size *= min(max(as_integer(walk.value(node, "batch_size")) or 1, 1), 64)


def _read_step(walk: Walk, node: Node, origin: Origin) -> None:
    """One node between a sampler and where its latents begin. The walk goes backwards, so resizes go to the front."""
    method = as_text(walk.value(node, "upscale_method")) or ""
    if node.type in ("LatentUpscale", "ImageScale"):
        sizes = [max(as_integer(walk.value(node, name)) or 0, 0) for name in ("width", "height")]
        origin.resizes.insert(0, ("size", *sizes))
        origin.crop = walk.value(node, "crop") == "center"
    elif node.type in ("LatentUpscaleBy", "ImageScaleBy"):
        origin.resizes.insert(0, ("scale", min(max(as_number(walk.value(node, "scale_by")) or 1.0, 0.01), 64)))
    elif node.type == "ImageScaleToTotalPixels":
        origin.resizes.insert(0, ("pixels", max(as_number(walk.value(node, "megapixels")) or 1.0, 0.01) * 2**20))
    elif node.type == "ImageUpscaleWithModel":
        _read_model_upscaler(walk, node, origin)
        return
    elif node.type in _ENCODERS:
        _read_encoder(walk, node, origin)
        return
    elif node.type in _DECODERS:
        return
    elif node.type == "SetLatentNoiseMask":
        _read_mask(walk, node, origin, "original")
        return
    elif node.type == "RepeatLatentBatch":
        origin.batch_size = min(max(as_integer(walk.value(node, "amount")) or 1, 1), 64)
        return
    else:
        walk.note(node, "What it does to the picture is not known here.")
        return
    _choose_upscaler(walk, node, origin, method)


def _choose_upscaler(walk: Walk, node: Node, origin: Origin, method: str) -> None:
    is_latent = node.type.startswith("Latent")
    known = (_LATENT_METHODS if is_latent else _PICTURE_METHODS).get(method)
    if origin.upscaler is None or known is None:
        origin.upscaler = origin.upscaler or known or ("Latent (bicubic)" if is_latent else "Lanczos")
    if known is None and method:
        walk.note(node, f"Enlarging by {method!r} is not known here; {origin.upscaler} stands.", ("upscale_method",))


def _read_model_upscaler(walk: Walk, node: Node, origin: Origin) -> None:
    loader = walk.graph.source(node, "upscale_model")
    name = as_text(walk.value(walk.use(loader), "model_name")) if loader else None
    stem = file_stem(name or "")
    origin.upscaler = stem or origin.upscaler
    told = _MODEL_SCALE.search(stem)
    factor = int(told.group(1) or told.group(2)) if told else 4
    if not told and not any(kind == "size" for kind, *_ in origin.resizes):
        walk.note(node, "How much the model enlarges is not in its name; 4 is taken.")
    origin.resizes.insert(0, ("scale", factor))


def _read_encoder(walk: Walk, node: Node, origin: Origin) -> None:
    if node.type == "VAEEncodeForInpaint":
        _read_mask(walk, node, origin, "fill")
        if as_integer(walk.value(node, "grow_mask_by")):
            walk.note(node, "The mask is not grown here.", ("grow_mask_by",))
    elif node.type == "InpaintModelConditioning":
        _read_mask(walk, node, origin, "original")


def _read_mask(walk: Walk, node: Node, origin: Origin, content: str) -> None:
    origin.masked, origin.masked_content = True, content
    for _ in range(HOPS):
        source = walk.graph.source(node, "mask", "image")
        if source is None:
            return
        if source.type in (*LOADERS, "LoadImageMask"):
            walk.use(source)
            return
        walk.note(source, "What it does to the mask is not known here.")
        node = source
