"""The fake engine without its pauses and with small pictures, for tests that send a great many requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.workers.fake_engine import FakeEngine
from webui.request import GenerationRequest


def engine(settings: Mapping[str, Any]) -> FakeEngine:
    """What the worker calls."""
    return QuickEngine({**settings, "step_seconds": 0})


class QuickEngine(FakeEngine):
    """At most two steps and four pictures of 16 × 16, whatever was asked for."""

    def generate(self, request: GenerationRequest, options: Mapping[str, Any], report: Callable[..., None], control):
        """As the fake engine does, with less of everything."""
        first = replace(request.passes[0], steps=min(2, request.passes[0].steps), width=16, height=16)
        small = {"passes": (first,), "count": min(2, request.count), "batch_size": min(2, request.batch_size)}
        super().generate(replace(request, **small), options, report, control)
