"""Quantiles of the beta distribution, for the schedules named after it."""

from __future__ import annotations

import math


def beta_places(shares: list[float], alpha: float = 0.6, beta: float = 0.6) -> list[float]:
    """Quantiles of the beta distribution at `shares`, each from 0 to 1."""
    return [_quantile(share, alpha, beta) for share in shares]


def _quantile(share: float, a: float, b: float) -> float:
    if not 0 < share < 1:
        return min(max(share, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cumulated(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _cumulated(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22), evaluated backwards."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _cumulated(1 - x, b, a)
    fraction = 1.0
    for m in range(40, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    fraction = 1 - (a + b) * x / (a + 1) / fraction
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / (a * fraction)
