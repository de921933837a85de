"""What shapes a UNet, and how to read it off a file's tensor shapes.

A network is described as its file lays it out: blocks of layers. Cut and widened nets (SSD-1B, KOALA, the starter) need
no special case, because nothing is derived from a model's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webui.errors import IncompatibleModel

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """One layer of a block: `kind` is "conv", "residual", "transformer", "down" or "up"; `channels` those it returns;
    `depth` the number of transformer layers."""

    kind: str
    channels: int
    depth: int = 0


Block = tuple[Layer, ...]


@dataclass(frozen=True)
class UNetConfig:
    """Everything that shapes the network. `from_shapes` reads it off a file, `regular` writes it for a new net.

    `heads` is the number of attention heads everywhere, or None when each head is `head_width` wide.
    `pooled_width` is the width of the pooled conditioning (label_emb), 0 for none.
    """

    input_blocks: tuple[Block, ...]
    middle_block: Block
    output_blocks: tuple[Block, ...]
    in_channels: int = 4
    out_channels: int = 4
    embedding_width: int = 1280
    context_width: int = 768
    pooled_width: int = 0
    linear_projections: bool = False
    heads: int | None = 8
    head_width: int = 64

    @property
    def channels(self) -> int:
        """Channels of the first convolution and of the last layer, also the width of the timestep's sinusoids."""
        return self.input_blocks[0][0].channels

    def heads_of(self, channels: int) -> int:
        """Attention heads in a transformer of `channels`. Raises IncompatibleModel when they do not divide it."""
        heads = self.heads or max(1, channels // self.head_width)
        if channels % heads:
            raise IncompatibleModel(
                f"A UNet block has {channels} channels.", f"A multiple of {heads} heads was expected."
            )
        return heads

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> UNetConfig:
        """Read the network off tensor shapes (names without any prefix, `input_blocks.0.0.weight` …).

        Raises IncompatibleModel when the names are not those of such a network.
        """
        if "input_blocks.0.0.weight" not in shapes or "time_embed.0.weight" not in shapes:
            raise IncompatibleModel(
                "The UNet has no input_blocks.0.0.weight or no time_embed.0.weight.",
                "Names in the layout of the latent diffusion authors were expected.",
            )
        contexts = {shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight")}
        if len(contexts) > 1:
            raise IncompatibleModel(f"The UNet's text attention has several widths: {sorted(contexts)}.")
        linear = any(len(s) == 2 for name, s in shapes.items() if name.endswith(".proj_in.weight"))
        return cls(
            input_blocks=_blocks(shapes, "input_blocks"),
            middle_block=_block(shapes, "middle_block"),
            output_blocks=_blocks(shapes, "output_blocks"),
            in_channels=shapes["input_blocks.0.0.weight"][1],
            out_channels=shapes["out.2.weight"][0],
            embedding_width=shapes["time_embed.0.weight"][0],
            context_width=contexts.pop() if contexts else 0,
            pooled_width=shapes["label_emb.0.0.weight"][1] if "label_emb.0.0.weight" in shapes else 0,
            linear_projections=linear,
            # Nets with convolutions around their transformers (SD 1) have 8 heads, later ones heads of width 64.
            heads=None if linear else 8,
        )

    @classmethod
    def regular(
        cls,
        channels: int = 320,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        depths: Sequence[int] = (1, 1, 1, 0),
        middle_depth: int = 1,
        residual_blocks: int = 2,
        in_channels: int = 4,
        out_channels: int = 4,
        context_width: int = 768,
        pooled_width: int = 0,
        linear_projections: bool = False,
    ) -> UNetConfig:
        """The plain pattern: equally many residual blocks a level, `depths[level]` transformer layers after each.

        The defaults are Stable Diffusion 1.
        """
        inputs: list[Block] = [(Layer("conv", channels),)]
        outputs: list[Block] = []
        for level, (multiplier, depth) in enumerate(zip(multipliers, depths, strict=True)):
            width = channels * multiplier
            attention = (Layer("transformer", width, depth),) if depth else ()
            inputs += [(Layer("residual", width), *attention)] * residual_blocks
            if level < len(multipliers) - 1:
                inputs.append((Layer("down", width),))
            level_out: list[Block] = [(Layer("residual", width), *attention)] * (residual_blocks + 1)
            if level > 0:
                level_out[-1] = (*level_out[-1], Layer("up", width))
            outputs = level_out + outputs
        width = channels * multipliers[-1]
        transformer = (Layer("transformer", width, middle_depth),) if middle_depth else ()
        return cls(
            tuple(inputs),
            (Layer("residual", width), *transformer, Layer("residual", width)),
            tuple(outputs),
            in_channels,
            out_channels,
            4 * channels,
            context_width,
            pooled_width,
            linear_projections,
            None if linear_projections else 8,
        )


def _blocks(shapes: Shapes, part: str) -> tuple[Block, ...]:
    numbers = {int(name.split(".")[1]) for name in shapes if name.startswith(part + ".")}
    if numbers != set(range(len(numbers))):
        raise IncompatibleModel(f"The UNet's {part} are numbered {sorted(numbers)}.", "No number may be missing.")
    return tuple(_block(shapes, f"{part}.{number}") for number in range(len(numbers)))


def _block(shapes: Shapes, prefix: str) -> Block:
    depth = prefix.count(".") + 1
    numbers = {int(name.split(".")[depth]) for name in shapes if name.startswith(prefix + ".")}
    return tuple(_layer(shapes, f"{prefix}.{number}.") for number in range(len(numbers)))


def _layer(shapes: Shapes, prefix: str) -> Layer:
    if prefix + "in_layers.0.weight" in shapes:
        return Layer("residual", shapes[prefix + "out_layers.3.weight"][0])
    if prefix + "proj_in.weight" in shapes:
        found = (re.match(r"transformer_blocks\.(\d+)\.", n[len(prefix) :]) for n in shapes if n.startswith(prefix))
        return Layer("transformer", shapes[prefix + "norm.weight"][0], len({m[1] for m in found if m}))
    for kind, name in (("down", "op.weight"), ("up", "conv.weight"), ("conv", "weight")):
        if prefix + name in shapes:
            return Layer(kind, shapes[prefix + name][0])
    raise IncompatibleModel(
        f"The UNet's {prefix.rstrip('.')} is of no known kind.",
        "A convolution, residual block, transformer, downsampling or upsampling was expected.",
    )


__all__ = ["Block", "Layer", "UNetConfig"]
