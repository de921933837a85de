"""Schedules that were found by measuring models: tables, interpolated linearly in log(sigma)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from webui.diffusion.laws import NoisingLaw
from webui.diffusion.schedules.registry import SCHEDULES
from webui.request import SamplerOptions

# Sabour et al. 2024, "Align Your Steps", arXiv:2404.14507: the ten steps published for Stable Diffusion 1.5 and XL
ALIGN_YOUR_STEPS: Mapping[str, tuple[float, ...]] = {
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}
# Chen et al. 2024, "On the Trajectory Regularity of ODE-based Diffusion Sampling" (GITS), arXiv:2405.11326
GITS: Mapping[str, tuple[float, ...]] = {
    "sd1": (14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029),
    "sdxl": (14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029),
}
# the 32-step tables that Forge offers beside the published ten
ALIGN_YOUR_STEPS_32: Mapping[str, tuple[float, ...]] = {
    "sd1": (
        *(14.615, 11.23951352, 8.64363081, 6.64729424, 5.57250862, 4.71648546, 3.99196065, 3.5195609),
        *(3.13490466, 2.79228788, 2.48773628, 2.21663865, 1.97508351, 1.7793172, 1.61475335, 1.46540953),
        *(1.314849, 1.16642497, 1.03475547, 0.91573744, 0.80748169, 0.71202361, 0.621739, 0.53065202),
        *(0.4529096, 0.37491455, 0.27461819, 0.2011529, 0.14105873, 0.06682881, 0.03166121, 0.015),
    ),
    "sdxl": (
        *(14.615, 11.1491618, 8.50522127, 6.48827151, 5.43707402, 4.60398619, 3.89854704, 3.27407457),
        *(2.74396527, 2.29968659, 1.95448514, 1.67108715, 1.42878152, 1.23181009, 1.06789649, 0.92579443),
        *(0.80290886, 0.69660121, 0.60436903, 0.52852552, 0.46773344, 0.41393379, 0.36258186, 0.31008517),
        *(0.26518925, 0.22326461, 0.17653877, 0.13959192, 0.10587381, 0.05519369, 0.02877334, 0.015),
    ),
}


def from_table(tables: Mapping[str, tuple[float, ...]], steps: int, law: NoisingLaw) -> list[float]:
    """`steps` levels of the law's table and a final 0.

    The tables hold ratios of noise to signal, which rectified flow turns into its own sigmas. Models without a table
    of their own take that of Stable Diffusion 1.
    """
    table = tables.get(law.tuned_for, tables["sd1"])
    logs = [math.log(sigma) for sigma in table]
    sigmas = []
    for step in range(steps):
        place = step * (len(table) - 1) / max(1, steps - 1)
        low = min(int(place), len(table) - 2)
        ratio_log = logs[low] + (place - low) * (logs[low + 1] - logs[low])
        sigmas.append(law.from_half_log_snr(-ratio_log))
    return [*sigmas, 0.0]


@SCHEDULES.register("Align Your Steps", "align_your_steps", name="align_your_steps", default_rho=-1, needs_law=False)
def align_your_steps(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """The published ten steps, interpolated to others."""
    return from_table(ALIGN_YOUR_STEPS, steps, law)


@SCHEDULES.register(
    "Align Your Steps GITS", "align_your_steps_GITS", name="align_your_steps_GITS", default_rho=-1, needs_law=False
)
def gits(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """Steps along the bends of the trajectory."""
    return from_table(GITS, steps, law)


@SCHEDULES.register(
    "Align Your Steps 11", "align_your_steps_11", name="align_your_steps_11", default_rho=-1, needs_law=False
)
def align_your_steps_11(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """The same table as Align Your Steps, by Forge's name."""
    return from_table(ALIGN_YOUR_STEPS, steps, law)


@SCHEDULES.register(
    "Align Your Steps 32", "align_your_steps_32", name="align_your_steps_32", default_rho=-1, needs_law=False
)
def align_your_steps_32(steps: int, law: NoisingLaw, options: SamplerOptions) -> list[float]:
    """A finer table, best at 32 steps."""
    return from_table(ALIGN_YOUR_STEPS_32, steps, law)
