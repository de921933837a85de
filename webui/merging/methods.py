"""The formulas by which checkpoints are merged. Each is applied to every weight, in float32.

`models` is how many checkpoints a method takes; `compares` names those that look at how alike two weights are before
anything is merged (see `similarity.py`); `alpha` says whether the method has a strength at all.

Sources: weighted sum and add difference as in the checkpoint merger of AUTOMATIC1111's web UI; train difference and
the cosine forms as in the sd-webui-supermerger extension (`trainDifference`, `cosineA`, `cosineB`), the latter after
losslessmix by recoilme.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from webui.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

# formula(weights of the models in order, amount) -> merged weight. `amount` is alpha; for methods that compare it is
# the share of the first model, a tensor that spreads over the rows.
Formula: TypeAlias = "Callable[[tuple[Tensor, ...], Any], Tensor]"
METHODS: Registry[Formula] = Registry("merge method")
TRAIN_SCALE = 1.8  # by which the extension multiplies alpha, so that 1 is about as strong as adding the difference


@METHODS.register("Weighted sum", "weighted_sum", "weighted-sum", "sum", models=2, compares="", alpha=True)
def weighted_sum(weights: tuple[Tensor, ...], amount: float) -> Tensor:
    """(1 − α)·A + α·B."""
    a, b = weights
    return a * (1 - amount) + b * amount


@METHODS.register("Add difference", "add_difference", "add-difference", "add", models=3, compares="", alpha=True)
def add_difference(weights: tuple[Tensor, ...], amount: float) -> Tensor:
    """A + α·(B − C)."""
    a, b, c = weights
    return a + (b - c) * amount


@METHODS.register("Train difference", "train_difference", "train-difference", models=3, compares="", alpha=True)
def train_difference(weights: tuple[Tensor, ...], amount: float) -> Tensor:
    """A + 1.8·α·s·(B − C) with s = |B − A| / (|B − C| + |B − A|), and no change where both distances are 0.

    What was trained from C to B is added the less, the nearer A is to B already.
    """
    a, b, c = weights
    difference = b - c
    missing = (b - a).abs()
    distances = difference.abs() + missing
    scale = missing / distances.masked_fill(distances == 0, 1)
    return a + scale * difference * (amount * TRAIN_SCALE)


@METHODS.register("Cosine A", "cosine_a", "cosine-a", "cosineA", models=2, compares="directions", alpha=True)
@METHODS.register("Cosine B", "cosine_b", "cosine-b", "cosineB", models=2, compares="weights", alpha=True)
def cosine(weights: tuple[Tensor, ...], amount: Tensor) -> Tensor:
    """k·A + (1 − k)·B, where k is the likeness of the two less alpha, from 0 to 1, for each column of the weight."""
    a, b = weights
    return b * (1 - amount) + a * amount


@METHODS.register("No interpolation", "no_interpolation", "none", "convert", models=1, compares="", alpha=False)
def no_interpolation(weights: tuple[Tensor, ...], amount: float) -> Tensor:
    """A as it is: to convert a checkpoint, or to bake something in."""
    return weights[0]
