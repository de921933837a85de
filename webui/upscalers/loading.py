"""Model files as functions that enlarge: our own readers read the bytes, spandrel knows the networks.

spandrel (MIT) reads pickles by itself too; here it never sees a file, only tensors that webui/weights has read.
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from webui.errors import DamagedFile, UnknownModel
from webui.weights.reader import open_weights

# Errors of spandrel's networks when a file's tensors are not what its names promise.
MISFITS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError)


@dataclass(frozen=True)
class UpscalerModel:
    """One loaded network. Call it with [1, 3, H, W] in [0, 1]; it returns [1, 3, H·scale, W·scale] on the CPU."""

    name: str
    scale: int
    tiles: bool  # False: the network makes tiles by itself
    descriptor: Any
    device: torch.device

    def __call__(self, x: Tensor) -> Tensor:
        result = self._run(x)
        if self.descriptor.dtype != torch.float32 and not bool(result.isfinite().all()):
            self.descriptor.float()  # it overflows in half precision: from now on in full
            result = self._run(x)
        if not bool(result.isfinite().all()):
            raise DamagedFile(f"{self.name} makes pictures of no numbers.", "Finite weights.", "Download it again.")
        return result

    def _run(self, x: Tensor) -> Tensor:
        x = x.to(self.device, self.descriptor.dtype)
        if self.descriptor.input_channels == 1:
            return torch.cat([self.descriptor(channel) for channel in x.split(1, dim=1)], dim=1).float().cpu()
        return self.descriptor(x).float().cpu()


def load_upscaler(file: Path, device: str | torch.device) -> UpscalerModel:
    """The network of a file; the last one stays loaded until another is asked for.

    Raises what `weights.read_header` raises, and UnknownModel for a file that enlarges nothing.
    """
    return _loaded(file, file.stat().st_mtime_ns, torch.device(device))


def release() -> None:
    """Forget the loaded network."""
    _loaded.cache_clear()


@functools.lru_cache(maxsize=1)
def _loaded(file: Path, modified: int, device: torch.device) -> UpscalerModel:
    with open_weights(file) as weights:
        tensors = {name: weights.tensor(name) for name in weights.header.tensors}
        descriptor = _described(file, tensors)
    purpose = getattr(descriptor, "purpose", "")
    if purpose not in ("SR", "Restoration"):
        raise UnknownModel(f"{file.name} is for {purpose}, it does not enlarge.", "An upscaler was wanted.")
    if descriptor.input_channels != descriptor.output_channels or descriptor.input_channels not in (1, 3):
        raise UnknownModel(
            f"{file.name} works on {descriptor.input_channels} channels.", "Red, green, blue were wanted."
        )
    types_by_device = {"cuda": (torch.float16, torch.bfloat16)}.get(device.type, ())
    supported = {torch.float16: descriptor.supports_half, torch.bfloat16: descriptor.supports_bfloat16}
    dtype = next((one for one in types_by_device if supported[one]), torch.float32)
    descriptor.to(device, dtype).eval()
    return UpscalerModel(file.stem, descriptor.scale, descriptor.tiling.name != "INTERNAL", descriptor, device)


def _described(file: Path, tensors: Mapping[str, Tensor]) -> Any:
    """What spandrel makes of the tensors, also where they stand inside of one or more wrappers."""
    spandrel = import_spandrel()
    problem: Exception | None = None
    for candidate in _unwrapped(tensors):
        try:
            return spandrel.ModelLoader().load_from_state_dict(candidate)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except spandrel.UnsupportedModelError:
            continue
        except MISFITS as error:
            problem = error
    told = f" {type(problem).__name__}: {str(problem).splitlines()[0][:200]}." if problem and str(problem) else ""
    raise UnknownModel(
        f"{file.name} is no upscaler that is known here.{told}",
        "Known are ESRGAN, RealESRGAN, Compact, SwinIR, DAT, SPAN, RealPLKSR and others that spandrel lists.",
    )


def _unwrapped(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors as they are, and below each of their first name parts: averaged weights first."""
    yield dict(tensors)
    heads = dict.fromkeys(name.partition(".")[0] for name in tensors)
    for head in sorted(heads, key=lambda head: "ema" not in head):
        if head.replace("-", "_") in ("params_ema", "params", "net", "generator", "model", "netG", "module"):
            prefix = f"{head}."
            yield {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


@functools.cache
def import_spandrel() -> Any:
    """The spandrel package, imported without torchvision.

    Two of its 42 networks, neither an upscaler, import three names of torchvision, whose only builds for some devices
    break transformers (see constraints.txt). While spandrel is imported these names stand for themselves.
    """
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    missing = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    if names[2] in missing:
        absent = missing[names[2]]
        modes = enum.Enum("modes", ["NEAREST", "BILINEAR", "BICUBIC"])
        vars(absent).update(InterpolationMode=modes, rotate=None, normalize=None)
    sys.modules.update(missing)
    try:
        import spandrel
    finally:
        for name in missing:
            del sys.modules[name]
    return spandrel
