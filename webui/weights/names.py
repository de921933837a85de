"""One table for both spellings of a network's tensor names: diffusers' and the original authors' (LDM).

Every function returns {name in one spelling: name in the other}; what has no counterpart is left out. The networks'
own names are the authors'; the correspondence is that of the published conversions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

Pairs = list[tuple[str, str]]

UNET_ENDS: Pairs = [
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("mid_block.attentions.0", "middle_block.1"),
]
UNET_RESIDUAL: Pairs = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]
VAE_RESIDUAL: Pairs = [
    *[(part, part) for part in ("norm1", "conv1", "norm2", "conv2")],
    ("conv_shortcut", "nin_shortcut"),
]
# The newest diffusers spelling comes first; the reverse direction writes it.
VAE_ATTENTION: Pairs = [
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
    ("query", "q"),
    ("key", "k"),
    ("value", "v"),
    ("proj_attn", "proj_out"),
]
TEXT_LAYER: Pairs = [
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
]
TEXT_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",  # transposed: a Linear's weight against a matrix on the right
}


def unet_to_ldm(names: Collection[str]) -> dict[str, str]:
    """UNet names from diffusers' to the authors' spelling."""
    return _rename(names, _unet_pairs(*_diffusers_pattern(names)))


def unet_to_diffusers(names: Collection[str]) -> dict[str, str]:
    """UNet names from the authors' to diffusers' spelling."""
    return _rename(names, _reversed(_unet_pairs(*_ldm_pattern(names))))


def vae_to_ldm(names: Collection[str]) -> dict[str, str]:
    """Autoencoder names from diffusers' (new or old attention names) to the authors' spelling."""
    levels = 1 + _highest(names, r"(?:encoder\.down|decoder\.up)_blocks\.(\d+)\.")
    return _rename(names, _vae_pairs(levels, 1 + _highest(names, r".*_blocks\.\d+\.resnets\.(\d+)\.")))


def vae_to_diffusers(names: Collection[str]) -> dict[str, str]:
    """Autoencoder names from the authors' to diffusers' (new) spelling."""
    levels = 1 + _highest(names, r"(?:encoder\.down|decoder\.up)\.(\d+)\.")
    return _rename(names, _reversed(_vae_pairs(levels, 1 + _highest(names, r".*\.\d+\.block\.(\d+)\."))))


def text_to_openclip(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """OpenCLIP's names and the Hugging Face names that they are made of: three in a row for the fused projection.

    Names are without `text_model.`; `text_projection` needs a transposition besides.
    """
    present = set(names)
    result: dict[str, tuple[str, ...]] = {theirs: (ours,) for ours, theirs in TEXT_ENDS.items() if ours in present}
    for layer in range(1 + _highest(present, r"encoder\.layers\.(\d+)\.")):
        source, target = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            result[f"{target}.attn.in_proj_{kind}"] = tuple(f"{source}.self_attn.{x}_proj.{kind}" for x in "qkv")
            for ours, theirs in TEXT_LAYER:
                result[f"{target}.{theirs}.{kind}"] = (f"{source}.{ours}.{kind}",)
    return {target: sources for target, sources in result.items() if present.issuperset(sources)}


def _highest(names: Iterable[str], pattern: str) -> int:
    """The highest number that `pattern` captures, -1 when it never matches."""
    return max((int(match[1]) for name in names if (match := re.match(pattern, name))), default=-1)


def _rename(names: Iterable[str], pairs: Pairs) -> dict[str, str]:
    table = dict(reversed(pairs))  # the first of equal keys wins
    result = {}
    for name in names:
        head, tail = name, ""
        while head and head not in table:
            head, _, last = head.rpartition(".")
            tail = f".{last}{tail}"
        if head:
            result[name] = table[head] + tail
    return result


def _reversed(pairs: Pairs) -> Pairs:
    return [(right, left) for left, right in pairs]


def _joined(left: str, right: str, inner: Pairs) -> Pairs:
    return [(f"{left}.{a}", f"{right}.{b}") for a, b in inner]


def _diffusers_pattern(names: Collection[str]) -> tuple[int, int, set[int]]:
    """Levels, residual blocks a level, and the up levels that have attention."""
    levels = 1 + _highest(names, r"down_blocks\.(\d+)\.")
    blocks = 1 + _highest(names, r"down_blocks\.\d+\.resnets\.(\d+)\.")
    attended = {int(m[1]) for n in names if (m := re.match(r"up_blocks\.(\d+)\.attentions\.", n))}
    return levels, blocks, attended


def _ldm_pattern(names: Collection[str]) -> tuple[int, int, set[int]]:
    downs = sorted({int(m[1]) for n in names if (m := re.match(r"input_blocks\.(\d+)\.0\.op\.", n))})
    inputs = 1 + _highest(names, r"input_blocks\.(\d+)\.")
    blocks = (downs[0] if downs else inputs) - 1
    levels = len(downs) + 1
    last = {int(m[1]) for n in names if (m := re.match(r"output_blocks\.(\d+)\.1\.(?:norm|proj_in)\.", n))}
    return levels, blocks, {index // (blocks + 1) for index in last if index % (blocks + 1) == blocks}


def _unet_pairs(levels: int, blocks: int, attended: set[int]) -> Pairs:
    pairs = list(UNET_ENDS)
    pairs += _joined("mid_block.resnets.0", "middle_block.0", UNET_RESIDUAL)
    pairs += _joined("mid_block.resnets.1", "middle_block.2", UNET_RESIDUAL)
    step = blocks + 1  # a level's blocks and its change of size
    for level in range(levels):
        for block in range(blocks):
            target = f"input_blocks.{1 + step * level + block}"
            pairs += _joined(f"down_blocks.{level}.resnets.{block}", f"{target}.0", UNET_RESIDUAL)
            pairs.append((f"down_blocks.{level}.attentions.{block}", f"{target}.1"))
        pairs.append((f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{step * (level + 1)}.0.op"))
        for block in range(step):
            target = f"output_blocks.{step * level + block}"
            pairs += _joined(f"up_blocks.{level}.resnets.{block}", f"{target}.0", UNET_RESIDUAL)
            pairs.append((f"up_blocks.{level}.attentions.{block}", f"{target}.1"))
        last = f"output_blocks.{step * level + blocks}.{2 if level in attended else 1}"
        if level < levels - 1:
            pairs.append((f"up_blocks.{level}.upsamplers.0.conv", f"{last}.conv"))
    return sorted(pairs, key=lambda pair: not pair[1].endswith(".conv"))  # an upsampling's `.1.conv` before `.1`


def _vae_pairs(levels: int, blocks: int) -> Pairs:
    pairs: Pairs = [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    for part, theirs, change in (("encoder", "down", "downsample"), ("decoder", "up", "upsample")):
        pairs += [(f"{part}.conv_in", f"{part}.conv_in"), (f"{part}.conv_out", f"{part}.conv_out")]
        pairs.append((f"{part}.conv_norm_out", f"{part}.norm_out"))
        pairs += _joined(f"{part}.mid_block.attentions.0", f"{part}.mid.attn_1", VAE_ATTENTION)
        for number in (0, 1):
            pairs += _joined(f"{part}.mid_block.resnets.{number}", f"{part}.mid.block_{number + 1}", VAE_RESIDUAL)
        for level in range(levels):
            ours = f"{part}.{theirs}_blocks.{level}"
            target = f"{part}.{theirs}.{level if theirs == 'down' else levels - 1 - level}"
            for block in range(blocks):
                pairs += _joined(f"{ours}.resnets.{block}", f"{target}.block.{block}", VAE_RESIDUAL)
            pairs.append((f"{ours}.{change}rs.0.conv", f"{target}.{change}.conv"))
    return pairs
