"""How well a count tells a concentration: the exact Poisson interval (Garwood 1936, Biometrika 28, 437)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of the interval, two-sided."""


def poisson_interval(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Ends of the 95 % interval of a mean of which between `low` and `high` were counted, same shape.

    Raises `ImportError` when SciPy is missing: ``pip install 'seston[shore]'``.
    """
    from scipy.special import gammaincinv

    tail = (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        least = np.where(low > 0, gammaincinv(np.where(low > 0, low, 1.0), tail), 0.0)
        most = gammaincinv(high + 1, 1 - tail)
    return np.where(np.isnan(low), np.nan, least), np.asarray(most, dtype=np.float64)
