"""How much one request may ask of the server: its size, its length, its number of pictures. Plain data.

`JobService` holds every request against these limits, so that the page, the HTTP routes and scripts meet the same ones.
The command line on the user's own machine does not go through the service and is free of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webui.errors import InvalidRequest
from webui.request import GenerationRequest, from_dict
from webui.settings import Settings

PREFIX = "limit_"  # of the settings that hold them
_NETWORK = re.compile(r"<(?:lora|lyco|hypernet):", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """At most so much of each. The setting of a limit is called limit_ and its name."""

    megapixels: float = 128.0  # of one batch in one pass: width · height · batch size
    steps: int = 1000  # of one pass
    pictures: int = 1000  # of one request: batch size · count
    prompt: int = 50_000  # characters of one prompt
    passes: int = 32
    networks: int = 64  # LoRAs and hypernetworks that one prompt names
    files: int = 1000  # pictures in a task, such as those to enlarge


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings hold."""
    return Limits(
        megapixels=settings["limit_megapixels"],
        steps=settings["limit_steps"],
        pictures=settings["limit_pictures"],
        prompt=settings["limit_prompt"],
        passes=settings["limit_passes"],
        networks=settings["limit_networks"],
        files=settings["limit_files"],
    )


def hold(request: GenerationRequest, limits: Limits) -> GenerationRequest:
    """The request, unchanged. Raises InvalidRequest for one that asks too much, naming the limit."""
    passes, pictures = len(request.passes), request.batch_size * request.count
    _most(f"The request has {passes:,} passes.", passes, limits.passes, "passes")
    _most(f"The request makes {pictures:,} pictures.", pictures, limits.pictures, "pictures")
    for step in request.passes:
        pixels = step.width * step.height * request.batch_size / 1e6
        found = f"{step.width} × {step.height} in a batch of {request.batch_size} is {pixels:,.6g} megapixels."
        _most(found, pixels, limits.megapixels, "megapixels")
        _most(f"The request has {step.steps:,} steps.", step.steps, limits.steps, "steps")
    prompts = ((step.prompt, step.negative_prompt) for step in request.passes)
    for prompt in (request.prompt, request.negative_prompt, *(text for pair in prompts for text in pair if text)):
        networks = len(_NETWORK.findall(prompt))
        _most(f"A prompt has {len(prompt):,} characters.", len(prompt), limits.prompt, "prompt")
        _most(f"A prompt names {networks:,} LoRAs.", networks, limits.networks, "networks")
    return request


def hold_task(values: Mapping[str, Any], limits: Limits) -> None:
    """Raises InvalidRequest for a task of too many pictures, or with a request that asks too much."""
    images = values.get("images")
    if isinstance(images, list | tuple):
        _most(f"The task has {len(images):,} pictures.", len(images), limits.files, "files")
    if isinstance(values.get("request"), Mapping):
        hold(from_dict(values["request"]), limits)


def _most(found: str, number: float, most: float, name: str) -> None:
    if number > most:
        wanted = f"At most {most:,.6g} are allowed by the setting {PREFIX}{name}."
        raise InvalidRequest(found, wanted, "Ask for less, or have the limit raised.")
