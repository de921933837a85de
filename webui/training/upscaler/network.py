"""The network of the embedded upscalers: SRVGGNetCompact in its authors' key layout, which spandrel reads as `Compact`.

Source: Wang, Xie, Dong, Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data"
(ICCVW 2021), the compact network of its later releases: convolutions at the small size, one pixel shuffle at the end.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Compact(nn.Module):
    """[B, 3, H, W] in [0, 1] -> [B, 3, H·scale, W·scale]; what it learns is added to the nearest neighbours."""

    def __init__(self, scale: int, features: int = 32, convolutions: int = 8):
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        detail = F.pixel_shuffle(self.body(x), self.scale)
        return detail + F.interpolate(x, scale_factor=self.scale, mode="nearest")

    def take_body(self, other: Compact) -> None:
        """Start from another one's weights, all but those of the last layer, which has another number of channels."""
        own, theirs = self.state_dict(), other.state_dict()
        self.load_state_dict(
            {name: theirs[name] if theirs[name].shape == own[name].shape else own[name] for name in own}
        )
