"""Small random networks in spandrel's own classes, and where a test keeps its models."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from webui.paths import Paths
from webui.upscalers.loading import import_spandrel


def network(kind: str, scale: int = 2) -> nn.Module:
    """An upscaler of few channels whose results lie in [0, 1]."""
    import_spandrel()
    from spandrel.architectures import ESRGAN, PLKSR, SPAN, Compact

    torch.manual_seed(0)
    made = {
        "Compact": lambda: Compact.Compact(num_feat=8, num_conv=2, upscale=scale),
        "ESRGAN": lambda: ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=scale),
        "SPAN": lambda: SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=scale),
        "PLKSR": lambda: PLKSR.RealPLKSR(dim=8, n_blocks=2, upscaling_factor=scale),
    }[kind]()
    return made.eval()


def paths_with(folder: Path, kind: str = "ESRGAN") -> Paths:
    """Paths whose models folder has one for upscalers, by A1111's name, and which know no embedded ones."""
    (folder / "models" / kind).mkdir(parents=True, exist_ok=True)
    return Paths(folder / "data", folder / "models", folder / "outputs", program=folder / "program")
