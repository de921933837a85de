"""Published factors that turn latents into a rough picture, one row of red, green, blue for each channel.

Fitted by the community on decoded pictures; ComfyUI publishes them. A checkpoint with an autoencoder of its own can
bring its own in the metadata (`emulsion.preview_factors`: rows of three numbers, an extra row is the bias).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

from webui.families.base import LatentFormat
from webui.families.vae import reduction
from webui.weights.tensors import Header

SD1_LATENTS = LatentFormat(
    scale=0.18215,
    preview_factors=(
        (0.3512, 0.2297, 0.3227),
        (0.3250, 0.4974, 0.2350),
        (-0.2829, 0.1762, 0.2721),
        (-0.2120, -0.2616, -0.7177),
    ),
    tiny_decoder="taesd_decoder",
)
SDXL_LATENTS = LatentFormat(
    scale=0.13025,
    preview_factors=(
        (0.3651, 0.4232, 0.4341),
        (-0.2533, -0.0042, 0.1068),
        (0.1076, 0.1111, -0.0362),
        (-0.3165, -0.2492, -0.2188),
    ),
    preview_bias=(0.1084, -0.0175, -0.0011),
    tiny_decoder="taesdxl_decoder",
    overflows=True,
)

PLAYGROUND_LATENTS = replace(
    SDXL_LATENTS,
    scale=0.5,
    mean=(-1.6574, 1.886, -1.383, 2.5155),
    deviation=(8.4927, 5.9022, 6.5498, 5.2299),
    preview_factors=(
        (0.3920, 0.4054, 0.4549),
        (-0.2634, -0.0196, 0.0653),
        (0.0568, 0.1687, -0.0755),
        (-0.3112, -0.2359, -0.2076),
    ),
    preview_bias=(0.0, 0.0, 0.0),
)


def with_own_factors(latents: LatentFormat, header: Header) -> LatentFormat:
    """The format with what the file's metadata say of its own autoencoder (scale, preview factors, tiny decoder)."""
    latents = replace(latents, factor=reduction(header) or latents.factor)
    config = json.loads(header.metadata.get("vae/config", "{}"))
    scale = config.get("scaling_factor", latents.scale)
    if isinstance(scale, int | float) and math.isfinite(scale) and scale > 0:
        latents = replace(latents, scale=float(scale))
    name = header.metadata.get("emulsion.tiny_decoder", "")
    if name and name.replace("_", "").replace("-", "").isalnum():
        latents = replace(latents, tiny_decoder=name)
    rows = _rows(header.metadata.get("emulsion.preview_factors", ""))
    if len(rows) in (latents.channels, latents.channels + 1):
        bias = rows[latents.channels] if len(rows) > latents.channels else (0.0, 0.0, 0.0)
        latents = replace(latents, preview_factors=tuple(rows[: latents.channels]), preview_bias=bias)
    return latents


def _rows(text: str) -> list[tuple[float, float, float]]:
    try:
        rows = json.loads(text) if text else []
        return [(float(r), float(g), float(b)) for r, g, b in rows]
    except (ValueError, TypeError, RecursionError):
        return []  # a broken preview hint never keeps a checkpoint from loading
