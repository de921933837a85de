"""How alike the weights of two checkpoints are, for the cosine methods: for each column and for each weight as a whole.

A weight [R, …] has one column for each place in its further dimensions; a vector is one column. Everything is summed
over bands of rows, so that no weight is held twice.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

DIRECTIONS = "directions"  # columns are brought to length 1 before the weights are compared as a whole ("cosine A")
CUT = (1, 99)  # percentiles: what lies outside does not decide how likenesses are spread over 0 to 1


def column_likeness(bands: Iterable[tuple[Tensor, Tensor]], compares: str) -> tuple[Tensor, Tensor]:
    """Two tensors of the columns' shape: the mean of each column's cosine and that of the whole weight, and what of
    it counts for the spread (for "directions" the columns' cosines alone).

    `bands` are the two weights' rows, float32, in the same cuts. A column of zeros is like nothing.
    """
    dot: Tensor | float = 0.0
    first: Tensor | float = 0.0
    second: Tensor | float = 0.0
    for a, b in bands:
        dot = dot + (a * b).sum(0).double()
        first = first + (a * a).sum(0).double()
        second = second + (b * b).sum(0).double()
    assert isinstance(dot, Tensor) and isinstance(first, Tensor) and isinstance(second, Tensor)
    lengths = (first * second).sqrt()
    columns = torch.where(lengths > 0, dot / lengths, 0.0)
    if compares == DIRECTIONS:
        whole = columns.sum() / ((first > 0).sum() * (second > 0).sum()).double().sqrt()
    else:
        whole = dot.sum() / (first.sum() * second.sum()).sqrt()
    mean = (columns + whole.nan_to_num(0.0)) / 2
    return mean.float(), (columns if compares == DIRECTIONS else mean).float()


def spread(samples: Iterable[Tensor]) -> tuple[float, float]:
    """The smallest and the largest likeness of all weights, without the outermost hundredths."""
    values = np.concatenate([sample.reshape(-1).numpy() for sample in samples]).astype(np.float64)
    values = values[~np.isnan(values)]
    values = values[values >= np.percentile(values, CUT[0], method="midpoint")]
    values = values[values <= np.percentile(values, CUT[1], method="midpoint")]
    return float(values.min()), float(values.max())


def share_of_first(likeness: Tensor, limits: tuple[float, float], alpha: float) -> Tensor:
    """The first model's share for each column, from 0 to 1."""
    low, high = limits
    even = (likeness - low) / (high - low) if high > low else torch.ones_like(likeness)
    return (even - alpha).clamp(0.0, 1.0)
