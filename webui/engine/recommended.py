"""What a request starts from where nothing is said: the habits of the checkpoint's family, and the user's settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webui.engine.catalogue import Catalogue
from webui.errors import FileError
from webui.request import GenerationRequest, Pass

if TYPE_CHECKING:
    from webui.families import ModelFacts
    from webui.settings import Settings

LARGEST_SHARE = 1.5  # of the native side; pictures to start from that are larger are made smaller
FROM_SETTINGS = ("exact_steps", "noise_multiplier", "extra_noise", "match_colours", "background")  # of image passes


def facts_of(catalogue: Catalogue, name: str | None) -> ModelFacts | None:
    """What is known of a checkpoint (None: the default one); None for one that cannot be read. Raises NotFound."""
    try:
        found: ModelFacts = catalogue.facts(catalogue.find(name))
    except FileError:
        return None
    return found


def recommended(facts: ModelFacts | None, settings: Settings | Mapping[str, Any]) -> GenerationRequest:
    """A request of one pass from noise at the checkpoint's native size. Without facts: the plain defaults."""
    step, skip = Pass(), 1
    if facts is not None:
        habits = facts.defaults
        guidance = dataclasses.replace(step.guidance, scale=habits.guidance_scale, rescale=habits.guidance_rescale)
        step = Pass(
            width=facts.native_size,
            height=facts.native_size,
            steps=habits.steps,
            sampler=habits.sampler,
            schedule=habits.schedule,
            guidance=guidance,
        )
        skip = habits.clip_skip
    return GenerationRequest(
        vae=settings["vae"],
        clip_skip=max(settings["clip_skip"], skip),
        noise_source=settings["noise_source"],
        emphasis=settings["emphasis"],
        comma_backtrack=settings["comma_backtrack"],
        passes=(step,),
    )


def fitting(width: int, height: int, native: int) -> tuple[int, int]:
    """The size of a pass that starts from a picture: the picture's, or smaller where that is far above `native`."""
    share = math.sqrt(width * height) / native
    scale = 1 / share if share > LARGEST_SHARE else 1.0
    return max(16, round(width * scale / 8) * 8), max(16, round(height * scale / 8) * 8)
