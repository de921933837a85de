"""The merge itself: one tensor after the other from the mapped inputs through float32 into the new file."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from webui.errors import FileError, InvalidRequest
from webui.merging.blocks import BlockWeights
from webui.merging.inputs import Files, Inputs, listed, open_inputs
from webui.merging.metadata import HASH_KEY, Origin, describe_merge
from webui.merging.methods import METHODS
from webui.merging.recipe import Recipe
from webui.merging.similarity import DIRECTIONS, column_likeness, share_of_first, spread
from webui.weights.canonical import UNET, VAE
from webui.weights.reader import TORCH_DTYPES, Weights
from webui.weights.save import write_safetensors
from webui.weights.tensors import FLOAT_DTYPES, TensorInfo

BAND = 1 << 18  # elements that are computed at once: few enough to stay in the cache of a core
DTYPES = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
FP8, FP8_LARGEST = "F8_E4M3", 448.0
SPARE = 64 << 20  # bytes of the disk that are left free

Progress = Callable[[str, int, int], None]  # stage, step, steps
Band = tuple[slice, tuple[Tensor, ...]]  # the same rows of each model


@dataclass(frozen=True)
class Merged:
    """The new file, and what a user should know about it."""

    path: Path
    notes: tuple[str, ...]


def ignore(stage: str, step: int, steps: int) -> None:
    """Report progress to nobody."""


def merge(
    recipe: Recipe,
    files: Files,
    origins: Sequence[Origin],
    target: Path,
    progress: Progress = ignore,
    check: Callable[[], None] = lambda: None,
) -> Merged:
    """Merge as the recipe says and write `target`, which must not exist. `check` is called often and may raise.

    Raises IncompatibleModel, InvalidRequest, FileError for a full disk, and what reading the files raises. The target
    appears whole or not at all.
    """
    with torch.no_grad():
        return _Merge(recipe, files, progress, check).write(target, origins)


class _Merge:
    """One merge under way: opened inputs, the shape of the result, and what each tensor of it is made of."""

    def __init__(self, recipe: Recipe, files: Files, progress: Progress, check: Callable[[], None]):
        self._recipe, self._progress, self._check = recipe, progress, check
        self._inputs = open_inputs(recipe, files)
        self._method = METHODS.find(recipe.method)
        self._compares: str = self._method.facts["compares"]
        names = self._inputs.models[0].header.tensors
        self._blocks = BlockWeights(recipe.blocks, recipe.alpha, names)
        self._tensors = output_tensors(recipe, self._inputs)
        self._likeness: dict[str, Tensor] = {}
        self._limits = (0.0, 1.0)
        self._odd: list[str] = []
        self._done = 0
        self._release: Callable[[], None] = ignore_release  # of the tensor that was written last

    def write(self, target: Path, origins: Sequence[Origin]) -> Merged:
        if not self._tensors:
            raise InvalidRequest("Nothing would be left of the checkpoint.", "", "Discard fewer weights.")
        _check_space(target.parent, sum(info.bytes for info in self._tensors.values()))
        if self._compares:
            self._compare()
        facts, header = self._inputs.facts, self._inputs.models[0].header
        notes = describe_merge(self._recipe, origins, header, facts)
        try:
            write_safetensors(target, self._tensors, self._tensor, notes, hash_key=HASH_KEY, replace=False)
        except OSError as error:
            remedy = "Free some space or choose another folder." if error.errno == errno.ENOSPC else ""
            raise FileError(f"{target.name} cannot be written: {error.strerror or error}.", "", remedy) from None
        odd = [f"Values that are no numbers or too large for {self._recipe.precision}: {listed(self._odd)}."]
        return Merged(target, (*self._inputs.notes, *(odd if self._odd else ())))

    def _compare(self) -> None:
        """How alike the two models' weights are, for methods that want to know; the VAE stays the first one's."""
        names = [name for name in self._tensors if self._is_compared(name)]
        samples = []
        for step, name in enumerate(names):
            self._check()
            self._progress("comparing", step, len(names))
            pairs = ((a, b) for _, (a, b) in map(_common, self._bands(name, self._inputs.models)))
            self._likeness[name], sample = column_likeness(pairs, self._compares)
            samples.append(sample)
        if samples:
            self._limits = spread(samples)

    def _is_compared(self, name: str) -> bool:
        return self._inputs.is_merged(name) and not name.startswith(VAE) and self._tensors[name].count > 0

    def _tensor(self, name: str) -> Tensor:
        """One tensor of the result."""
        self._check()
        self._release()
        self._release = ignore_release
        self._progress("merging", self._done, len(self._tensors))
        self._done += 1
        info = self._tensors[name]
        if self._inputs.vae is not None and name.startswith(VAE):
            return self._filled(name, info, (self._inputs.vae,))
        merged = self._is_compared(name) if self._compares else self._inputs.is_merged(name)
        models = self._inputs.models if merged else self._inputs.models[:1]
        changes = self._inputs.changes.get(name)
        if not changes:
            return self._filled(name, info, models)
        # A LoRA's change is made of the whole weight, so such a tensor is held twice in float32.
        base = self._filled(name, TensorInfo(info.shape, "F32"), models)
        total = base.clone()
        for change in changes:
            change(total, base)
        del base
        return self._stored(name, info, ((rows, total[rows]) for rows in _cuts(total)))

    def _filled(self, name: str, info: TensorInfo, models: Sequence[Weights]) -> Tensor:
        """A tensor of the result's type; merged where there is more than one model."""
        stored = models[0].header.tensors[name].dtype
        if stored not in FLOAT_DTYPES or (len(models) == 1 and stored == info.dtype):
            self._release = models[0].release_all  # when it has been written
            return models[0].tensor(name)
        values = (
            (rows, self._formula(name, parts) if len(parts) > 1 else parts[0])
            for rows, parts in self._bands(name, models)
        )
        return self._stored(name, info, values)

    def _formula(self, name: str, parts: tuple[Tensor, ...]) -> Tensor:
        amount: float | Tensor = self._blocks.of(name)
        if self._compares:
            alpha = self._blocks.of(name)
            alpha = abs(alpha) if self._compares == DIRECTIONS else alpha
            amount = share_of_first(self._likeness[name], self._limits, alpha)
        common = _common((slice(None), parts))[1]
        merged = self._method.value(common, amount)
        if merged.shape == parts[0].shape:
            return merged
        whole = parts[0].clone()  # the channels that all have in common; those for inpainting stay
        whole[:, : merged.shape[1]] = merged
        return whole

    def _bands(self, name: str, models: Sequence[Weights]) -> Iterator[Band]:
        """The tensor's rows in float32, some at a time, the same of all models."""
        tensors = [weights.tensor(name) for weights in models]
        tensors = [tensor if tensor.ndim else tensor.view(1) for tensor in tensors]
        for rows in _cuts(tensors[0]):
            yield rows, tuple(tensor[rows].float() for tensor in tensors)
        for weights in models:
            weights.release_all()

    def _stored(self, name: str, info: TensorInfo, values: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Rows put together in the type that is written."""
        out = torch.empty(info.shape, dtype=TORCH_DTYPES[info.dtype])
        flat = out if out.ndim else out.view(1)
        sound = True
        for rows, value in values:
            flat[rows] = value.clamp(-FP8_LARGEST, FP8_LARGEST) if info.dtype == FP8 else value
            sound = sound and bool(flat[rows].float().sum().isfinite())
        if not sound:
            self._odd.append(name)
        return out


def ignore_release() -> None:
    """Nothing is to be given back."""


def _cuts(tensor: Tensor) -> Iterator[slice]:
    """Bands of rows of about `BAND` elements."""
    rows = len(tensor) if tensor.ndim else 1
    step = max(1, BAND * rows // max(1, tensor.numel()))
    return (slice(start, start + step) for start in range(0, rows, step))


def _common(band: Band) -> Band:
    """The input channels that all have: a model for inpainting has more of them."""
    rows, (first, *others) = band
    return rows, (first if first.shape == others[0].shape else first[:, : others[0].shape[1]], *others)


def output_tensors(recipe: Recipe, inputs: Inputs) -> dict[str, TensorInfo]:
    """Names, shapes and types of the result: the first model's, with the VAE baked in, less what is discarded."""
    first = inputs.models[0].header.tensors
    found: dict[str, TensorInfo] = dict(first)
    if inputs.vae is not None:
        theirs = {name: info for name, info in inputs.vae.header.tensors.items() if name.startswith(VAE)}
        found = {name: info for name, info in first.items() if not name.startswith(VAE)} | theirs
    discard = re.compile(recipe.discard) if recipe.discard else None
    return {
        name: TensorInfo(info.shape, _stored(name, info, recipe.precision))
        for name, info in found.items()
        if discard is None or not discard.search(name)
    }


def _stored(name: str, info: TensorInfo, precision: str) -> str:
    if precision == "keep" or info.dtype not in FLOAT_DTYPES:
        return info.dtype
    if precision == "fp8":
        return FP8 if name.startswith(UNET) and len(info.shape) > 1 else "F16"
    return DTYPES[precision]


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise FileError(
            f"The disk has {free / 2**30:.1f} GB free.", f"The merged file takes {size / 2**30:.1f} GB.", "Free some."
        )
