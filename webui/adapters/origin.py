"""Which kind of checkpoint an adapter file looks made for: from its metadata, else from names and shapes."""

from __future__ import annotations

from webui.adapters.roles import split_name
from webui.weights.tensors import Header

VERSIONS = (  # beginnings of `ss_base_model_version` and of `modelspec.architecture`
    ("sd_v1", "Stable Diffusion 1"),
    ("sd_v2", "Stable Diffusion 2"),
    ("sdxl", "Stable Diffusion XL"),
    ("flux", "Flux"),
    ("sd3", "Stable Diffusion 3"),
    ("stable-diffusion-v1", "Stable Diffusion 1"),
    ("stable-diffusion-v2", "Stable Diffusion 2"),
    ("stable-diffusion-xl", "Stable Diffusion XL"),
    ("stable-diffusion-3", "Stable Diffusion 3"),
)
PIECES = (  # parts of names that one kind of network alone has
    ("double_blocks", "Flux"),
    ("single_blocks", "Flux"),
    ("single_transformer_blocks", "Flux"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("lora_prior_", "Stable Cascade"),
    ("lora_te2_", "Stable Diffusion XL"),
    ("text_encoder_2.", "Stable Diffusion XL"),
)
CONTEXT_WIDTHS = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    1280: "the Stable Diffusion XL refiner",
    2048: "Stable Diffusion XL",
}


def made_for(header: Header) -> str:
    """The name of the kind, or "" where nothing tells."""
    for key in ("ss_base_model_version", "modelspec.architecture"):
        said = header.metadata.get(key, "").lower()
        for start, label in VERSIONS:
            if said.startswith(start):
                return label
    for piece, label in PIECES:
        if any(piece in name for name in header.tensors):
            return label
    width = context_width(header)
    if width:
        return CONTEXT_WIDTHS.get(width, "")
    return "Stable Diffusion 2" if header.metadata.get("ss_v2") == "True" else ""


def context_width(header: Header) -> int:
    """Width of the text that the network reads, from a LoRA's layers there; 0 where nothing tells."""
    for name, info in header.tensors.items():
        if "attn2" in name and ("to_k" in name or "to_v" in name) and len(info.shape) > 1:
            found = split_name(name)  # "down" alone stands in the names of half the layers
            if found is not None and found[1] == "down":
                return info.shape[1]
    return 0
