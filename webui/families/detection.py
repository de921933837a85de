"""Facts that several families read off a header in the same way. Headers here have canonical names."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
import struct
from dataclasses import dataclass
from typing import Any

from webui.families.base import Defaults
from webui.weights.canonical import CLIP, EMBEDDERS, OPEN_CLIP, UNET, VAE
from webui.weights.tensors import Header

VARIANTS = {4: "text", 9: "inpaint", 8: "edit"}
SIDECAR_LIMIT = 1 << 16
# Networks of the same layout that need more than these families give them.
FOREIGN_MARKS = (
    "encoder_hid_proj.weight",  # Kolors
    "embedder.model.ln_final.weight",  # SD 2.1 unCLIP
    "input_blocks.1.1.time_stack.0.attn1.to_q.weight",  # Stable Video Diffusion
    "depth_model.model.pretrained.act_postprocess3.0.project.0.bias",  # SD 2 depth
)


@dataclass(frozen=True)
class UNetFacts:
    """What the UNet's shapes say. `context` and `pooled` are widths, 0 for none."""

    in_channels: int
    out_channels: int
    context: int
    pooled: int
    linear: bool


def unet_facts(header: Header) -> UNetFacts | None:
    """Facts of a UNet in the latent diffusion layout, or None when the file has none."""
    shapes = header.shapes(UNET)
    wanted = ("input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight", "output_blocks.0.0.in_layers.0.weight")
    if not all(name in shapes for name in wanted):
        return None
    contexts = {shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight") and len(shape) == 2}
    linear = {len(shape) == 2 for name, shape in shapes.items() if name.endswith(".1.proj_in.weight")}
    label = shapes.get("label_emb.0.0.weight", (0, 0))
    first = shapes["input_blocks.0.0.weight"]
    if len(contexts) != 1 or len(linear) != 1 or len(first) != 4 or len(label) != 2:
        return None
    return UNetFacts(first[1], shapes["out.2.weight"][0], contexts.pop(), label[1], linear.pop())


def is_supported_unet(header: Header) -> UNetFacts | None:
    """The UNet's facts when these families can run it: four channels out, a known number in, no foreign parts."""
    facts = unet_facts(header)
    if facts is None or facts.out_channels != 4 or facts.in_channels not in VARIANTS:
        return None
    foreign = any(place + mark in header.tensors for mark in FOREIGN_MARKS for place in ("", UNET, "unet/"))
    return None if foreign else facts


def text_layouts(header: Header) -> frozenset[str]:
    """Which text encoders the file holds: "sd1", "sd2", "xl-l", "xl-g", "single-g"."""
    marks = {
        "sd1": CLIP + "embeddings.token_embedding.weight",
        "sd2": OPEN_CLIP + "token_embedding.weight",
        "xl-l": EMBEDDERS + "0.transformer.text_model.embeddings.token_embedding.weight",
        "xl-g": EMBEDDERS + "1.model.token_embedding.weight",
        "single-g": EMBEDDERS + "0.model.token_embedding.weight",
    }
    return frozenset(kind for kind, name in marks.items() if name in header.tensors)


def parts(header: Header) -> tuple[str, ...]:
    """Which of "unet", "vae", "text" the file holds."""
    present = {
        "unet": UNET + "input_blocks.0.0.weight" in header.tensors,
        "vae": VAE + "decoder.conv_in.weight" in header.tensors,
        "text": bool(text_layouts(header)),
    }
    return tuple(name for name, found in present.items() if found)


def native_size(header: Header, default: int) -> int:
    """Side in pixels of the square that the network was trained on, from the metadata or the family's default."""
    match = re.fullmatch(r"\s*(\d{2,5})(?:\s*[xX]\s*(\d{2,5}))?\s*", header.metadata.get("emulsion.native_size", ""))
    match = match or re.fullmatch(
        r"\s*(\d{2,5})\s*[xX]\s*(\d{2,5})\s*", header.metadata.get("modelspec.resolution", "")
    )
    if match is None:
        return default
    width, height = int(match[1]), int(match[2] or match[1])
    return max(64, round(math.sqrt(width * height) / 8) * 8)


def own_defaults(header: Header, usual: Defaults) -> Defaults:
    """Good first settings: the family's, or what the file's metadata say (`emulsion.defaults`, a JSON object)."""
    try:
        said = json.loads(header.metadata.get("emulsion.defaults", "{}"))
    except (ValueError, RecursionError):
        return usual
    if not isinstance(said, dict):
        return usual
    kinds = {field.name: type(getattr(usual, field.name)) for field in dataclasses.fields(Defaults)}
    fitting = {name: value for name, value in said.items() if name in kinds and type(value) is kinds[name]}
    return dataclasses.replace(usual, **fitting)


def own_concepts(header: Header) -> tuple[str, ...]:
    """The things that a file's metadata name as all that it can draw (`emulsion.concepts`, a JSON list)."""
    try:
        said = json.loads(header.metadata.get("emulsion.concepts", "[]"))
    except (ValueError, RecursionError):
        return ()
    return tuple(one for one in said if isinstance(one, str))[:1000] if isinstance(said, list) else ()


def said_prediction(header: Header) -> str | None:
    """What a sidecar file, the metadata or a folder's scheduler say of the prediction: "epsilon", "v" or None."""
    if "v_pred" in header.tensors:
        return "v"
    sidecar = re.search(r"""^\s*parameterization\s*:\s*["']?(v|eps)\b""", _sidecar(header), re.MULTILINE)
    if sidecar:
        return "v" if sidecar[1] == "v" else "epsilon"
    said = header.metadata.get("modelspec.prediction_type", "").lower()
    said = said or str(scheduler(header).get("prediction_type", ""))
    if said in ("v", "v_prediction", "v-prediction"):
        return "v"
    if said in ("epsilon", "eps"):
        return "epsilon"
    return "v" if header.metadata.get("modelspec.architecture", "").endswith("-v") else None


def zero_terminal_snr(header: Header) -> bool:
    """Whether the network was trained on noise levels that end in pure noise (Lin et al. 2023)."""
    said = header.metadata.get("ss_zero_terminal_snr", "").lower() == "true"
    return said or "ztsnr" in header.tensors or scheduler(header).get("rescale_betas_zero_snr") is True


def betas(header: Header) -> tuple[float, float, int]:
    """First and last beta and their number; a diffusers folder's scheduler may differ from the usual ones."""
    config = scheduler(header)
    if config.get("beta_schedule", "scaled_linear") != "scaled_linear":
        return (0.00085, 0.012, 1000)
    return (
        float(config.get("beta_start", 0.00085)),
        float(config.get("beta_end", 0.012)),
        int(config.get("num_train_timesteps", 1000)),
    )


def scheduler(header: Header) -> dict[str, Any]:
    """The allowed settings of a diffusers folder's scheduler, empty for files."""
    return dict(json.loads(header.metadata.get("scheduler/config", "{}")))


def read_small(header: Header, name: str) -> list[float] | None:
    """Values of a small stored tensor, read from the file; None when it is missing or cannot be read."""
    info, place = header.tensors.get(name), header.places.get(name)
    if info is None or place is None or place.packed or place.length > 1 << 16:
        return None
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            values = _floats(file.read(place.length), info.dtype)
    except OSError:
        return None
    return values if values and all(map(math.isfinite, values)) else None


def spread(header: Header, name: str) -> float | None:
    """Standard deviation of a small stored tensor, None when it cannot be read."""
    values = read_small(header, name)
    return statistics.pstdev(values) if values else None


def _floats(data: bytes, dtype: str) -> list[float]:
    if dtype == "BF16":  # the upper half of a float32
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data) - 1, 2))
    form, width = {"F32": ("f", 4), "F16": ("e", 2), "BF16": ("f", 4), "F64": ("d", 8)}.get(dtype, ("", 1))
    return list(struct.unpack(f"<{len(data) // width}{form}", data[: len(data) // width * width])) if form else []


def _sidecar(header: Header) -> str:
    path = header.path.with_suffix(".yaml")
    if header.container == "diffusers":
        return ""
    try:
        with path.open("rb") as file:
            return file.read(SIDECAR_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
