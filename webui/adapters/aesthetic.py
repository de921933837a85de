"""Aesthetic gradients: steering a CLIP text encoder towards pictures before it reads a prompt.

Gallego 2022, "Personalizing text-to-image generation via aesthetic gradients", as A1111's extension of that name does
it. A file holds the mean of CLIP's features of some pictures. A copy of the text encoder is moved a few steps so that
its features of the prompt come nearer to them; what the copy then makes of the prompt is mixed in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from webui.errors import DamagedFile, IncompatibleModel, UnknownModel
from webui.weights.tensors import FLOAT_DTYPES, Header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from webui.nn.clip import Replacements

MOST_ROWS = 4096  # of features in one file; usually it is one
NOT_MOVED = ("text_projection", "logit_scale")  # parameters that map into CLIP's common space: the pictures are there
MATRIX, LINEAR = (
    "text_projection",
    "text_projection.weight",
)  # [width, features], and [features, width] as torch's layer
STRAIGHT = 1e-6  # sines of angles below which the sphere is flat


def target_shape(header: Header) -> tuple[int, int]:
    """Rows and width of the features in a file. Raises UnknownModel for a file that holds something else."""
    found = [info for info in header.tensors.values() if info.dtype in FLOAT_DTYPES]
    if len(header.tensors) != 1 or not found or len(found[0].shape) not in (1, 2) or not found[0].count:
        raise UnknownModel(f"{header.path.name} is no aesthetic embedding.", "One tensor [1, width] was wanted.")
    shape = found[0].shape
    rows, width = shape if len(shape) == 2 else (1, shape[0])
    if rows > MOST_ROWS:
        raise UnknownModel(f"{header.path.name} has {rows} rows.", f"At most {MOST_ROWS} are an aesthetic embedding.")
    return rows, width


def read_target(header: Header) -> Tensor:
    """The features [n, D] of a file, each of length 1, in float32. Raises DamagedFile for what has no direction."""
    import torch

    from webui.weights.reader import Weights

    target_shape(header)
    with Weights(header) as weights:
        target = torch.atleast_2d(weights.tensor(next(iter(header.tensors))).float().clone())
    if not bool(target.isfinite().all()) or not bool(target.norm(dim=1).min() > 0):
        raise DamagedFile(f"{header.path.name} is damaged: it holds values that are no numbers, or only zeros.")
    return unit(target)


def projections(header: Header, width: int) -> dict[str, int]:
    """Tensors that map a text encoder of this width into CLIP's common space: number of features by name."""
    found = {}
    for name, info in header.tensors.items():
        if len(info.shape) != 2 or info.dtype not in FLOAT_DTYPES:
            continue
        if name.endswith(LINEAR) and info.shape[1] == width:
            found[name] = info.shape[0]
        elif name.rpartition(".")[2] == MATRIX and info.shape[0] == width:
            found[name] = info.shape[1]
    return found


def read_projection(header: Header, name: str) -> Tensor:
    """The matrix [width, features] of one of `projections`, in float32. Raises DamagedFile for what cannot be one."""
    import torch

    from webui.weights.reader import Weights

    with Weights(header) as weights:
        matrix = weights.tensor(name).float().clone()
    matrix = matrix.T if name.endswith(LINEAR) else matrix
    if not bool(matrix.isfinite().all()) or torch.equal(
        matrix, torch.eye(*matrix.shape)
    ):  # what programs save for none
        raise DamagedFile(f"{name} of {header.path.name} is no text projection that was trained.")
    return matrix


def unit(x: Tensor) -> Tensor:
    """Rows of length 1."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def slerp(low: Tensor, high: Tensor, amount: float) -> Tensor:
    """Between `low` at 0 and `high` at 1 along great circles of dimension 1, as in the extension: [B, N] or [B, N, D].

    The angle is that of the directions, the lengths are mixed with the same weights. Where the two point the same way,
    it is the straight line.
    """
    import torch

    directions = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (low, high))
    angle = torch.acos(torch.mul(*directions).sum(1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    flat = sine < STRAIGHT
    sine = sine.masked_fill(flat, 1.0)
    first = torch.where(flat, 1.0 - amount, torch.sin((1.0 - amount) * angle) / sine)
    second = torch.where(flat, amount, torch.sin(amount * angle) / sine)
    return first * low + second * high


def shifted(target: Tensor, words: Tensor, angle: float, negative: bool) -> Tensor:
    """The pictures' features [n, D] moved towards those of words [1, D], or away from them."""
    words = words.expand(target.shape)
    return slerp(target, unit(target - words) if negative else words, angle)


Input = tuple["Tensor", "Replacements | None"]  # tokens [1, T] and what textual inversion puts in their place


def features(encoder: nn.Module, projection: Tensor | None, given: Input) -> Tensor:
    """A text in CLIP's common space, [1, D]; `projection` [width, D] where the encoder has none of its own."""
    tokens, replacements = given
    pooled = encoder(tokens, replacements).pooled
    return pooled if projection is None else pooled @ projection


def moved_encoder(
    encoder: nn.Module,
    projection: Tensor | None,
    inputs: Sequence[Input],
    target: Callable[[nn.Module], Tensor],
    steps: int,
    learning_rate: float,
    check: Callable[[], None],
) -> nn.Module:
    """A copy of a text encoder in float32 after `steps` of Adam towards `target(copy)` [n, D]; the original stays.

    The loss is the mean of -cos between every input and every row of the target. `check` is called before every step
    and may raise. The same on every run: nothing is drawn, and attention takes torch's plain formula, whose gradients
    do not depend on the order of threads.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        moved = copy.deepcopy(encoder).float()
        moved.compute_dtype = None  # type: ignore[assignment] # that of the weights
        with torch.no_grad():
            wanted = target(moved)  # [n, D]
        names = [name for name, _ in moved.named_parameters() if not name.startswith(NOT_MOVED)]
        parameters = [moved.get_parameter(name).requires_grad_() for name in names]
        fused = parameters[0].device.type in ("cpu", "cuda")  # a third less work
        optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=fused)
        for _ in range(steps):
            check()
            optimiser.zero_grad()
            for one in inputs:
                loss = -(unit(features(moved, projection, one)) @ wanted.T).mean() / len(inputs)
                loss.backward()
            optimiser.step()
        return moved.requires_grad_(False)


def check_width(name: str, width: int, wanted: int, label: str) -> None:
    """Raise IncompatibleModel for features of another width than the text encoder's."""
    if width != wanted:
        raise IncompatibleModel(
            f"The aesthetic embedding {name} has features of width {width}.",
            f"The text encoder of {label} gives {wanted}.",
            "Choose one that was made with the CLIP of this kind of checkpoint.",
        )


def read_file(path: Path) -> Header:
    """The header of an aesthetic embedding. Raises UnknownModel for another kind of file, and what reading raises."""
    from webui.weights.header import read_header

    header = read_header(path)
    target_shape(header)
    return header
