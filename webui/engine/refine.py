"""A second checkpoint that takes over within a sampling loop (the "refiner")."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from webui.diffusion.guidance import GuidedDenoiser


class SwitchingDenoiser:
    """One denoiser down to the noise level `sigma`, another from there on.

    `second(calls)` makes the other one, which has been called so often already: prompts go on where they were. It may
    unload the first one's network, so nothing here holds on to that.
    """

    def __init__(self, first: GuidedDenoiser, sigma: float, second: Callable[[int], GuidedDenoiser]):
        self._now: GuidedDenoiser | None = first
        self._sigma, self._second = sigma, second
        self._switched = False

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """One estimate. A sampler that goes up again in between stays with the second."""
        if not self._switched and sigma <= self._sigma:
            calls, self._now, self._switched = self._denoiser.calls, None, True
            self._now = self._second(calls)
        return self._denoiser(x, sigma)

    def last_negative(self) -> Tensor:
        """See `GuidedDenoiser.last_negative`."""
        return self._denoiser.last_negative()

    @property
    def _denoiser(self) -> GuidedDenoiser:
        assert self._now is not None  # it is None only while the second one is being made
        return self._now
