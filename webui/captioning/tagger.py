"""WD taggers: a vision transformer that gives each of some ten thousand tags of drawings a probability.

Networks: Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", in the key layout of timm, averaged over all
patches; `SmilingWolf/wd-vit-tagger-v3` (Apache-2.0) is one. It sees white squares in the order blue, green, red.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from webui.captioning.preparing import normalised, read_object, squared
from webui.errors import DamagedFile, FileError, UnknownModel
from webui.imaging.resize import flattened
from webui.weights.assign import fill, without_memory
from webui.weights.reader import open_weights

if TYPE_CHECKING:
    from webui.captioning.loading import Describe

HEAD_WIDTH = 64  # of all vision transformers of that family
EPSILON = 1e-6
GENERAL, CHARACTER = "0", "4"  # categories of tags; ratings and others are left out
LEAST = {GENERAL: 0.35, CHARACTER: 0.75}  # probabilities from which a tag is told: the authors' own
HALF = (0.5, 0.5, 0.5)
WORD = re.compile(r"[a-z0-9]{2}")  # what tags that are faces, such as ^_^ and o_o, have not


@dataclass(frozen=True)
class Shape:
    """The network's measures, as its tensors tell them."""

    width: int
    depth: int
    hidden: int  # between the two layers of a block
    patch: int
    side: int  # patches along a side of the picture
    tags: int


class VisionTransformer(nn.Module):
    """Names as in timm's files."""

    def __init__(self, shape: Shape, tanh: bool = False):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, shape.width, shape.patch, shape.patch)})
        self.pos_embed = nn.Parameter(torch.empty(1, shape.side**2, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.hidden, tanh) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, EPSILON)
        self.head = nn.Linear(shape.width, shape.tags)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in [-1, 1] -> logits [B, tags]."""
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2) + self.pos_embed  # [B, patches, width]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(dim=1))


class Block(nn.Module):
    """Attention and two layers, each beside what it is added to."""

    def __init__(self, width: int, hidden: int, tanh: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.approximate = "tanh" if tanh else "none"

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, -1, HEAD_WIDTH))  # [B, T, 3, heads, 64]
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, T, 64] each
        x = x + self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)), approximate=self.approximate))


def load(folder: Path, device: torch.device) -> Describe:
    """A tagger of a model folder: tags by falling probability, with commas. Raises FileErrors."""
    tags = read_tags(folder / "selected_tags.csv")
    network, side = _network(folder, len(tags))
    network.to(device).eval()

    def describe(picture: Image.Image) -> str:
        pixels = normalised(squared(flattened(picture)), (side, side), HALF, HALF).flip(1)  # [1, 3, side, side] as BGR
        with torch.inference_mode():
            shares = network(pixels.to(device)).sigmoid()[0].tolist()
        return ", ".join(written(name) for name in told(tags, shares))

    return describe


def told(tags: list[tuple[str, str]], shares: list[float]) -> list[str]:
    """Names of the tags that are probable enough, the surest first. `tags`: (name, category)."""
    found = [(share, name) for (name, kind), share in zip(tags, shares) if share >= LEAST.get(kind, 2.0)]
    return [name for share, name in sorted(found, key=lambda one: -one[0])]


def written(tag: str) -> str:
    """A tag as a prompt wants it: with spaces, its brackets plain."""
    words = tag.replace("_", " ") if WORD.search(tag) else tag
    return words.replace("(", r"\(").replace(")", r"\)")


def read_tags(file: Path) -> list[tuple[str, str]]:
    """(name, category) of each tag in the network's order. Raises DamagedFile."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            tags = [(row["name"], row["category"]) for row in csv.DictReader(lines)]
    except (OSError, ValueError, KeyError, csv.Error):
        tags = []
    if not tags:
        raise DamagedFile(f"{file.parent.name}/{file.name} is no list of tags.", "", "Fetch it again.")
    return tags


def _network(folder: Path, tags: int) -> tuple[VisionTransformer, int]:
    """The network with its weights on the CPU, and the side of its pictures in pixels."""
    config = read_object(folder / "config.json")
    file = folder / "model.safetensors"
    if not file.is_file():
        raise FileError(
            f"{folder.name} holds no weights in safetensors.", "Wanted: model.safetensors.", "Fetch it too."
        )
    arguments: Any = config.get("model_args")
    tanh = isinstance(arguments, dict) and arguments.get("act_layer") == "gelu_tanh"
    with open_weights(file) as weights:
        shape = _shape(weights.header.shapes(), folder.name)
        if shape.tags != tags:
            raise DamagedFile(f"{folder.name} knows {shape.tags} tags, its list has {tags}.", "", "Fetch both again.")
        with without_memory():
            network = VisionTransformer(shape, tanh)
        thunks = {name: weights.tensor(name) for name in weights.header.tensors}
        unused = fill(network, thunks, torch.float32, source=folder.name)
    if unused.names:
        raise UnknownModel(
            f"{folder.name} has parts that are not known: {', '.join(list(unused.names)[:3])}.",
            "Wanted: a plain vision transformer such as wd-vit-tagger-v3.",
        )
    return network, shape.side * shape.patch


def _shape(shapes: dict[str, tuple[int, ...]], name: str) -> Shape:
    try:
        width, _, patch, _ = shapes["patch_embed.proj.weight"]
        patches, hidden, tags = shapes["pos_embed"][1], shapes["blocks.0.mlp.fc1.weight"][0], shapes["head.weight"][0]
    except (KeyError, ValueError, IndexError):
        wanted = "Wanted: a plain vision transformer such as wd-vit-tagger-v3."
        raise UnknownModel(f"{name} holds another network.", wanted) from None
    depth = len({part.split(".")[1] for part in shapes if part.startswith("blocks.")})
    return Shape(width, depth, hidden, patch, round(patches**0.5), tags)
